"""The two sides of a change as a person reads them, in the words and units of the catalog file."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from arke.domain.catalog import BatchSchedule, OAuth2, Signature, StandardWebhooks, Tls

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.domain.catalog import Mapping


def field_text(field: str, value: Any) -> str | None:
    """A field's value as text, None where it is not set. Secrets are references, so they may be shown."""
    if value is None:
        return "false" if field == "batch" else None
    if isinstance(value, bool):
        return "true" if value else "false"
    if field == "linger_ms":
        return f"{value}ms"
    if field == "url":
        return _without_query(value)
    if isinstance(value, tuple):
        return f"[{', '.join(_entry(item) for item in value)}]"
    return _entry(value)


def mappings_text(old: Iterable[Mapping], new: Iterable[Mapping]) -> tuple[str | None, str | None] | None:
    """The mappings only the old one has, and those only the new has; None where only the order differs."""
    before, after = Counter(old), Counter(new)
    if before == after:
        return None
    return _mappings(before - after), _mappings(after - before)


def _without_query(url: str) -> str:
    """A query may hold a token, so plans leave it out."""
    base, mark, _ = url.partition("?")
    return f"{base}{mark}{'...' if mark else ''}"


def _mappings(mappings: Counter[Mapping]) -> str | None:
    return ", ".join(_mapping(mapping) for mapping in mappings.elements()) or None


def _mapping(mapping: Mapping) -> str:
    alias = f" as {mapping.alias!r}" if mapping.alias is not None else ""
    start = f" from {mapping.start}" if mapping.start else ""
    end = f" until {mapping.end}" if mapping.end else ""
    return f"{mapping.segment}{alias}{start}{end}"


def _entry(value: Any) -> str:
    match value:
        case Signature(key=key, header=header, algorithm=algorithm):
            return f"{header} {algorithm} {key}"
        case OAuth2(token_url=token_url, credentials=credentials):
            return f"{_without_query(token_url)} with {credentials}"
        case StandardWebhooks(key=key):
            return key
        case BatchSchedule(every_s=every_s, at=at):
            every = f"{every_s // 3_600}h" if every_s % 3_600 == 0 else f"{every_s}s"
            return f"every {every} at {at}"
        case Tls():
            parts = ((name, getattr(value, name)) for name in ("ca_file", "client_cert", "client_key"))
            return ", ".join(f"{name} {path}" for name, path in parts if path) or "system trust"
        case _:
            return str(value)
