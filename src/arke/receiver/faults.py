"""How the reference server answers when it misbehaves."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

from arke.receiver.http import Answer, error_answer

if TYPE_CHECKING:
    from arke.receiver.misbehaviour import Misbehaviour

DRIBBLE_INTERVAL_S: Final = 0.1
"""Between two bytes: a whole answer then takes longer than any sender should wait."""
_GARBAGE: Final = b"\x00\x01 this is not HTTP \xff\xfe\r\n\r\n"
_CHUNK_BYTES: Final = 65_536
_FLOOD_BYTES: Final = 1 << 30
"""Even what is called endless stops here, should nobody hang up."""


class Channel(Protocol):
    """What a fault needs of a connection."""

    @property
    def is_open(self) -> bool: ...
    def write(self, data: bytes) -> None: ...
    async def drain(self) -> None: ...
    def close(self) -> None: ...
    def reset(self) -> None: ...


def status_of(fault: Misbehaviour, answer: Answer) -> int | None:
    """The status a fault shows to the sender; None where it shows none."""
    if fault.kind == "status":
        return int(fault.value)
    if fault.kind in {"poison", "stale-token"}:
        return fault.status
    if fault.kind == "throttle":
        return 429
    if fault.kind == "redirect":
        return 307
    if fault.kind in {"huge-body", "endless-headers"}:
        return 200
    return answer.status if fault.kind in {"slow", "dribble", "sloppy"} else None


def _refusal(fault: Misbehaviour) -> Answer | None:
    """What a fault answers in place of the right answer; None where it does something else."""
    match fault.kind:
        case "status":
            return Answer(status=int(fault.value))
        case "redirect":
            return Answer(status=307, headers=(("Location", fault.value),))
        case "poison":
            why = f"the message names {fault.value}, whom this destination does not take; nothing was stored"
            return error_answer(fault.status, "poison", why)
        case "throttle":
            after = ("Retry-After", f"{fault.seconds[0]:.0f}")
            return error_answer(429, "too_many_requests", "more than this destination takes", after)
        case "stale-token":
            challenge = ("WWW-Authenticate", 'Bearer error="invalid_token"')
            why = "the token has expired, whatever was said of it"
            return error_answer(fault.status, "stale_token", why, challenge)
        case _:
            return None


async def perform(fault: Misbehaviour, answer: Answer, channel: Channel, *, keep_alive: bool) -> None:
    """Answer badly. Returns when done; `stall` only ends when the connection does."""
    refusal = _refusal(fault)
    if refusal is not None:
        channel.write(refusal.encode(keep_alive=keep_alive))
        return
    match fault.kind:
        case "sloppy":
            channel.write(sloppy(answer.encode(keep_alive=keep_alive), fault.value))
        case "slow":
            await asyncio.sleep(fault.seconds[0])
            channel.write(answer.encode(keep_alive=keep_alive))
        case "dribble":
            await _dribble(answer.encode(keep_alive=keep_alive), channel)
        case "stall":
            await asyncio.Event().wait()
        case "reset":
            channel.reset()
        case "close":
            channel.close()
        case "garbage":
            channel.write(_GARBAGE)
            channel.close()
        case "huge-body":
            head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {_FLOOD_BYTES}\r\n\r\n"
            await _flood(head.encode("ascii"), b"x" * _CHUNK_BYTES, channel)
        case "endless-headers":
            line = b"X-Filler: " + b"x" * 1_000 + b"\r\n"
            await _flood(b"HTTP/1.1 200 OK\r\n", line * 16, channel)
        case _:
            raise AssertionError(f"{fault.kind} strikes connections, never a request")


async def _dribble(data: bytes, channel: Channel) -> None:
    for index in range(len(data)):
        if not channel.is_open:
            return
        channel.write(data[index : index + 1])
        await asyncio.sleep(DRIBBLE_INTERVAL_S)


async def _flood(head: bytes, chunk: bytes, channel: Channel) -> None:
    channel.write(head)
    sent = 0
    while channel.is_open and sent < _FLOOD_BYTES:
        channel.write(chunk)
        sent += len(chunk)
        await channel.drain()
        await asyncio.sleep(0)  # others get their turn even if the peer reads faster than we write
    channel.close()


def sloppy(data: bytes, how: str) -> bytes:
    """The same answer with a head as some servers write it, which a strict parser refuses."""
    head, _, body = data.partition(b"\r\n\r\n")
    match how:
        case "fold":
            head += b"\r\nX-Folded: one\r\n two"
        case "twice":
            head += b"\r\nContent-Length: %d" % len(body)
        case "lengths":
            head += b"\r\nContent-Length: %d" % (len(body) + 7)
        case "blank":
            head = head.replace(b": ", b" : ")
        case "version":
            head = head[:4].lower() + head[4:]
        case _:
            return head.replace(b"\r\n", b"\n") + b"\n\n" + body
    return head + b"\r\n\r\n" + body
