"""A catalog as text: YAML in a fixed order, with comments that say where each entry came from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from arke.catalog.aam.entries import Entry

HEAD: Final = """\
# Made by `arke import aam` from a configuration of Audience Manager.
# What has no equivalent here, and why, is what the command printed.
"""
_COMMENT_CHARS: Final = 1_000


def written(sections: Mapping[str, Sequence[Entry]]) -> str:
    """The catalog's text. The same entries give the same bytes."""
    return HEAD + "".join(
        f"{line}\n" for name, entries in sections.items() for line in _section(name, entries)
    )


def _section(name: str, entries: Sequence[Entry]) -> Iterator[str]:
    if not entries:
        yield f"{name}: []"
        return
    yield f"{name}:"
    for entry in entries:
        yield from (f"  # {_comment(text)}" for text in entry.comment.split("\n", 1))
        before = "  - "
        for field, value in entry.fields.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                yield f"{before}{field}:"
                yield from (f"      - {{{_flow(item)}}}" for item in value)
            else:
                yield f"{before}{field}: {_value(value)}"
            before = "    "


def _flow(item: Mapping[str, Any]) -> str:
    return ", ".join(f"{field}: {_value(value)}" for field, value in item.items())


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"' if text.isprintable() else f'"{"".join(map(_escaped, text))}"'


def _escaped(mark: str) -> str:
    """A character as it stands in double quotes: its number, where it cannot be shown."""
    if mark.isprintable():
        return mark
    return f"\\u{ord(mark):04x}" if ord(mark) < 0x10000 else f"\\U{ord(mark):08x}"


def _comment(text: str) -> str:
    """On one line, of what can be shown."""
    return "".join(mark if mark.isprintable() else " " for mark in text[:_COMMENT_CHARS])
