"""What-if answers: how many stored profiles a rule would hold, and whom a plan would move before it is applied."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from arke.catalog.references import check_loose_rule
from arke.errors import ArkeError, Unavailable
from arke.shard.protocol import AskEstimate, AskForecast, Estimated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.catalog.plan import Plan
    from arke.domain.catalog import Catalog
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards
    from arke.shard.protocol import Behind, Forecasted, Prepare
    from arke.storage.committer import Committer

SAMPLED_ABOVE = 100_000
"""Up to so many stored profiles are all looked at; of more, so many are (unless the question says otherwise)."""
MAX_SAMPLE = 1_000_000_000
Z_95 = 1.959964
"""Standard deviations that hold 95% of a normal distribution."""

ALARMING_SHARE = 0.5
"""An edit that moves more than this share of the stored profiles is said to be alarming."""
EMPTIED_LISTED = 10
"""Emptied segments are named up to here, beyond it counted."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """`estimate` of `stored` profiles would be held; with 95% confidence between `low` and `high`.

    `exact`: all were looked at, and the three are one. `warnings` are doubts about the rule.
    """

    estimate: int
    low: int
    high: int
    looked_at: int
    stored: int
    exact: bool
    warnings: list[str]


class Estimator:
    """Asks all shards. `compiler` runs what takes long for a large rule."""

    def __init__(self, catalog: LiveCatalog, shards: Shards, compiler: Committer) -> None:
        self._catalog = catalog
        self._shards = shards
        self._compiler = compiler

    async def estimate(self, rule: str, limit: int) -> Estimate:
        """How many stored profiles a segment rule would hold now, from up to `limit` of them.

        Raises RuleError, also where the rule names traits that the catalog does not have, and Unavailable where no
        shard answers.
        """
        warnings = await self._compiler.run(check_loose_rule, rule, self._catalog.catalog)
        each = -(-limit // len(self._shards))
        answers = await self._shards.ask_each(AskEstimate(rule, each))
        parts = [answer for answer in answers if not isinstance(answer, ArkeError)]
        errors = [answer for answer in answers if isinstance(answer, ArkeError)]
        wrong = next((error for error in errors if not isinstance(error, Unavailable)), None)
        if wrong is not None or not parts:
            raise wrong or errors[0]
        if errors:
            warnings = [
                *warnings,
                f"{len(errors)} of {len(answers)} shards do not answer: theirs do not count",
            ]
        return estimate_from(parts, warnings)


def estimate_from(parts: Sequence[Estimated], warnings: list[str]) -> Estimate:
    """One answer from every shard's. Each shard's share is taken for itself: they are not of one size."""
    looked = sum(part.sample.looked for part in parts)
    stored = sum(part.sample.stored for part in parts)
    holding = sum(part.holding for part in parts)
    exact = all(part.sample.exact for part in parts)
    if exact:
        low = high = estimate = holding
    else:
        estimate = round(sum(scaled(part.holding, part.sample.looked, part.sample.stored) for part in parts))
        low, high = interval(estimate, looked, stored)
        # What was seen is certain: so many are held, and so many are not.
        low, high = max(low, holding), min(high, stored - (looked - holding))
    return Estimate(
        estimate=estimate,
        low=min(low, estimate),
        high=max(high, estimate),
        looked_at=looked,
        stored=stored,
        exact=exact,
        warnings=warnings,
    )


def scaled(count: int, looked: int, stored: int) -> float:
    """What a count among `looked` profiles means for all."""
    return count * stored / looked if looked else 0.0


def interval(estimate: int, looked: int, stored: int) -> tuple[int, int]:
    """The 95% interval around an estimate, in profiles, rounded outwards.

    Wilson's score interval: it keeps its word near none and all, where the usual one does not. A sample drawn
    without putting back is worth more the larger a part of everything it is; with all looked at it is exact.
    """
    if looked >= stored:
        return estimate, estimate
    share = min(1.0, estimate / stored)  # what several parts were rounded to may add up to a little more
    worth = looked * (stored - 1) / (stored - looked)
    squared = Z_95 * Z_95
    middle = (share + squared / (2 * worth)) / (1 + squared / worth)
    spread = Z_95 * math.sqrt(share * (1 - share) / worth + squared / (4 * worth * worth))
    half = spread / (1 + squared / worth)
    low, high = (middle - half) * stored, (middle + half) * stored
    return max(0, math.floor(low)), min(stored, math.ceil(high))


class SegmentForecast(msgspec.Struct, frozen=True, kw_only=True):
    """One segment: profiles in it now, and how many would enter and leave it by the edit."""

    segment: int
    name: str
    removed: bool
    members: int
    enter: int
    leave: int

    def line(self) -> str:
        """`14356 In market: 120 -> 148 members (40 enter, 12 leave)`."""
        title = f"{self.segment} {self.name}".rstrip() + (" (removed)" if self.removed else "")
        after = self.members + self.enter - self.leave
        return f"{title}: {self.members:,} -> {after:,} members ({self.enter:,} enter, {self.leave:,} leave)"


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """Whom an edit would move, estimated for all `stored` profiles from the `looked_at`; `exact` if these
    were all.

    `concerned`: those that move, or hold something the edit is about; `moved`: those that enter or leave.
    `edited`: how many segments' members may differ; `segments` are those of them that somebody is in.
    """

    concerned: int = 0
    moved: int = 0
    stored: int
    looked_at: int
    exact: bool
    edited: int = 0
    segments: list[SegmentForecast] = []

    @classmethod
    def nothing(cls, stored: int) -> Forecast:
        """Of a plan that changes nothing."""
        return cls(stored=stored, looked_at=stored, exact=True)

    def lines(self) -> list[str]:
        """The forecast for people: a line for each segment that somebody enters or leaves."""
        if not self.edited or not self.stored:
            return []
        moving = [one for one in self.segments if one.enter or one.leave]
        if not moving:
            return [f"nobody would enter or leave a segment{self._basis()}"]
        found = [f"who would move{self._basis()}:", *(f"  {one.line()}" for one in moving)]
        if still := self.edited - len(moving):
            found.append(f"  {still:,} more: nobody enters or leaves")
        return found

    def alarms(self) -> list[str]:
        """What somebody should know before this is applied."""
        found = []
        if self.moved > self.stored * ALARMING_SHARE:
            found.append(
                f"this edit moves {self._about()}{self.moved:,} of {self.stored:,} stored profiles "
                f"into or out of segments: more than {ALARMING_SHARE:.0%}{self._basis()}"
            )
        emptied = [one for one in self.segments if self._empties(one)]
        found += [
            f"segment {f'{one.segment} {one.name}'.rstrip()} is left empty: "
            f"all {self._about()}{one.members:,} members leave{self._basis()}"
            for one in emptied[:EMPTIED_LISTED]
        ]
        if len(emptied) > EMPTIED_LISTED:
            found.append(f"{len(emptied) - EMPTIED_LISTED:,} more segments are left empty")
        return found

    @staticmethod
    def _empties(one: SegmentForecast) -> bool:
        return not one.removed and one.members > 0 and one.leave == one.members and not one.enter

    def _about(self) -> str:
        return "" if self.exact else "about "

    def _basis(self) -> str:
        return "" if self.exact else f" (estimated from {self.looked_at:,} of {self.stored:,} profiles)"


class Returning(msgspec.Struct, frozen=True, kw_only=True):
    """A destination that an edit switches on again, and of how many users it is told what changed meanwhile."""

    destination: int
    users: int
    exact: bool

    def line(self) -> str:
        users = f"{'' if self.exact else 'about '}{self.users:,} user{'' if self.users == 1 else 's'}"
        return f"destination {self.destination} is on again: a run tells it what changed meanwhile ({users})"


def returning_from(parts: Sequence[Behind], destinations: Sequence[int]) -> list[Returning]:
    """How many users each destination is to be told of, from every shard's sample."""
    return [
        Returning(
            destination=number,
            users=round(sum(scaled(p.users[number], p.sample.looked, p.sample.stored) for p in parts)),
            exact=all(part.sample.exact for part in parts),
        )
        for number in destinations
    ]


