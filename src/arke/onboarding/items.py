"""The items of an onboarding line: `<id> TAB <item>,<item>,...` (dossier 15).

| item | means |
|---|---|
| `d_sid=24` | realise trait 24 |
| `d_unsid=28`, `28:0`, `28:-1` | remove trait 28 |
| `30608`, `ic=30608` | the signal `ic`, which traits name by integration code or rule: not trait 30608 |
| `key=value`, each part bare or in double quotes | a signal; a key may be repeated; leading dashes go |
"""

from __future__ import annotations

import re

import msgspec

_TYPOGRAPHIC = str.maketrans({"\u201c": '"', "\u201d": '"', "\u201e": '"'})
_ITEM = re.compile(r'((?:[^",]|"[^"]*")*)(?:,|$)')
_PAIR = re.compile(r'\s*(?:"([^"]*)"|([^"=]+?))\s*=\s*(?:"([^"]*)"|([^"]*?))\s*', re.DOTALL)
_REMOVAL = re.compile(r"([0-9]{1,18}):(?:0|-1)")
MAX_TRAIT_DIGITS = 18


class Malformed(ValueError):
    """The line cannot be read; the text says why, without a word of the line."""


class Items(msgspec.Struct):
    """What a line says. `unread`: items of no known form. `memberships` come from tables only."""

    realise: list[int] = []
    remove: list[int] = []
    signals: dict[str, list[str]] = {}
    memberships: dict[int, int] = {}
    unread: int = 0

    @property
    def empty(self) -> bool:
        return not (self.realise or self.remove or self.signals or self.memberships or self.unread)

    def signal(self, key: str, value: str) -> None:
        self.signals.setdefault(key, []).append(value)


def read_items(text: str) -> Items:
    """Read the part behind the tab. Raises Malformed."""
    if "\t" in text:
        raise Malformed("a tab among the items")
    items = Items()
    for item in _split(text):
        if item:
            _read(item, items)
    return items


def _split(text: str) -> list[str]:
    """At commas outside of quotes; empty items stay empty."""
    if not text.isascii():
        text = text.translate(_TYPOGRAPHIC)
    if '"' not in text:
        return [item.strip() for item in text.split(",")]
    parts = []
    place = 0
    while place < len(text):
        found = _ITEM.match(text, place)
        if found is None:
            raise Malformed("a quote is not closed")
        parts.append(found[1].strip())
        place = found.end()
    return parts


def _read(item: str, items: Items) -> None:
    if item.isascii() and item.isdigit():
        items.signal("ic", item)
        return
    removal = _REMOVAL.fullmatch(item)
    if removal is not None:
        items.remove.append(int(removal[1]))
        return
    pair = _PAIR.fullmatch(item)
    if pair is None:
        items.unread += 1
        return
    key = (pair[1] if pair[1] is not None else pair[2]).strip().lstrip("-")
    value = pair[3].strip() if pair[3] is not None else pair[4]
    if key in ("d_sid", "d_unsid"):
        if not (value.isascii() and value.isdigit() and len(value) <= MAX_TRAIT_DIGITS):
            items.unread += 1
        else:
            (items.realise if key == "d_sid" else items.remove).append(int(value))
    elif key and value:
        items.signal(key, value)
    else:
        items.unread += 1
