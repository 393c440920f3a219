"""The plan from one catalog to the next: what is added, changed and removed, and what that sets in motion."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from arke.catalog.consequences import mapping_changes, rule_changes
from arke.domain.catalog import (
    BODY,
    BasicAuth,
    BatchSchedule,
    Catalog,
    Destination,
    OAuth2,
    Setting,
    Signature,
    StandardWebhooks,
    Tls,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from arke.domain.catalog import DataSource, Mapping, Segment, Trait

    Item = DataSource | Trait | Segment | Destination

Kind = Literal["data_source", "trait", "segment", "destination"]
Action = Literal["added", "changed", "removed"]

_SIGNS: dict[Action, str] = {"added": "+", "changed": "~", "removed": "-"}
_WORDS: dict[Kind, str] = {
    "data_source": "data source",
    "trait": "trait",
    "segment": "segment",
    "destination": "destination",
}


LISTED = 50
"""Changes that people read one by one; of more there is a summary."""
EXAMPLES = 5


class FieldChange(msgspec.Struct, frozen=True):
    """One field of something that changes, both values as text; None where the field was not set."""

    field: str
    old: str | None
    new: str | None


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is added, changed or removed."""

    action: Action
    kind: Kind
    id: int
    name: str
    fields: tuple[FieldChange, ...] = ()

    def line(self) -> str:
        """`+ segment 14356 In market`, `~ trait 1000 rule: a -> b`."""
        head = f"{_SIGNS[self.action]} {_WORDS[self.kind]} {self.id}"
        if not self.fields:
            return f"{head} {self.name}".rstrip()
        return f"{head} {'; '.join(_field_line(field) for field in self.fields)}"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What applying a catalog would do.

    `mapping_changed` are the destinations that are to be told something else than before. `rules_changed` are
    the segments in both catalogs whose members may differ now: their rule (or, external, their time-to-live)
    changed, or the rule or time-to-live of a trait in it. `backfill` are those, and new segments with a rule.
    """

    changes: tuple[Change, ...] = ()
    mapping_changed: frozenset[int] = frozenset()
    rules_changed: frozenset[int] = frozenset()
    backfill: frozenset[int] = frozenset()

    @property
    def empty(self) -> bool:
        return not self.changes

    def ids(self, kind: Kind, action: Action) -> list[int]:
        """The ids of one kind that are added, changed or removed."""
        return [change.id for change in self.changes if (change.kind, change.action) == (kind, action)]

    def lines(self) -> list[str]:
        """The plan for people: a line a change, then a count."""
        if self.empty:
            return ["nothing changes"]
        return [*(change.line() for change in self.changes), self._total()]

    def summary(self) -> list[str]:
        """The same where there are too many changes to read: what changes of each kind, with the first few ids."""
        if len(self.changes) <= LISTED:
            return self.lines()
        ids: dict[tuple[Action, Kind], list[int]] = {}
        for change in self.changes:
            ids.setdefault((change.action, change.kind), []).append(change.id)
        return [*(_many(action, kind, found) for (action, kind), found in ids.items()), self._total()]

    def _total(self) -> str:
        found = Counter(change.action for change in self.changes)
        return ", ".join(f"{found[action]:,} {action}" for action in _SIGNS)

    def to_json(self) -> bytes:
        """The plan as data, the same bytes for equal plans."""
        return msgspec.json.encode(self, order="deterministic")


def _many(action: Action, kind: Kind, ids: Sequence[int]) -> str:
    """`+ 100,000 traits: 1, 2, 3, 4, 5, ...`."""
    word = _WORDS[kind] if len(ids) == 1 else f"{_WORDS[kind]}s"
    listed = ", ".join(map(str, ids[:EXAMPLES])) + (", ..." if len(ids) > EXAMPLES else "")
    return f"{_SIGNS[action]} {len(ids):,} {word}: {listed}"


def plan(old: Catalog | None, new: Catalog) -> Plan:
    """Compare two catalogs, thing by thing. Without an old one everything is added."""
    old = old or Catalog()
    changes = (
        *_compare("data_source", old.data_sources, new.data_sources),
        *_compare("trait", old.traits, new.traits),
        *_compare("segment", old.segments, new.segments),
        *_compare("destination", old.destinations, new.destinations),
    )
    known = {segment.id for segment in old.segments}
    added = {segment.id for segment in new.segments if segment.id not in known and not segment.external}
    rules_changed = rule_changes(old, new)
    return Plan(
        changes=changes,
        mapping_changed=mapping_changes(old, new),
        rules_changed=rules_changed,
        backfill=rules_changed | added,
    )


def _compare(kind: Kind, old: Sequence[Item], new: Sequence[Item]) -> Iterator[Change]:
    before = {item.id: item for item in old}
    after = {item.id: item for item in new}
    for id_ in sorted(before.keys() | after.keys()):
        was, now = before.get(id_), after.get(id_)
        if was is None and now is not None:
            yield Change(action="added", kind=kind, id=id_, name=now.name)
        elif now is None and was is not None:
            yield Change(action="removed", kind=kind, id=id_, name=was.name)
        elif was is not None and now is not None and was != now:
            fields = tuple(_field_changes(was, now))
            if fields:
                yield Change(action="changed", kind=kind, id=id_, name=now.name, fields=fields)


def _field_changes(was: Item, now: Item) -> Iterator[FieldChange]:
    for field in now.__struct_fields__:
        old, new = getattr(was, field), getattr(now, field)
        if old == new:
            continue
        if field == "segments" and isinstance(was, Destination) and isinstance(now, Destination):
            texts = mappings_text(was.segments, now.segments)
            if texts is not None:
                yield FieldChange(field, *texts)
            continue
        yield FieldChange(field, field_text(field, old), field_text(field, new))


def _field_line(change: FieldChange) -> str:
    if change.field == "segments":
        removed = f"-[{_short(change.old)}]" if change.old else ""
        added = f"+[{_short(change.new)}]" if change.new else ""
        return f"segments: {' '.join(part for part in (removed, added) if part)}"
    return f"{change.field}: {_short(change.old)} -> {_short(change.new)}"


def _short(text: str | None) -> str:
    if text is None:
        return "(none)"
    line = " ".join(text.split())
    return line if len(line) <= 120 else line[:117] + "..."


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


def _signature(signature: Signature) -> str:
    over = "" if signature.signs == BODY else f" over {signature.signs}"
    encoding = "" if signature.encoding == "base64" else f" {signature.encoding}"
    prefix = f" after {signature.prefix!r}" if signature.prefix else ""
    stamp = f" stamped {signature.timestamp_header}" if signature.timestamp_header is not None else ""
    return f"{signature.header} {signature.algorithm}{encoding}{prefix}{over}{stamp} {signature.key}"


def _oauth2(oauth: OAuth2) -> str:
    with_credentials = f" with {oauth.credentials}" if oauth.credentials is not None else ""
    auth = "" if oauth.auth == "basic" else f" by {oauth.auth}"
    params = f" and {', '.join(map(_entry, oauth.params))}" if oauth.params else ""
    tls = f", trusting {_entry(oauth.tls)}" if oauth.tls is not None else ""
    return f"{_without_query(oauth.token_url)}{with_credentials}{auth}{params}{tls}"


def _entry(value: Any) -> str:
    match value:
        case Signature():
            return _signature(value)
        case OAuth2():
            return _oauth2(value)
        case BasicAuth(username=username, password=password, pair=pair):
            return pair or f"{username} with {password}"
        case Setting(name=name, value=text):
            return f"{name}: {text}"
        case StandardWebhooks():
            return ", ".join(f"{one.key}{' raw' if one.raw else ''}" for one in value.keys)
        case BatchSchedule(every_s=every_s, at=at, timezone=timezone):
            every = f"{every_s // 3_600}h" if every_s % 3_600 == 0 else f"{every_s}s"
            return f"every {every} at {at}" + ("" if timezone == "UTC" else f" {timezone}")
        case Tls():
            parts = ((name, getattr(value, name)) for name in ("ca_file", "client_cert", "client_key"))
            return ", ".join(f"{name} {path}" for name, path in parts if path) or "system trust"
        case _:
            return str(value)
