"""The demo's figures, and whether they add up: what one side counted must be what the other side counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from arke.demo.destinations import Sample
from arke.demo.reconcile import Reconciliation
from arke.operations.explain import Explanation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.demo.traffic import Tally
    from arke.operations.status import DestinationStatus, Status
    from arke.receiver.service import ReceiverStats


class EventFigures(msgspec.Struct, frozen=True):
    """What visitors sent and how the intake answered; `engine` is the engine's own count of `accepted`, `counted`
    how many of these have to be found in profiles.
    """

    sent: int
    accepted: int
    rejected: int
    rejected_by_code: dict[str, int]
    unanswered: int
    engine: int
    counted: int
    requests: int
    opt_outs: int
    seconds: float
    per_second: int


class MembershipFigures(msgspec.Struct, frozen=True):
    """Changes in the journal, and the memberships that are left: `changes` = `gained` + `lost`."""

    changes: int
    gained: int
    lost: int
    held: int


class DestinationFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One destination, by the engine's count and (`receiver_...`) by its own.

    `failed` messages failed twice; what they said was owed. Of `unanswered` attempts, with `users_unanswered` in
    them, nobody but the destination knows whether they arrived. Latencies run from the accepted event to the
    acknowledgement, in ms, over the visitors' traffic (not the replay). `owed` counts devices.
    """

    id: int
    name: str
    messages: int
    acknowledged: int
    failed: int
    retries: int
    unanswered: int
    users: int
    users_acknowledged: int
    users_failed: int
    users_unanswered: int
    receiver_requests: int
    receiver_accepted: int
    receiver_users: int
    receiver_refused: int
    owed_before_replay: int
    owed_after_replay: int
    p50_ms: float | None
    p99_ms: float | None


class Killed(msgspec.Struct, frozen=True):
    """A worker that was killed: how many shards it owned, and after how many seconds others did."""

    name: str
    shards: int
    seconds: float


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the demo found. `problems` is empty when all sums agree. `killed`: in a cluster one worker was,
    and what it had counted went with it.
    """

    ok: bool
    problems: list[str]
    visitors: int
    devices: int
    events: EventFigures
    memberships: MembershipFigures
    destinations: list[DestinationFigures]
    replayed_devices: int
    p50_ms: float | None
    p99_ms: float | None
    reconciliation: Reconciliation
    messages: list[Sample]
    explanation: Explanation | None
    killed: Killed | None = None
    wall_s: float = 0.0
    kept: str | None = None


def event_figures(tally: Tally, engine_events: int) -> EventFigures:
    return EventFigures(
        sent=tally.sent,
        accepted=tally.accepted,
        rejected=tally.rejected.total(),
        rejected_by_code=dict(sorted(tally.rejected.items())),
        unanswered=tally.unanswered,
        engine=engine_events,
        counted=tally.counted,
        requests=tally.requests,
        opt_outs=tally.opt_outs,
        seconds=round(tally.seconds, 1),
        per_second=round(tally.accepted / tally.seconds) if tally.seconds else 0,
    )


def membership_figures(changes: int, held: int) -> MembershipFigures:
    """Whoever is in a segment gained it once more than they lost it, so two counts give four."""
    return MembershipFigures(
        changes=changes, gained=(changes + held) // 2, lost=(changes - held) // 2, held=held
    )


def destination_figures(
    before: DestinationStatus, after: DestinationStatus, receiver: ReceiverStats
) -> DestinationFigures:
    """`before` and `after` the replay of what was owed."""
    return DestinationFigures(
        id=after.id,
        name=after.name,
        messages=after.messages,
        acknowledged=after.acknowledged,
        failed=after.messages - after.acknowledged,
        retries=after.retries,
        unanswered=after.unanswered,
        users=after.users,
        users_acknowledged=after.users_acknowledged,
        users_failed=after.users - after.users_acknowledged,
        users_unanswered=after.users_unanswered,
        receiver_requests=receiver.requests,
        receiver_accepted=receiver.accepted,
        receiver_users=receiver.users,
        receiver_refused=receiver.requests - receiver.accepted,
        owed_before_replay=before.owed,
        owed_after_replay=after.owed,
        p50_ms=before.p50_ms,
        p99_ms=before.p99_ms,
    )


class Check(msgspec.Struct, frozen=True):
    """What, how many; and of what there are to be as many, and how many there are: or so many `fewer`, or `more`,
    where an attempt without an answer may have arrived or not.
    """

    what: str
    count: int
    of: str
    other: int
    fewer: int = 0
    more: int = 0

    @property
    def holds(self) -> bool:
        return self.count - self.fewer <= self.other <= self.count + self.more

    def __str__(self) -> str:
        spread = self.fewer or self.more
        unclear = f", with {spread:,} unanswered" if spread else ""
        return f"{self.what} {self.count:,} != {self.of} {self.other:,}{unclear}"


def percentile(values: list[float], percent: int) -> float | None:
    """Of ascending values, the one that this many percent lie below."""
    return values[min(len(values) - 1, len(values) * percent // 100)] if values else None


def problems_of(
    events: EventFigures,
    memberships: MembershipFigures,
    destinations: Iterable[DestinationFigures],
    reconciliation: Reconciliation,
    status: Status,
) -> list[str]:
    """What does not add up, in words."""
    checks: list[Check] = [
        Check("events accepted", events.accepted, "events the engine counts", events.engine),
        Check(
            "membership changes",
            memberships.changes,
            "gained + lost",
            memberships.gained + memberships.lost,
        ),
    ]
    for row in destinations:
        checks += [
            Check(
                f"{row.name}: attempts",
                row.messages + row.retries,
                "requests it saw",
                row.receiver_requests,
                fewer=row.unanswered,
            ),
            Check(
                f"{row.name}: messages acknowledged",
                row.acknowledged,
                "accepted",
                row.receiver_accepted,
                more=row.unanswered,
            ),
            Check(
                f"{row.name}: users acknowledged",
                row.users_acknowledged,
                "users taken",
                row.receiver_users,
                more=row.users_unanswered,
            ),
            Check(
                f"{row.name}: failed attempts",
                row.retries + row.failed,
                "refused",
                row.receiver_refused,
                fewer=row.unanswered,
            ),
        ]
    wrong = [] if memberships.lost >= 0 else ["more memberships are held than were ever gained"]
    return wrong + _failed(checks) + lasting_problems_of(events, destinations, reconciliation, status)


def lasting_problems_of(
    events: EventFigures,
    destinations: Iterable[DestinationFigures],
    reconciliation: Reconciliation,
    status: Status,
) -> list[str]:
    """What does not add up of all that is stored: nobody's memory is asked, so anybody may have been killed."""
    checks: list[Check] = [
        Check("events sent", events.sent, "accepted + rejected", events.accepted + events.rejected),
        Check("looks, carts and purchases", events.counted, "found in profiles", reconciliation.counted),
        Check("devices of visitors", reconciliation.devices, "profiles stored", status.profiles),
        Check("lines the books disagree on", reconciliation.differing, "expected", 0),
        Check("lines about ids that nobody has", reconciliation.strays, "expected", 0),
        *(
            Check(f"{row.name}: owed after the replay", row.owed_after_replay, "expected", 0)
            for row in destinations
        ),
    ]
    return _failed(checks) + [f"books disagree: {example}" for example in reconciliation.examples]


def _failed(checks: Iterable[Check]) -> list[str]:
    return [str(check) for check in checks if not check.holds]
