"""A message of the log as bytes: a byte that says the format, then the sightings as one msgpack array.

A later version reads what this one wrote: fields are added to commands with defaults, and what can't be done by
adding gets the next format byte.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

import msgspec

from arke.shard.commands import Sight
from arke.transport.ports import LogMessage, Unreadable

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    _Refuse = Callable[[int, str, bytes], None]

FORMAT: Final = 1
_HEAD: Final = struct.Struct(">BBI")
_ARRAY_32: Final = 0xDD

encode_sight = msgspec.msgpack.Encoder().encode
_decode_all = msgspec.msgpack.Decoder(tuple[Sight, ...]).decode
_decode_one = msgspec.msgpack.Decoder(Sight).decode
_split = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_BROKEN: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def packed(pieces: Sequence[bytes]) -> bytes:
    """The message of these encoded sightings."""
    return _HEAD.pack(FORMAT, _ARRAY_32, len(pieces)) + b"".join(pieces)


def unpacked(source: str, shard: int, position: int, body: bytes) -> tuple[LogMessage, list[Unreadable]]:
    """The message, and what of it cannot be read; one sighting costs no other."""
    bad: list[Unreadable] = []

    def refuse(item: int, reason: str, part: bytes) -> None:
        bad.append(Unreadable(source, shard, position, item, reason, part))

    sights: tuple[Sight, ...] = ()
    if body[:1] != bytes([FORMAT]):
        refuse(-1, "unknown_format", body)
    else:
        content = memoryview(body)[1:]
        try:
            sights = _decode_all(content)
        except _BROKEN:
            sights = _one_by_one(content, body, refuse)
    return LogMessage(shard, position, sights), bad


def _one_by_one(content: memoryview, body: bytes, refuse: _Refuse) -> tuple[Sight, ...]:
    try:
        parts = _split(content)
    except _BROKEN:
        refuse(-1, "not_an_array", body)
        return ()
    sights = []
    for item, part in enumerate(parts):
        try:
            sights.append(_decode_one(part))
        except _BROKEN:
            refuse(item, "not_a_sighting", bytes(part))
    return tuple(sights)
