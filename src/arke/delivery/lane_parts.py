"""What a lane is given: what all lanes of a shard share, and where this one goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Container

    from arke.clock import Clock
    from arke.delivery.body import BodyBuilder
    from arke.delivery.bookkeeper import Recorder
    from arke.delivery.channel import Wire
    from arke.delivery.observer import FiguresObserver
    from arke.storage.ports.shard import LaneReader


class LaneParts(msgspec.Struct, frozen=True):
    """What all lanes of a shard share. Nothing is built for the devices that are `held` still. `life` as in
    `message_id`.
    """

    store: LaneReader
    recorder: Recorder
    wire: Wire
    bodies: BodyBuilder
    clock: Clock
    observer: FiguresObserver
    held: Container[int]
    life: int = 0


class LanePlace(msgspec.Struct, frozen=True):
    """Where a lane goes on, as journal positions: its cursor, the journal's end, and up to where an earlier lane
    may have told more than it could write down. So it may about the owed devices that it had `in_hand`.
    """

    cursor: int
    journal_end: int
    recovered_until: int
    owed_count: int = 0
    in_hand: tuple[int, ...] = ()
