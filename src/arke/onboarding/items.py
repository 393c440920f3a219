"""The items of an onboarding line, `<id> TAB <item>,<item>,...` (dossier 15), and which traits they concern.

| item | means |
|---|---|
| `d_sid=24` | realise trait 24 |
| `d_unsid=28`, `28:0`, `28:-1` | remove trait 28 |
| `30608`, `ic=30608` | the signal `ic`, which traits name by integration code or rule: not trait 30608 |
| `key=value`, each part bare or in double quotes | a signal; a key may be repeated; leading dashes go |
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from arke.domain.digits import whole_number
from arke.domain.file_lines import Said
from arke.domain.rules.commas import parted
from arke.domain.rules.matcher import TraitMatcher
from arke.domain.rules.trait import compile_trait_rule

if TYPE_CHECKING:
    from arke.domain.catalog import Catalog

_TYPOGRAPHIC = str.maketrans({"\u201c": '"', "\u201d": '"', "\u201e": '"'})
_PAIR = re.compile(r'\s*(?:"([^"]*)"|([^"=]+?))\s*=\s*(?:"([^"]*)"|([^"]*?))\s*', re.DOTALL)
_REMOVAL = re.compile(r"([0-9]{1,18}):(?:0|-1)")

CODE_KEY = "ic"
SHARED_LINES = 20_000
"""How many different lines are remembered, for those behind them that say the same."""


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
    for part in _split(text):
        item = part.strip()
        if item:
            _read(item, items)
    return items


def _split(text: str) -> list[str]:
    """At commas outside of quotes; empty items stay empty."""
    if not text.isascii():
        text = text.translate(_TYPOGRAPHIC)
    pieces = text.split(",")
    if '"' not in text:
        return pieces
    parts: list[str] = []
    held = ""
    for piece in pieces:
        held = f"{held},{piece}" if held else piece
        if held.count('"') % 2 == 0:
            parts.append(held)
            held = ""
    if held:
        raise Malformed("a quote is not closed")
    return parts


def _read(item: str, items: Items) -> None:
    if item.isdigit() and item.isascii():
        items.signal("ic", item)
        return
    key, equals, value = item.partition("=")
    if not equals:
        _read_removal(item, items)
        return
    if '"' in item:
        pair = _PAIR.fullmatch(item)
        if pair is None:
            items.unread += 1
            return
        key = pair[1] if pair[1] is not None else pair[2]
        value = pair[3] if pair[3] is not None else pair[4]
    key, value = key.strip().lstrip("-"), value.strip()
    if key in ("d_sid", "d_unsid"):
        trait = whole_number(value)
        if trait is None:
            items.unread += 1
        else:
            (items.realise if key == "d_sid" else items.remove).append(trait)
    elif key and value:
        items.signal(key, value)
    else:
        items.unread += 1


def _read_removal(item: str, items: Items) -> None:
    removal = _REMOVAL.fullmatch(item)
    if removal is None:
        items.unread += 1
    else:
        items.remove.append(int(removal[1]))


class Meaning(msgspec.Struct, frozen=True):
    """What a line comes to: what it says, `nothing` where that is nothing. `invalid`: traits of other data sources;
    `unused`: signals nobody asks for.
    """

    said: Said
    nothing: bool
    invalid: int
    signals: int
    unused: int


class TraitBook:
    """The onboarded traits of one data source (`target`) under one catalog; also those of no source.

    Rule-based traits never match a file's signals, as onboarded ones never match an event's.
    """

    def __init__(self, catalog: Catalog, target: int) -> None:
        own = [
            trait
            for trait in catalog.traits
            if trait.kind == "onboarded" and trait.data_source in (None, target)
        ]
        self.traits = self._own = frozenset(trait.id for trait in own)
        self._by_code: dict[str, list[int]] = {}
        for trait in own:
            if trait.integration_code is not None:
                self._by_code.setdefault(trait.integration_code, []).append(trait.id)
        rules = [
            (trait.id, compile_trait_rule(trait.rule, ignore_case=trait.ignore_case))
            for trait in own
            if trait.rule is not None
        ]
        self._matcher = TraitMatcher(rules) if rules else None
        self._keys = self._matcher.keys if self._matcher is not None else frozenset()
        self._said: dict[tuple[object, ...], Said] = {}

    def read(self, items: Items, *, removing: bool = True) -> Meaning:
        """`removing` False: an overwriting file, where `d_unsid` means nothing."""
        own = self._own
        found = set(own.intersection(items.realise))
        gone = own.intersection(items.remove)
        invalid = 0
        if len(found) < len(items.realise) or len(gone) < len(items.remove):
            invalid = sum(trait not in own for trait in (*items.realise, *items.remove))
        signals = unused = 0
        if items.signals:
            if self._matcher is not None:
                found.update(self._matcher.match(items.signals))
            for key, values in items.signals.items():
                signals += len(values)
                if key == CODE_KEY:
                    for code in values:
                        traits = [self._by_code[part] for part in parted([code]) if part in self._by_code]
                        found.update(*traits)
                        unused += not traits and key not in self._keys
                elif key not in self._keys:
                    unused += len(values)
        said = self._shared(tuple(sorted(found)), tuple(sorted(gone)) if removing else (), items.memberships)
        nothing = not (said.realise or said.remove or said.memberships)
        return Meaning(said, nothing, invalid, signals + items.unread, unused + items.unread)

    def _shared(self, realise: tuple[int, ...], remove: tuple[int, ...], memberships: dict[int, int]) -> Said:
        """What a line says: lines that say the same share one."""
        key = (realise, remove, tuple(memberships.items()))
        said = self._said.get(key)
        if said is None:
            if len(self._said) >= SHARED_LINES:
                self._said.clear()
            said = self._said[key] = Said(realise, remove, memberships)
        return said
