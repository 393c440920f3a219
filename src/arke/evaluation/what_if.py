"""What if: whom a rule would hold, and what a catalog edit would change, asked of profiles as they are stored.

Pure, and nothing is changed: whoever asks hands over stored bytes, and what is decoded from them is dropped.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec

from arke.domain.profile import decode_profile
from arke.evaluation.evaluate import INACTIVE_S, pass_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.domain.profile import Profile
    from arke.domain.rules.segment import SegmentRule
    from arke.evaluation.compiled import CompiledCatalog

SEARCHED_TRAITS = 32
"""Rules over more traits than these are not searched for in stored bytes: decoding is cheaper then."""


class RuleProbe:
    """One segment rule over the traits of a catalog: would it hold this profile now?

    Decides as the evaluator does at that very moment: a trait whose time to live is over does not count, swept
    or not. A rule is false without any of its traits, so a profile that does not even have their bytes in it
    need not be decoded: that makes three of four profiles, and more, four times as cheap.
    """

    def __init__(self, compiled: CompiledCatalog, rule: SegmentRule) -> None:
        self._compiled = compiled
        self._rule = rule
        self._mentions = _search_for(rule.traits) if len(rule.traits) <= SEARCHED_TRAITS else None

    def holds(self, body: bytes, now: int) -> bool:
        """Whether the stored profile would be in a segment of this rule."""
        if self._mentions is not None and self._mentions(body) is None:
            return False
        profile = decode_profile(body)
        if profile.opted_out or (profile.heard and now >= profile.heard + INACTIVE_S):
            return False
        traits, expiry = profile.traits, self._compiled.expiry
        named = self._rule.traits
        for trait_id in [number for number in traits if number in named]:
            if expiry(trait_id, traits[trait_id].last) <= now:
                del traits[trait_id]
        return self._rule.holds(traits, now)


def _search_for(traits: frozenset[int]) -> Callable[[bytes], re.Match[bytes] | None]:
    """Finds any of these traits in a stored profile; finds other things too, but never overlooks one."""
    keys = sorted(msgspec.msgpack.encode(trait_id) for trait_id in traits)
    return re.compile(b"|".join(map(re.escape, keys)), re.DOTALL).search


class EditProbe:
    """A catalog edit: in which of the segments it may move is a profile before it, and in which after it?"""

    def __init__(self, before: CompiledCatalog, after: CompiledCatalog, moving: frozenset[int]) -> None:
        self._before = before
        self._after = after
        self._moving = moving

    def members(self, body: bytes, now: int) -> tuple[set[int], set[int]]:
        """The segments of `moving` that a stored profile is in now, and would be in under the edit.

        Both sides are brought to now, so what time alone has changed is not put down to the edit.
        """
        return self._under(self._before, body, now), self._under(self._after, body, now)

    def _under(self, compiled: CompiledCatalog, body: bytes, now: int) -> set[int]:
        profile: Profile = decode_profile(body)
        if not profile.opted_out:
            pass_time(compiled, profile, now)
        return {
            number
            for number, membership in profile.segments.items()
            if membership.status and number in self._moving
        }
