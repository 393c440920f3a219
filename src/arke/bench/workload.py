"""The load that benches share: a catalog of any size, its visitors, their events and their stored profiles.

Everything is drawn from a seed, so two runs do the same work. An event (about 400 bytes as NDJSON) realises
two to three traits whatever the size of the catalog: a visitor keeps to a few categories of their own, as
people do. Visitors are drawn by a Zipf-Mandelbrot law: some come often, none is a robot with a share of
everything.
"""

from __future__ import annotations

import random
from itertools import accumulate
from typing import TYPE_CHECKING

import msgspec

from arke.domain.catalog import Catalog, DataSource, Mapping, Segment, Trait
from arke.domain.event import Event
from arke.domain.membership import Membership
from arke.domain.profile import NEVER, PartnerId, Profile, TraitState
from arke.domain.rules.segment import compile_segment_rule
from arke.domain.time import DAY_S
from arke.evaluation.compiled import fingerprint_of
from arke.shard.commands import Sight

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.catalog import Destination

PARTNER_DPID = 12345
FIRST_TRAIT = 1_000
FIRST_SEGMENT = 500_000
TRAITS_PER_CATEGORY = 4
CATEGORIES_PER_VISITOR = 8
FLATNESS = 100
EVENTS_PER_S = 10_000
SHAPES = 997
_SPREAD = 0x9E3779B97F4A7C15F39CC0605CEDC835


