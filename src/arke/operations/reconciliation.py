"""Whom a destination knows to be in a segment, whom it does not, and why: statements whose buckets add up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import msgspec

from arke.domain.time import utc_text
from arke.domain.token import LOCAL
from arke.engine.what_if import interval, scaled
from arke.errors import InvalidInput, Unavailable
from arke.shard.tally import LEFT, SAMPLES, Counts, Tally, totals
from arke.telling.accounts import BUCKETS, LEFT_BUCKETS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Clock
    from arke.engine.audit import Audit
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.reconciliation import Count, Part, Reconciliation
    from arke.operations.sizes import SizeOperations

Basis = Literal["now", "sample", "count"]
FEW_HOURS_S = 6 * 3_600
"""A count is shown for so long; then a sample of today says more."""


class Counting(msgspec.Struct, frozen=True):
    """A count of all users of a destination in the background: how far it is, and when. Times are RFC 3339;
    `error`: why it ended without a result.
    """

    destination: int
    running: bool
    looked_at: int
    stored: int
    share: float
    begun: str
    finished: str | None = None
    error: str | None = None


class Users(msgspec.Struct, frozen=True, kw_only=True):
    """What the numbers of a statement rest on. `basis`: `now`, all profiles were looked at; `sample`, some of them
    at random, and each bucket has its 95% interval in `ranges`; `count`, the last count of all. `at` is when, RFC
    3339; `changed`: journal records that were written while it was counted. `counting` is the newest count of all.
    `away`: shards that did not answer, whose users are missing.
    """

    basis: Basis
    exact: bool
    looked_at: int
    stored: int
    at: str
    changed: int
    ranges: dict[str, tuple[int, int]]
    counting: Counting | None
    away: list[int] = []


class Statement(Users, frozen=True, kw_only=True):
    """Every user of a segment in exactly one bucket: `buckets` add up to `users`, and the `reasons` of a bucket to
    the bucket. `left`: who is out of the segment, and whom the destination believes to be in, by what becomes of
    the 0. `members` is the size of the segment as it is kept; None while a store is gone through for it.
    """

    segment: int
    destination: int
    users: int
    buckets: dict[str, int]
    reasons: Counts
    left: dict[str, int]
    left_reasons: Counts
    members: int | None


class Funnel(Users, frozen=True, kw_only=True):
    """A destination's users over all its segments: `qualified`, in one that is mapped to it now; with a
    `partner_id` that it takes; `sent`, a message has told or tried to tell one; `acknowledged`, all there is to
    tell; `owed`. Buckets add up to `qualified`.
    """

    destination: int
    qualified: int
    partner_id: int
    sent: int
    acknowledged: int
    owed: int
    buckets: dict[str, int]
    reasons: Counts
    left: dict[str, int]
    left_reasons: Counts


class Samples(msgspec.Struct, frozen=True):
    """Some users of a bucket: UUIDs, or `DPID:ID` of people for whom no device speaks."""

    destination: int
    segment: int | None
    bucket: str
    uuids: list[str]


class Overlap(msgspec.Struct, frozen=True, kw_only=True):
    """Two segments and who is in `both`: with 95% confidence `low` to `high`. Shares are of the members of each."""

    one: int
    other: int
    one_members: int
    other_members: int
    both: int
    low: int
    high: int
    share_of_one: float
    share_of_other: float
    exact: bool
    looked_at: int
    stored: int


NO_ID = ("no_partner_id", "spoken_for")


class ReconciliationOperations:
    """Statements, funnels and overlaps. Counts that are begun and users that are named are audited."""

    def __init__(
        self,
        reconciliation: Reconciliation,
        live: LiveCatalog,
        sizes: SizeOperations,
        audit: Audit,
        clock: Clock,
    ) -> None:
        self._counts = reconciliation
        self._live = live
        self._sizes = sizes
        self._audit = audit
        self._clock = clock

    async def statement(self, segment: int, destination: int) -> Statement:
        """At once: see `Users.basis`. Raises InvalidInput, Unavailable."""
        self._check(segment)
        found = await self._found(destination, segment)
        sizes = await self._sizes.of([segment])
        return Statement(
            segment=segment,
            destination=destination,
            users=sum(totals(found.buckets).values()),
            buckets=totals(found.buckets),
            reasons=found.buckets,
            left=totals(found.left),
            left_reasons=found.left,
            members=sizes.members[segment] if sizes.counted >= 1 else None,
            **found.grounds,
        )

    async def funnel(self, destination: int) -> Funnel:
        """At once: see `Users.basis`. Raises InvalidInput, Unavailable."""
        found = await self._found(destination, None)
        buckets = totals(found.buckets)
        qualified = sum(buckets.values())
        return Funnel(
            destination=destination,
            qualified=qualified,
            partner_id=qualified - sum(buckets.get(bucket, 0) for bucket in NO_ID),
            sent=found.sent,
            acknowledged=buckets.get("acknowledged", 0) + buckets.get("told_by_batch", 0),
            owed=buckets.get("owed", 0),
            buckets=buckets,
            reasons=found.buckets,
            left=totals(found.left),
            left_reasons=found.left,
            **found.grounds,
        )

    async def begin(self, destination: int, *, actor: str = LOCAL) -> Counting:
        """Count all users of a destination, of all its segments, in the background; answers at once. Raises
        InvalidInput.
        """
        counting = _counting(self._counts.begin(destination))
        await self._audit.record(actor, "count_begun", f"users of destination {destination}")
        return counting

    async def counting(self, destination: int) -> Counting:
        """The newest count of a destination. Raises InvalidInput where there is none."""
        count = self._counts.newest(destination)
        if count is None:
            raise InvalidInput(f"nobody has had the users of destination {destination} counted here")
        return _counting(count)

    async def samples(
        self, destination: int, bucket: str, segment: int | None = None, *, actor: str = LOCAL
    ) -> Samples:
        """Some users of a bucket, of one segment or of the whole; `left:owed` and so on for those who are out.
        Raises InvalidInput, Unavailable.
        """
        if segment is not None:
            self._check(segment)
        _check_bucket(bucket)
        count = self._counts.complete(destination)
        kept = count.whole.samples.get(bucket, []) if count is not None and segment is None else []
        found = kept or await self._counts.some(destination, segment, bucket)
        where = f"destination {destination}" + (f", segment {segment}" if segment is not None else "")
        await self._audit.record(actor, "users_sampled", f"{len(found)} of a bucket of {where}")
        return Samples(destination, segment, bucket, found[:SAMPLES])

    async def overlap(self, one: int, other: int) -> Overlap:
        """Who is in both of two segments. Raises InvalidInput, Unavailable."""
        for segment in (one, other):
            self._check(segment)
        kept = await self._sizes.of([one, other])
        if kept.counted < 1:
            raise Unavailable("the sizes of segments are being counted, once: ask again in a moment")
        parts, sizes = await self._counts.overlap(one, other), kept.members
        looked = sum(part.sample.looked for part in parts)
        stored = sum(part.sample.stored for part in parts)
        exact = all(part.sample.exact for part in parts)
        seen = sum(part.both for part in parts)
        both = round(sum(scaled(part.both, part.sample.looked, part.sample.stored) for part in parts))
        both = min(both, sizes[one], sizes[other])
        low, high = (both, both) if exact else interval(both, looked, stored)
        return Overlap(
            one=one,
            other=other,
            one_members=sizes[one],
            other_members=sizes[other],
            both=both,
            low=max(min(low, both), min(seen, both)),
            high=max(both, min(high, sizes[one], sizes[other])),
            share_of_one=_share(both, sizes[one]),
            share_of_other=_share(both, sizes[other]),
            exact=exact,
            looked_at=looked,
            stored=stored,
        )

    async def _found(self, destination: int, segment: int | None) -> _Found:
        newest = self._counts.newest(destination)
        counting = None if newest is None else _counting(newest)
        count = self._counts.complete(destination)
        now = int(self._clock.now())
        parts, away = await self._counts.at_once(destination, segment)
        if count is not None and (away or not all(part.exact for part in parts)):
            fresh = now - (count.finished or 0) < FEW_HOURS_S
            if fresh and (segment is None or segment in count.segments):
                return _of_count(count, segment, counting)
        return _of_parts(parts, segment, now, counting, away)

    def _check(self, segment: int) -> None:
        if all(one.id != segment for one in self._live.catalog.segments):
            raise InvalidInput(f"no segment {segment} in the catalog")


def _check_bucket(bucket: str) -> None:
    """Raises InvalidInput for a name that no user is ever under: it would be answered as an empty bucket."""
    known = LEFT_BUCKETS if bucket.startswith(LEFT) else BUCKETS
    if bucket.removeprefix(LEFT) not in known:
        left = ", ".join(LEFT + name for name in LEFT_BUCKETS)
        raise InvalidInput(f"there is no such bucket: there are {', '.join(BUCKETS)}, {left}")


class _Found(msgspec.Struct, frozen=True):
    """Counts, and what they rest on."""

    buckets: Counts
    left: Counts
    sent: int
    grounds: dict[str, Any]


def _of_count(count: Count, segment: int | None, counting: Counting | None) -> _Found:
    tally = count.whole if segment is None else count.segments.get(segment, Tally())
    grounds = Users(
        basis="count",
        exact=True,
        looked_at=count.looked,
        stored=count.stored,
        at=utc_text(count.finished or count.begun),
        changed=count.changed,
        ranges={},
        counting=counting,
    )
    return _Found(tally.buckets, tally.left, tally.sent, msgspec.structs.asdict(grounds))


def _of_parts(
    parts: Sequence[Part], segment: int | None, now: int, counting: Counting | None, away: list[int]
) -> _Found:
    """All of every part, or as much as what was looked at stands for: each shard's share is taken for itself."""
    found = [part.whole if segment is None else part.segments.get(segment, Tally()) for part in parts]
    scales = [scaled(1, part.looked, part.stored) for part in parts]
    looked, stored = sum(part.looked for part in parts), sum(part.stored for part in parts)
    exact = not away and all(part.exact for part in parts)
    buckets = _scaled([tally.buckets for tally in found], scales)
    left = _scaled([tally.left for tally in found], scales)
    sent = round(sum(tally.sent * scale for tally, scale in zip(found, scales, strict=True)))
    named = {**totals(buckets), **{LEFT + bucket: users for bucket, users in totals(left).items()}}
    grounds = Users(
        basis="now" if exact else "sample",
        exact=exact,
        looked_at=looked,
        stored=stored,
        at=utc_text(now),
        changed=0,
        ranges={} if exact else {name: interval(users, looked, stored) for name, users in named.items()},
        counting=counting,
        away=away,
    )
    return _Found(buckets, left, sent, msgspec.structs.asdict(grounds))


def _scaled(parts: Sequence[Counts], scales: Sequence[float]) -> Counts:
    sums: dict[str, dict[str, float]] = {}
    for counts, scale in zip(parts, scales, strict=True):
        for bucket, reasons in counts.items():
            into = sums.setdefault(bucket, {})
            for reason, users in reasons.items():
                into[reason] = into.get(reason, 0.0) + users * scale
    return {
        bucket: {reason: round(users) for reason, users in reasons.items()}
        for bucket, reasons in sums.items()
    }


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _counting(count: Count) -> Counting:
    share = 1.0 if count.complete else min(count.looked / count.stored, 0.999) if count.stored else 0.0
    return Counting(
        destination=count.destination,
        running=count.running,
        looked_at=count.looked,
        stored=count.stored,
        share=round(share, 4),
        begun=utc_text(count.begun),
        finished=utc_text(count.finished) if count.finished is not None else None,
        error=count.error,
    )
