"""Figures about what lanes have delivered; never ids or payloads."""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice
from typing import TYPE_CHECKING, Protocol

import msgspec

from arke.delivery.open_device import BEHIND
from arke.histogram import Histogram
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.delivery.channel import Delivery, Message
    from arke.delivery.open_device import Part

log = get_logger("delivery")

LATENCIES_KEPT = 5_000
"""The newest latencies of a destination that percentiles are made of."""


class DestinationFigures(msgspec.Struct):
    """What one destination's lane has done since the engine started. `answers` counts final answers, `sloppy` those
    that were not well-formed; `unanswered` attempts that got none, and the users in those: the destination may have
    taken them in or not. `latency` has every acknowledged user's time from event to acknowledgement,
    `latencies_ms` the newest of them.
    """

    messages: int = 0
    acknowledged: int = 0
    users: int = 0
    users_acknowledged: int = 0
    retries: int = 0
    sloppy: int = 0
    unanswered: int = 0
    users_unanswered: int = 0
    nothing_to_tell: int = 0
    answers: dict[str, int] = {}
    latencies_ms: list[float] = []
    latency: Histogram = msgspec.field(default_factory=Histogram)

    def __add__(self, other: DestinationFigures) -> DestinationFigures:
        """What two lanes of a destination have done."""
        return DestinationFigures(
            messages=self.messages + other.messages,
            acknowledged=self.acknowledged + other.acknowledged,
            users=self.users + other.users,
            users_acknowledged=self.users_acknowledged + other.users_acknowledged,
            retries=self.retries + other.retries,
            sloppy=self.sloppy + other.sloppy,
            unanswered=self.unanswered + other.unanswered,
            users_unanswered=self.users_unanswered + other.users_unanswered,
            nothing_to_tell=self.nothing_to_tell + other.nothing_to_tell,
            answers=dict(Counter(self.answers) + Counter(other.answers)),
            latencies_ms=self.latencies_ms + other.latencies_ms,
            latency=self.latency + other.latency,
        )


class MessageWatch(Protocol):
    """Sees messages as their deliveries end."""

    def message(self, parts: Sequence[Part], message: Message, delivery: Delivery, now: float) -> None: ...


class FiguresObserver:
    """Counts what the lanes of a shard deliver, in memory. `watch` is there while somebody watches."""

    def __init__(self) -> None:
        self.watch: MessageWatch | None = None
        self._figures: dict[int, DestinationFigures] = {}
        self._answers: dict[int, Counter[str]] = {}
        self._latencies: dict[int, deque[float]] = {}

    def _of(self, destination_id: int) -> DestinationFigures:
        figures = self._figures.get(destination_id)
        if figures is None:  # not `setdefault`: that would make new ones for every message
            figures = self._figures[destination_id] = DestinationFigures()
        return figures

    def delivered(
        self, destination_id: int, kind: str, delivery: Delivery, latencies_s: Sequence[float]
    ) -> None:
        """A message ended; `latencies_s` run from each device's event to now."""
        figures = self._of(destination_id)
        figures.messages += 1
        figures.users += len(latencies_s)
        figures.retries += max(0, delivery.attempts - 1)  # 0 attempts: nothing could be sent at all
        figures.sloppy += delivery.sloppy
        figures.unanswered += delivery.unanswered
        figures.users_unanswered += delivery.unanswered * len(latencies_s)
        answers = self._answers.get(destination_id)
        if answers is None:
            answers = self._answers[destination_id] = Counter()
        answers[delivery.answer] += 1
        if delivery.acknowledged:
            figures.acknowledged += 1
            figures.users_acknowledged += len(latencies_s)
            if kind not in BEHIND:  # nobody waits for those
                kept = self._latencies.get(destination_id)
                if kept is None:
                    kept = self._latencies[destination_id] = deque(maxlen=LATENCIES_KEPT)
                kept.extend(latencies_s)
                figures.latency.extend(latencies_s)

    def ended(self, parts: Sequence[Part], message: Message, delivery: Delivery, now: float) -> None:
        """The delivery of a message ended: for whoever watches. No delivery fails over that."""
        if self.watch is None:
            return
        try:
            self.watch.message(parts, message, delivery, now)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody watches any more
            log.error("watch_failed", error=type(error).__name__)
            self.watch = None

    @property
    def destinations(self) -> list[int]:
        """All of which anything was counted: also those that are off by now, for what was counted stays counted."""
        return sorted(self._figures)

    @property
    def messages(self) -> int:
        """How many messages ended, to all destinations."""
        return sum(figures.messages for figures in self._figures.values())

    def nothing_to_tell(self, destination_id: int) -> None:
        """A device was to be told about and there was nothing to say: no partner id, or outside the sample."""
        self._of(destination_id).nothing_to_tell += 1

    def figures(self, destination_id: int, *, latencies: int = LATENCIES_KEPT) -> DestinationFigures:
        """A copy with answers, and with so many of the newest `latencies`, filled in."""
        figures = msgspec.structs.replace(self._of(destination_id))
        figures.latency = figures.latency.copy()
        figures.answers = dict(self._answers.get(destination_id, {}))
        if latencies:
            kept = self._latencies.get(destination_id, ())
            newest = islice(kept, max(0, len(kept) - latencies), None)
            figures.latencies_ms = [round(s * 1000, 2) for s in newest]
        return figures
