"""Frames between the engine and a shard's process: a length, the number of a call, a question or its answer."""

from __future__ import annotations

import asyncio
import struct
from functools import cache
from typing import TYPE_CHECKING, Any, cast

import msgspec

from arke.shard.protocol import AnyQuestion, Question, Refusal, answer_type

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

_LENGTH = struct.Struct(">I")
MAX_FRAME_BYTES = 256 * 1024 * 1024
"""A catalog of 100,000 traits is the largest thing that crosses; it stays well below this."""


class Call(msgspec.Struct, array_like=True, frozen=True):
    """A question, the number that its answer will carry, and which shard is asked where there are several: one, or
    each of `shards`.
    """

    number: int
    question: AnyQuestion
    shard: int = 0
    shards: tuple[int, ...] = ()


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """The answer to a call, as the question says how to read it, or the error that it met."""

    number: int
    body: msgspec.Raw
    refusal: Refusal | None = None


class Each(msgspec.Struct, array_like=True, frozen=True):
    """What one of several shards answered or met."""

    shard: int
    body: msgspec.Raw
    refusal: Refusal | None = None


_encode = msgspec.msgpack.Encoder().encode
decode_call = msgspec.msgpack.Decoder(Call).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


_decode_each = msgspec.msgpack.Decoder(list[Each]).decode


def decode_each(body: bytes | msgspec.Raw, kind: type[Question[Any]]) -> dict[int, Any]:
    """The answers of several shards to a kind of question; an error is one, too."""
    read = reader_of(kind)
    return {
        one.shard: read(one.body) if one.refusal is None else one.refusal.error()
        for one in _decode_each(body)
    }


@cache
def reader_of(kind: type[Question[Any]]) -> Callable[[bytes | msgspec.Raw], Any]:
    """Reads the answers to a kind of question."""
    return msgspec.msgpack.Decoder(answer_type(kind)).decode


def call_frame(number: int, question: Question[Any], shard: int = 0) -> bytes:
    """The bytes of a call."""
    return _framed((number, question, shard) if shard else (number, question))


def call_each_frame(number: int, question: Question[Any], shards: Sequence[int]) -> bytes:
    """The bytes of a call to several shards."""
    return _framed((number, question, 0, shards))


def answer_frame(number: int, answer: object) -> bytes:
    """The bytes of an answer."""
    return _framed((number, answer))


def refusal_frame(number: int, refusal: Refusal) -> bytes:
    """The bytes of an error in the place of an answer."""
    return _framed((number, None, refusal))


def _framed(message: tuple[object, ...]) -> bytes:
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The body of the next frame. Raises asyncio.IncompleteReadError when the other side is gone."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > MAX_FRAME_BYTES:
        raise ConnectionError(f"a frame of {length} bytes is too large")
    return await reader.readexactly(length)


class FrameConnection(asyncio.Protocol):
    """One end of a connection that carries frames, in the thread of its loop. What was sent is written in its
    turn, as far as the other side reads.
    """

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._rest = bytearray()

    def took(self, body: bytes) -> None:
        """A frame has come. What cannot be read ends the connection (`MsgspecError`)."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)

    def eof_received(self) -> None:
        self.transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            if self._rest:
                self._rest += data
                del self._rest[: self._cut(self._rest)]
            elif (used := self._cut(data)) < len(data):
                self._rest += data[used:]
        except (ConnectionError, msgspec.MsgspecError):
            self.transport.abort()

    def _cut(self, data: bytes | bytearray) -> int:
        """Take the frames that are complete; how many bytes they were."""
        at, end = 0, len(data)
        while end - at >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(data, at)
            if length > MAX_FRAME_BYTES:
                raise ConnectionError(f"a frame of {length} bytes is too large")
            after = at + _LENGTH.size + length
            if after > end:
                break
            self.took(bytes(memoryview(data)[at + _LENGTH.size : after]))
            at = after
        return at

    def send(self, frame: bytes) -> None:
        """Nothing comes of it where the connection is gone: whoever reads from it sees that."""
        if not self.transport.is_closing():
            self.transport.write(frame)