class Workload:
    """A catalog with `traits` rule traits and `segments` segments, and `users` visitors, as of `now`."""

    def __init__(
        self,
        *,
        now: int,
        traits: int = 200,
        segments: int = 100,
        users: int = 100_000,
        destinations: tuple[Destination, ...] = (),
        seed: int = 7,
    ) -> None:
        self.now = now
        self.users = users
        self._categories = max(1, traits // TRAITS_PER_CATEGORY)
        self._seed = seed
        self.catalog = Catalog(
            data_sources=(DataSource(id=PARTNER_DPID, name="partner"),),
            traits=tuple(self._traits()),
            segments=tuple(self._segments(segments)),
            destinations=tuple(
                msgspec.structs.replace(
                    destination,
                    segments=tuple(Mapping(segment=FIRST_SEGMENT + n) for n in range(segments)),
                )
                for destination in destinations
            ),
        )
        self._weights: list[float] = []
        self._rules = [
            (segment.id, compile_segment_rule(segment.rule))
            for segment in self.catalog.segments
            if segment.rule is not None
        ]
        self._by_trait: dict[int, list[int]] = {}
        for number, (_, rule) in enumerate(self._rules):
            for trait_id in rule.traits:
                self._by_trait.setdefault(trait_id, []).append(number)
        self._fingerprint = fingerprint_of(self.catalog)
        self._shapes: dict[int, Profile] = {}

    # --- catalog ----------------------------------------------------------------------------------------

    def _traits(self) -> list[Trait]:
        rules = (
            'c_category == "cat{k}"',
            'c_category == "cat{k}" AND c_price >= 500',
            'c_product == "p{k}" AND c_action == "view"',
            'c_brand == "b{k}" AND c_action == "buy"',
        )
        return [
            Trait(id=FIRST_TRAIT + TRAITS_PER_CATEGORY * k + n, rule=rule.format(k=k))
            for k in range(self._categories)
            for n, rule in enumerate(rules)
        ]

    def _segments(self, count: int) -> list[Segment]:
        """Rules over traits of neighbouring categories, three to four traits each, three kinds in turn."""
        rng = random.Random(self._seed)  # noqa: S311 - reproducible load, no secret
        traits = self._categories * TRAITS_PER_CATEGORY
        found = []
        for number in range(count):
            middle = number * traits // count
            a, b, c = (FIRST_TRAIT + (middle + rng.randrange(12)) % traits for _ in range(3))
            rule = (
                f"{a}T AND ({b}T OR {c}T)",
                f"FREQUENCY([{a}T,{b}T] <= {rng.randrange(2, 30)}D) >= {rng.randrange(2, 5)} AND NOT {c}T",
                f"FREQUENCY([{a}T]) >= 2 OR {b}T AND NOT {c}T",
            )[number % 3]
            found.append(Segment(id=FIRST_SEGMENT + number, rule=rule))
        return found

    # --- visitors ---------------------------------------------------------------------------------------

    @staticmethod
    def uuid(number: int) -> str:
        """The device of a visitor: numbers spread over the whole range, as real ones are."""
        return f"{(number + 1) * _SPREAD % 10**38:038d}"

    def _category(self, rng: random.Random, user: int) -> int:
        return (user * 31 + rng.randrange(CATEGORIES_PER_VISITOR)) % self._categories

    def visitors(self, count: int, seed: int) -> list[int]:
        """Who comes, in order."""
        if not self._weights:
            self._weights = list(accumulate(1 / (rank + FLATNESS) for rank in range(self.users)))
        rng = random.Random(self._seed + seed)  # noqa: S311
        return rng.choices(range(self.users), cum_weights=self._weights, k=count)

    def signals(self, rng: random.Random, user: int) -> dict[str, list[str]]:
        category = self._category(rng, user)
        return {
            "c_category": [f"cat{category}"],
            "c_product": [f"p{self._category(rng, user)}"],
            "c_brand": [f"b{self._category(rng, user)}"],
            "c_action": ["buy" if rng.random() < 0.2 else "view"],
            "c_price": [str(rng.randrange(1_000))],
            "d_url": [f"https://shop.example/catalogue/{category}/item-{rng.randrange(100_000)}"],
            "d_country": ["DE"],
            "h_user-agent": ["Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"],
        }

    def sights(self, count: int, *, seed: int = 0) -> list[Sight]:
        """Events ready for a shard, EVENTS_PER_S of them to a second."""
        rng = random.Random(self._seed * 1_000 + seed)  # noqa: S311
        sights = []
        for number, user in enumerate(self.visitors(count, seed)):
            at = self.now + number // EVENTS_PER_S
            event = Event(uuid=self.uuid(user), at=at, ts=at, signals=self.signals(rng, user))
            sights.append(Sight(event, lists=False))
        return sights

    def lines(self, users: Sequence[int], *, seed: int = 0) -> list[bytes]:
        """The same events as NDJSON lines, each with the visitor's partner id."""
        rng = random.Random(self._seed * 1_000 + seed)  # noqa: S311
        return [
            msgspec.json.encode(
                {
                    "uuid": self.uuid(user),
                    "ids": [{"dpid": PARTNER_DPID, "id": f"partner-{user:012d}"}],
                    "signals": {key: values[0] for key, values in self.signals(rng, user).items()},
                }
            )
            for user in users
        ]

    # --- stored profiles --------------------------------------------------------------------------------

    def profile(self, number: int) -> Profile:
        """A visitor's stored profile: about ten traits, 450 bytes. Only to be encoded: shapes are shared."""
        shape = number % SHAPES
        known = self._shapes.get(shape)
        if known is None:
            known = self._shapes[shape] = self._shape(shape)
        partner = PartnerId(PARTNER_DPID, f"partner-{number:012d}", 0, self.now - 30 * DAY_S)
        return msgspec.structs.replace(known, uuid=self.uuid(number), ids=[partner])

    def _shape(self, number: int) -> Profile:
        rng = random.Random(f"{self._seed}:{number}")  # noqa: S311
        traits: dict[int, TraitState] = {}
        while len(traits) < min(10, self._categories * TRAITS_PER_CATEGORY):
            trait_id = FIRST_TRAIT + self._category(rng, number) * TRAITS_PER_CATEGORY + rng.randrange(4)
            times = sorted(self.now - rng.randrange(1, 50 * DAY_S) for _ in range(rng.randrange(1, 4)))
            traits[trait_id] = TraitState(times[-1], 0, times)
        wanted = sorted({n for trait_id in traits for n in self._by_trait.get(trait_id, ())})
        held = [self._rules[n][0] for n in wanted if self._rules[n][1].holds(traits, self.now)]
        seen = max(state.last for state in traits.values())
        return Profile(
            "",
            seen=seen,
            heard=seen,
            evaluated=seen,
            due=NEVER,
            fingerprint=self._fingerprint,
            realisations=sum(len(state.times) for state in traits.values()),
            traits=traits,
            memberships={segment_id: Membership(1, seen, seen, "rule") for segment_id in held},
            regions=[6],
        )
