"""Frames between the engine and a shard's process: a length, a call number, a tagged struct."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

import msgspec

from arke.shard.protocol import Request, Response

if TYPE_CHECKING:
    import asyncio

_LENGTH = struct.Struct(">I")
MAX_FRAME_BYTES = 256 * 1024 * 1024
"""A catalog of 100,000 traits is the largest thing that crosses; it stays well below this."""


class Call(msgspec.Struct, array_like=True, frozen=True):
    """A request and the number its answer will carry."""

    number: int
    request: Request


class Answer(msgspec.Struct, array_like=True, frozen=True):
    """The response to a call."""

    number: int
    response: Response


_encode = msgspec.msgpack.Encoder().encode
decode_call = msgspec.msgpack.Decoder(Call).decode
decode_answer = msgspec.msgpack.Decoder(Answer).decode


def frame(message: Call | Answer) -> bytes:
    """The bytes of one frame."""
    body = _encode(message)
    return _LENGTH.pack(len(body)) + body


async def read_frame(reader: asyncio.StreamReader) -> bytes:
    """The body of the next frame. Raises asyncio.IncompleteReadError when the other side is gone."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > MAX_FRAME_BYTES:
        raise ConnectionError(f"a frame of {length} bytes is too large")
    return await reader.readexactly(length)
