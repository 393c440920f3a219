"""What somebody should look at, worst first, in words: pure, from what `status` says and which certificates end."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

import msgspec

from arke.domain.time import utc_text
from arke.operations.certificates import SOON_DAYS, days_left
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from arke.clock import Clock
    from arke.operations.certificates import CertificateOperations, Lasting
    from arke.operations.status import DestinationStatus, Status

Level = Literal["bad", "warn", "info"]
Subject = Literal["destination", "undelivered", "system", "catalog", "batches", "files", "privacy"]

LEVELS: Final[tuple[Level, ...]] = ("bad", "warn", "info")
LISTED: Final = 12
"""Names that a sentence has."""


NAME_SHOWN: Final = 60
"""Characters of a name."""


class Notice(msgspec.Struct, frozen=True):
    """One thing to look at. `text` says what is so, `hint` what it means or what to do; `subject` and, of one
    destination, `destination` say where that is done.
    """

    level: Level
    text: str
    hint: str
    subject: Subject
    destination: int | None = None


class AttentionOperations:
    """Says what to look at."""

    def __init__(self, certificates: CertificateOperations, clock: Clock) -> None:
        self._certificates = certificates
        self._clock = clock

    async def notices(self, status: Status) -> list[Notice]:
        """What follows from how the engine is, and how long its certificates last."""
        return notices(status, await self._certificates.read(), self._clock.now())


def notices(status: Status, certificates: Iterable[Lasting], now: float) -> list[Notice]:
    """Everything that is out of order, or worth knowing, at this moment. Empty: nothing is."""
    found = [
        *_engine(status),
        *_certificates(certificates, now),
        *_destinations(status),
        *_intake(status),
        *_catalog(status),
    ]
    return sorted(found, key=lambda one: LEVELS.index(one.level))


def _engine(status: Status) -> Iterator[Notice]:
    if status.away:
        some = _some([str(number) for number in status.away])
        yield Notice(
            "bad",
            f"Shards that do not answer: {some}",
            "Their figures are missing everywhere. A shard that died is started again within a second.",
            "system",
        )
    elif not status.ready:
        yield Notice(
            "bad",
            "The engine takes no events",
            "Senders get 503 and keep what they have. The log says what it waits for, mostly room on the disk.",
            "system",
        )
    cluster = status.cluster
    if cluster is not None:
        if cluster.unowned:
            some = _some([str(number) for number in cluster.unowned])
            yield Notice(
                "bad", f"Nobody owns these shards: {some}", "No worker has room, or none runs.", "system"
            )
        late = [node.name for node in cluster.nodes if not node.ready]
        if late:
            yield Notice("warn", f"Nodes that are not ready: {_some(late)}", "Their logs say why.", "system")
        if cluster.refused_messages:
            yield Notice(
                "warn",
                f"{many(cluster.refused_messages, 'message')} of the log could not be read",
                "They are kept for seven days: `arke cluster status` lists them.",
                "system",
            )


def _certificates(certificates: Iterable[Lasting], now: float) -> Iterator[Notice]:
    """A file that many share is one notice: there is one to renew."""
    for one in certificates:
        whose = _some(one.where)
        subject: Subject = "destination" if one.destinations else "system"
        first = next(iter(one.destinations), None)
        if one.until is None:
            text = f"{one.path}: {one.problem}"
            yield Notice("warn", text, f"PEM text is needed there, for {whose}.", subject, first)
            continue
        days = days_left(one.until, now)
        day = utc_text(int(one.until))[:10]
        if days < 0:
            text, hint = (
                f"{one.path} expired on {day}",
                "Renew it: where it is needed no message gets through.",
            )
            yield Notice("bad", text, f"{hint} Named as {whose}.", subject, first)
        elif days < SOON_DAYS:
            text = f"{one.path} expires in {many(days, 'day')}, on {day}"
            yield Notice("warn", text, f"Renew it. Named as {whose}.", subject, first)


def _destinations(status: Status) -> Iterator[Notice]:
    for row in status.destinations:
        label = f"{_short(row.name) or 'Destination'} ({row.id})"
        last = f" It last said {row.refused.answer}." if row.refused is not None else ""
        if row.circuit != "closed":
            probes = (
                "open: nothing is sent but a probe now and then" if row.circuit == "open" else "half open"
            )
            yield Notice(
                "bad",
                f"{label}: its circuit is {probes}",
                f"Five messages in a row failed twice.{last} Kept for it: news of {many(row.owed, 'device')}.",
                "destination",
                row.id,
            )
        elif row.owed:
            again = " It is sent again by itself." if row.owed_next is not None else ""
            yield Notice(
                "warn",
                f"{label}: news about {many(row.owed, 'device')} is owed",
                f"Both attempts failed.{last}{again}",
                "undelivered",
                row.id,
            )
        elif row.refused is not None:
            yield Notice(
                "info",
                f"{label}: a message was refused lately",
                f"The answer was {row.refused.answer}; nothing is owed any more.",
                "destination",
                row.id,
            )
        yield from _slow(row, label)


def _slow(row: DestinationStatus, label: str) -> Iterator[Notice]:
    if row.pause_s:
        yield Notice(
            "info",
            f"{label}: asked to be left alone for {row.pause_s:.0f} s more",
            "It answered with Retry-After. What waits coalesces until then.",
            "destination",
            row.id,
        )
    if row.sloppy:
        yield Notice(
            "info",
            f"{label}: {many(row.sloppy, 'answer')} not well-formed HTTP",
            "They were counted by their status. Whoever runs the endpoint should know.",
            "destination",
            row.id,
        )


def _intake(status: Status) -> Iterator[Notice]:
    if status.refused:
        yield Notice(
            "warn",
            f"Overload: {many(status.refused, 'event')} turned away with 429 since the start",
            f"{status.under_way:,} are under way, there is room for {status.room:,}. Senders come again.",
            "system",
        )
    refused = {code: n for code, n in status.refused_by_code.items() if code != "overloaded" and n}
    if refused:
        yield Notice(
            "warn", f"{many(sum(refused.values()), 'event')} refused", f"{_counts(refused)}.", "system"
        )
    dropped = {code: n for code, n in status.ids_dropped.items() if n}
    if dropped:
        yield Notice(
            "info",
            f"{many(sum(dropped.values()), 'id')} left out of events",
            f"{_counts(dropped)}. The events counted without them.",
            "system",
        )
    for shared in status.shared_ids:
        yield Notice(
            "warn",
            f"Data source {shared.data_source}: {many(shared.ids, 'id')} shared by up to "
            f"{many(shared.devices, 'device')}",
            "Most likely what a tag sends for everybody: `deny` it in the catalog.",
            "catalog",
        )
    if status.takeovers_refused:
        yield Notice(
            "info",
            f"{many(status.takeovers_refused, 'takeover')} of ids refused at the public door",
            "Another device had taken as many as it may a day.",
            "system",
        )
    if status.privacy_requests_large:
        yield Notice(
            "warn",
            f"{many(status.privacy_requests_large, 'privacy request')} about unusually many ids",
            "See whether one id stands for a crowd before more are carried out.",
            "privacy",
        )
    for source in status.sources:
        if source.problem:
            yield Notice("bad", f"Topic {source.topic} does not move on", source.problem, "system")


def _catalog(status: Status) -> Iterator[Notice]:
    if status.backfilled < 1:
        yield Notice(
            "info",
            f"Backfill: {status.backfilled:.0%} of the profiles are evaluated under the catalog in force",
            "New segments fill up as it goes on. What it finds is told by the next batch.",
            "catalog",
        )
    if (loading := status.loading) is not None:
        of = f" of {loading.total:,}" if loading.total else ""
        yield Notice("info", f"Loading {loading.file}", f"{loading.lines:,}{of} lines so far.", "files")
    if status.never_realised:
        more = status.traits_never_realised - len(status.never_realised)
        yield Notice(
            "warn",
            f"{many(status.traits_never_realised, 'trait')} that nobody has realised by their present rule",
            f"{_some([str(number) for number in status.never_realised], more)}. A rule may be spelt otherwise than "
            "events are.",
            "catalog",
        )
    if status.unasked_keys:
        yield Notice(
            "info",
            "Events have keys that no rule asks for",
            f"{_some(status.unasked_keys)}. Fine if nobody wants them; a slip if a rule does.",
            "catalog",
        )


def _short(name: str) -> str:
    return name if len(name) <= NAME_SHOWN else f"{name[:NAME_SHOWN]}\N{HORIZONTAL ELLIPSIS}"


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{code} x {n:,}" for code, n in sorted(counts.items(), key=lambda item: -item[1]))


def _some(names: list[str], more: int = 0) -> str:
    more += max(0, len(names) - LISTED)
    return ", ".join(names[:LISTED]) + (f" and {more:,} more" if more else "")
