"""What the reference server can do wrong on demand, how it is written, and when each one strikes.

`KIND[=VALUE][:N|:pP]`: the next N times, or each time with probability P, or (without either) until it is
taken back. With `token:` before it, it strikes the token endpoint instead of the messages."""

from __future__ import annotations

import asyncio
import random
import re
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast, get_args
from urllib.parse import urlsplit

import msgspec

from arke.errors import InvalidInput
from arke.receiver.http import Answer

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal[
    "status", "slow", "stall", "dribble", "reset", "close", "garbage", "huge-body", "endless-headers",
    "redirect", "tls", "flap",
]  # fmt: skip
Target = Literal["message", "token"]
TlsFault = Literal["expired", "wrong-host", "unknown-ca", "stall"]

ANSWERS_ANYWAY: Final[frozenset[Kind]] = frozenset({"slow", "dribble", "huge-body", "endless-headers"})
"""These process the message and answer 200, only badly: the sender may fail although the receiver knows."""

_SUFFIX: Final = re.compile(r"(.*):(?:([0-9]{1,9})|p([0-9]*\.?[0-9]+))", re.DOTALL)
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?")
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class Misbehaviour(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. `text` is how it was written; `value`, `seconds` hold what follows the `=`."""

    text: str
    kind: Kind
    target: Target = "message"
    value: str = ""
    seconds: tuple[float, ...] = ()
    times: int | None = None
    probability: float = 1.0


def parse_misbehaviour(text: str) -> Misbehaviour:
    """Read one specification; `InvalidInput` says what is wrong with it."""
    target: Target = "token" if text.startswith("token:") else "message"
    rest, times, probability = _split_suffix(text.removeprefix("token:"))
    name, _, value = rest.partition("=")
    if name not in get_args(Kind):
        raise InvalidInput(f"{text!r}: unknown misbehaviour; known are {', '.join(get_args(Kind))}")
    kind = cast("Kind", name)
    if target == "token" and kind in {"tls", "flap"}:
        raise InvalidInput(f"{text!r}: {kind} strikes connections, not the token endpoint alone")
    if kind == "flap" and (times is not None or probability < 1.0):
        raise InvalidInput(f"{text!r}: flap follows the clock; it takes no count and no probability")
    return Misbehaviour(
        text=text,
        kind=kind,
        target=target,
        value=value,
        seconds=_checked_value(kind, value, text),
        times=times,
        probability=probability,
    )


def _split_suffix(text: str) -> tuple[str, int | None, float]:
    match = _SUFFIX.fullmatch(text)
    if match is None or (match[1].startswith("redirect=") and not urlsplit(match[1][9:]).path):
        return text, None, 1.0  # in redirect=https://host:8443 the number is the port
    if match[2] is not None:
        if int(match[2]) == 0:
            raise InvalidInput(f"{text!r}: the count must be at least 1")
        return match[1], int(match[2]), 1.0
    probability = float(match[3])
    if not 0.0 < probability <= 1.0:
        raise InvalidInput(f"{text!r}: the probability must be above 0 and at most 1")
    return match[1], None, probability


def _checked_value(kind: Kind, value: str, text: str) -> tuple[float, ...]:
    """Check what follows the `=`; durations come back in seconds."""
    if kind == "status":
        if not (value.isascii() and value.isdigit() and 200 <= int(value) <= 599):
            raise InvalidInput(f"{text!r}: expected a status from 200 to 599, as in status=500")
        return ()
    if kind == "slow":
        return (_duration_s(value, text),)
    if kind == "flap":
        up, slash, down = value.partition("/")
        if not slash:
            raise InvalidInput(f"{text!r}: expected the time up and the time down, as in flap=10s/10s")
        return (_duration_s(up, text), _duration_s(down, text))
    if kind == "redirect":
        if urlsplit(value).scheme not in {"http", "https"} or any(c <= " " for c in value):
            raise InvalidInput(f"{text!r}: expected a URL, as in redirect=https://elsewhere.example/")
        return ()
    if kind == "tls":
        if value not in get_args(TlsFault):
            raise InvalidInput(f"{text!r}: expected tls={'|'.join(get_args(TlsFault))}")
        return ()
    if value:
        raise InvalidInput(f"{text!r}: {kind} takes no value")
    return ()


def _duration_s(value: str, text: str) -> float:
    match = _DURATION.fullmatch(value)
    if match is None:
        raise InvalidInput(f"{text!r}: expected a duration such as 2s or 500ms")
    seconds = float(match[1]) * _UNITS_S[match[2]]
    if not 0.0 < seconds <= 86_400.0:
        raise InvalidInput(f"{text!r}: a duration must be above 0 and at most a day")
    return seconds


class MisbehaviourPlan:
    """The faults in force, in order; the first that applies strikes. Counts go down as they strike."""

    def __init__(self, specifications: list[str] | tuple[str, ...] = (), *, seed: int | None = None) -> None:
        self._random = random.Random(seed)  # noqa: S311 - which request fails is no secret
        self._rules: list[tuple[Misbehaviour, int | None]] = []
        self._since_s = 0.0
        self.replace(specifications, now_s=0.0)

    def replace(self, specifications: list[str] | tuple[str, ...], *, now_s: float) -> None:
        """Put new faults in force; a flap starts with its time up. All are checked before any is changed."""
        parsed = [parse_misbehaviour(text) for text in specifications]
        self._rules = [(rule, rule.times) for rule in parsed]
        self._since_s = now_s

    def remaining(self) -> list[str]:
        """The faults still in force, as they were written, counts as they are now."""
        return [
            rule.text if left is None else f"{rule.text.rpartition(':')[0]}:{left}"
            for rule, left in self._rules
        ]

    def uses_tls_faults(self) -> set[str]:
        return {rule.value for rule, _ in self._rules if rule.kind == "tls"}

    def for_request(self, target: Target) -> Misbehaviour | None:
        """The fault that strikes this request, if any."""
        return self._strike(lambda rule: rule.target == target and rule.kind not in {"tls", "flap"})

    def for_connection(self) -> Misbehaviour | None:
        """The TLS fault that strikes this new connection, if any."""
        return self._strike(lambda rule: rule.kind == "tls")

    def flap(self) -> Misbehaviour | None:
        return next((rule for rule, _ in self._rules if rule.kind == "flap"), None)

    def is_down(self, now_s: float) -> bool:
        """Whether a flap has the server down at this moment."""
        rule = self.flap()
        if rule is None:
            return False
        up_s, down_s = rule.seconds
        return (now_s - self._since_s) % (up_s + down_s) >= up_s

    def _strike(self, applies: Callable[[Misbehaviour], bool]) -> Misbehaviour | None:
        for index, (rule, left) in enumerate(self._rules):
            if not applies(rule) or (rule.probability < 1.0 and self._random.random() >= rule.probability):
                continue
            if left == 1:
                del self._rules[index]
            elif left is not None:
                self._rules[index] = (rule, left - 1)
            return rule
        return None


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
    if fault.kind == "redirect":
        return 307
    if fault.kind in {"huge-body", "endless-headers"}:
        return 200
    return answer.status if fault.kind in {"slow", "dribble"} else None


async def perform(fault: Misbehaviour, answer: Answer, channel: Channel, *, keep_alive: bool) -> None:
    """Answer badly. Returns when done; `stall` only ends when the connection does."""
    match fault.kind:
        case "status":
            channel.write(Answer(status=int(fault.value)).encode(keep_alive=keep_alive))
        case "redirect":
            redirect = Answer(status=307, headers=(("Location", fault.value),))
            channel.write(redirect.encode(keep_alive=keep_alive))
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
        case "tls" | "flap":
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
