"""Keeps a few of the events, changes and messages that pass a shard, for as long as somebody watches.

While nobody does, a shard has no `Watch`, and what passes costs a comparison with None a group and a message. What
is kept is about people: it is a handful a second, in memory, for a minute at most, and gone seconds after the last
watcher is.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from itertools import islice
from operator import attrgetter
from typing import TYPE_CHECKING, Final

from arke.domain.homes import is_home
from arke.domain.memberships import all_changes
from arke.domain.stored_profile import decode_head
from arke.log import get_logger
from arke.shard.commands import Seen, Sight
from arke.shard.passing import Passed, Passing

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.delivery.channel import Delivery, Message
    from arke.delivery.open_device import Part
    from arke.domain.change import Change
    from arke.shard.commands import Command, Result
    from arke.shard.counts import Counts
    from arke.shard.passing import PassedKind
    from arke.shard.protocol import AskPassing
    from arke.shard.runner import GroupResult
    from arke.storage.ports.shard import GroupWrites

WATCHED_S: Final = 10.0
"""A shard that nobody has asked for so long keeps nothing any more."""
KEPT_S: Final = 60.0
KEPT: Final = 100
"""Entries of a kind that are kept: the newest."""
SHOWN: Final = 20
"""Of what one entry may hold many: ids, signals, traits and aliases."""
TEXT_CHARS: Final = 200

log = get_logger("shard")


class Watch:
    """The rings of one shard. `each_s`: how many entries of a kind are kept a second, those that come first."""

    def __init__(self, each_s: int) -> None:
        self.ring = secrets.randbits(48)
        self.each_s = each_s
        self._number = 0
        self._kept: dict[PassedKind, deque[Passed]] = {
            kind: deque(maxlen=KEPT) for kind in ("event", "change", "message")
        }
        self._second: dict[PassedKind, tuple[int, int]] = {}

    def group(
        self, commands: Sequence[Command], results: Sequence[Result], writes: GroupWrites, now: float
    ) -> None:
        """A group was committed."""
        room = self._room("event", now)
        for command, result in zip(commands, results, strict=True) if room else ():
            if isinstance(command, Sight) and not is_home(command.event.uuid):
                self._keep(self._event(command, result, now))
                room -= 1
                if not room:
                    break
        room = self._room("change", now)
        for entry in writes.journal if room else ():
            uuid = _uuid_of(entry.uid, writes)
            if uuid is None:
                continue
            for change in all_changes(entry)[:room]:
                self._keep(self._change(change, uuid, entry.kind, now))
                room -= 1
            if not room:
                break

    def message(self, parts: Sequence[Part], message: Message, delivery: Delivery, now: float) -> None:
        """The delivery of a message ended."""
        if not parts or not self._room("message", now):
            return
        first = parts[0]
        self._keep(
            Passed(
                "message",
                now,
                number=self._next(),
                ids=[f"{part.telling.dpid}:{part.telling.id[:TEXT_CHARS]}" for part in parts[:SHOWN]],
                cause=message.kind,
                destination=message.destination.id,
                message=message.id,
                users=len(parts),
                told={state.alias: int(state.active) for state in first.telling.entry.segments[:SHOWN]},
                answer=delivery.answer,
                acknowledged=delivery.acknowledged,
                attempts=delivery.attempts,
                ms=round(1_000 * (now - first.device.accepted), 1),
            )
        )

    def since(self, numbers: dict[int, int], counted: tuple[int, int, int], now: float) -> Passing:
        """What was kept after the number that is known of this ring, if one is."""
        after = numbers.get(self.ring, 0)
        entries: list[Passed] = []
        for kept in self._kept.values():
            while kept and kept[0].at < now - KEPT_S:
                kept.popleft()
            entries += (one for one in kept if one.number > after)
        return Passing(self.ring, self._number, counted, sorted(entries, key=attrgetter("number")))

    def _event(self, command: Sight, result: Result, now: float) -> Passed:
        event = command.event
        return Passed(
            "event",
            now,
            number=self._next(),
            uuid=event.uuid,
            ids=[f"{one.dpid}:{one.id[:TEXT_CHARS]}" for one in event.ids[:SHOWN]],
            signals={
                key[:TEXT_CHARS]: [text[:TEXT_CHARS] for text in values[:SHOWN]]
                for key, values in islice(event.signals.items(), SHOWN)
            },
            traits=list(result.accepted.traits[:SHOWN]) if isinstance(result, Seen) else [],
            region=event.region,
        )

    def _change(self, change: Change, uuid: str, cause: str, now: float) -> Passed:
        return Passed(
            "change",
            now,
            number=self._next(),
            uuid=uuid,
            segment=change.segment,
            status=change.status,
            cause=cause,
            reason=change.reason,
        )

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _room(self, kind: PassedKind, now: float) -> int:
        """How many more of a kind are kept of this second."""
        second, kept = self._second.get(kind, (0, 0))
        return self.each_s - kept if second == int(now) else self.each_s

    def _keep(self, entry: Passed) -> None:
        second, kept = self._second.get(entry.kind, (0, 0))
        now = int(entry.at)
        self._second[entry.kind] = (now, kept + 1 if second == now else 1)
        self._kept[entry.kind].append(entry)


class Watching:
    """Has a `Watch`, which lanes show their messages too, for as long as somebody asks what passed."""

    def __init__(self, counts: Counts) -> None:
        self._counts = counts
        self._watch: Watch | None = None
        self._ends: asyncio.TimerHandle | None = None

    def passing(self, asked: AskPassing, now: float) -> Passing:
        """Begin to keep some of what passes, or go on with it."""
        counts = self._counts
        if self._watch is None or self._watch.each_s != asked.each_s:
            self._watch = counts.observer.watch = Watch(asked.each_s)
        if self._ends is not None:
            self._ends.cancel()
        self._ends = asyncio.get_running_loop().call_later(WATCHED_S, self.stop)
        return self._watch.since(
            asked.numbers, (counts.events, counts.changes, counts.observer.messages), now
        )

    def group(self, commands: Sequence[Command], result: GroupResult, now: float) -> None:
        """A group was committed. None fails over who watches it."""
        if self._watch is None:
            return
        try:
            self._watch.group(commands, result.results, result.writes, now)
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody watches any more
            log.error("watch_failed", error=type(error).__name__)
            self.stop()

    def stop(self) -> None:
        """Nobody watches any more: nothing of what passed stays."""
        if self._ends is not None:
            self._ends.cancel()
        self._watch = self._counts.observer.watch = self._ends = None


def _uuid_of(uid: int, writes: GroupWrites) -> str | None:
    """Of a device whose profile a group has written; None: it has not."""
    profile, body = writes.profiles.get(uid), writes.encoded.get(uid)
    if profile is not None:
        return profile.uuid
    return None if body is None else decode_head(body).uuid
