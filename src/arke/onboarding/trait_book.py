"""Which onboarded traits a line concerns: by number, by integration code, or by rule over its signals."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.domain.rules.boolean import terms
from arke.domain.rules.matcher import TraitMatcher
from arke.domain.rules.trait import compile_trait_rule

if TYPE_CHECKING:
    from arke.domain.catalog import Catalog
    from arke.onboarding.items import Items

CODE_KEY = "ic"


class Meaning(msgspec.Struct, frozen=True):
    """What a line comes to. `invalid`: traits of other data sources; `unused`: signals nobody asks for."""

    realise: tuple[int, ...]
    remove: tuple[int, ...]
    memberships: dict[int, int]
    invalid: int
    signals: int
    unused: int

    @property
    def nothing(self) -> bool:
        return not (self.realise or self.remove or self.memberships)


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
        self._keys = {term.key for _, rule in rules for term in terms(rule.expression)}

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
                        found.update(self._by_code.get(code, ()))
                        unused += code not in self._by_code and key not in self._keys
                elif key not in self._keys:
                    unused += len(values)
        return Meaning(
            tuple(sorted(found)),
            tuple(sorted(gone)) if removing and gone else (),
            items.memberships,
            invalid,
            signals + items.unread,
            unused + items.unread,
        )
