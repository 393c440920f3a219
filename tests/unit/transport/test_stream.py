"""The buffer between a log's feed and the shard that reads it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import pytest

from arke.errors import LogGap
from arke.transport.stream import FULL_MESSAGES, BufferedStream

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.transport.ports import Unreadable

BODY = b"\x01" + msgspec.msgpack.encode([])


class Feed:
    def closed(self, stream: BufferedStream) -> None:
        return


class Refused:
    """What cannot be read is of no interest here."""

    async def refuse(self, unreadable: Sequence[Unreadable]) -> None:
        return


def made(position: int = 0) -> BufferedStream:
    return BufferedStream("topic", 3, position, Feed(), Refused())


def bring(stream: BufferedStream, *positions: int) -> None:
    messages = [(position, BODY) for position in positions]
    stream.fetched(messages)
    stream.put(messages)


def read(stream: BufferedStream) -> list[int]:
    return [message.position for message in asyncio.run(stream.read())]


def test_what_a_log_brings_again_after_a_pause_is_passed_over() -> None:
    """librdkafka fetches on from the last message that it knows to have been consumed: a pause that comes while
    messages are handed out may find one that was handed out already.
    """
    stream = made(position=4)
    bring(stream, 5, 6)
    bring(stream, 5, 6, 7)
    bring(stream, 6)
    bring(stream, 8)
    assert read(stream) == [5, 6, 7, 8]
    assert stream.unread == (0, 0)
    assert not stream.failed


def test_what_comes_after_a_gap_is_not_passed_over() -> None:
    stream = made(position=4)
    bring(stream, 5, 7)
    assert read(stream) == [5]
    with pytest.raises(LogGap):
        read(stream)


def test_a_full_stream_has_room_again_once_half_of_it_is_read() -> None:
    stream = made()
    bring(stream, *range(1, FULL_MESSAGES + 1))
    assert stream.full
    read(stream)
    assert stream.has_room
    bring(stream, *range(FULL_MESSAGES + 1, FULL_MESSAGES + FULL_MESSAGES // 2 + 2))
    assert (stream.full, stream.has_room) == (False, False)