def question(plan: Plan, prepared: Prepare, *, keep: bool) -> AskForecast:
    """What a plan asks of every shard once its catalog is prepared."""
    removed = frozenset(plan.ids("segment", "removed"))
    return AskForecast(
        version=prepared.version,
        mark=prepared.mark,
        moving=plan.backfill | removed,
        traits=frozenset(plan.ids("trait", "removed")),
        segments=plan.backfill | removed,
        destinations=plan.mapping_changed,
        keep=keep,
    )


def forecast_from(parts: Sequence[Forecasted], before: Catalog, after: Catalog, edited: int) -> Forecast:
    """One forecast from every shard's; each shard's share is taken for itself."""
    scales = [scaled(1, part.sample.looked, part.sample.stored) for part in parts]
    names = {segment.id: segment.name for segment in (*before.segments, *after.segments)}
    kept = {segment.id for segment in after.segments}
    totals: dict[int, list[float]] = {}
    for part, scale in zip(parts, scales, strict=True):
        for number, flow in part.flows.items():
            total = totals.setdefault(number, [0.0, 0.0, 0.0])
            total[0] += flow.before * scale
            total[1] += flow.enter * scale
            total[2] += flow.leave * scale
    return Forecast(
        concerned=round(sum(part.concerned * scale for part, scale in zip(parts, scales, strict=True))),
        moved=round(sum(part.moved * scale for part, scale in zip(parts, scales, strict=True))),
        stored=sum(part.sample.stored for part in parts),
        looked_at=sum(part.sample.looked for part in parts),
        exact=all(part.sample.exact for part in parts),
        edited=edited,
        segments=[
            SegmentForecast(
                segment=number,
                name=names.get(number, ""),
                removed=number not in kept,
                members=round(members),
                enter=round(enter),
                leave=round(leave),
            )
            for number, (members, enter, leave) in sorted(totals.items())
        ],
    )
