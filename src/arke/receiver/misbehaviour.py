"""What the reference server can do wrong on demand, how it is written, and when each one strikes.

`KIND[=VALUE][:N|:pP]`: the next N times, or each time with probability P, or (without either) until it is
taken back. With `token:` before it, it strikes the token endpoint instead of the messages. How each one answers is
in `faults.py`.
"""

from __future__ import annotations

import ipaddress
import itertools
import math
import random
import re
from collections import deque
from typing import TYPE_CHECKING, Final, Literal, cast, get_args
from urllib.parse import urlsplit

import msgspec

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal[
    "status", "slow", "stall", "dribble", "reset", "close", "garbage", "huge-body", "endless-headers",
    "redirect", "poison", "throttle", "sloppy", "stale-token", "tls", "flap", "move-dns",
]  # fmt: skip
Target = Literal["message", "token"]
TlsFault = Literal["expired", "wrong-host", "unknown-ca", "stall"]
Sloppiness = Literal["fold", "lf", "twice", "lengths", "blank", "version"]

ANSWERS_ANYWAY: Final[frozenset[Kind]] = frozenset(
    {"slow", "dribble", "huge-body", "endless-headers", "sloppy"}
)
"""These process the message and answer 200, only badly: the sender may fail although the receiver knows."""
STRIKE_CONNECTIONS: Final[frozenset[Kind]] = frozenset({"tls", "flap", "move-dns"})

_SUFFIX: Final = re.compile(r"(.*):(?:([0-9]{1,9})|p([0-9]*\.?[0-9]+))", re.DOTALL)
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)?")
_RATE: Final = re.compile(r"([0-9]{1,6})/([0-9.]*(?:ms|s|m|h))")
STALE_AFTER_S: Final = 1.0
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, None: 1.0}


class Misbehaviour(msgspec.Struct, frozen=True, kw_only=True):
    """One fault. `text` is how it was written; `value`, `status`, `most`, `seconds` hold what follows the `=`."""

    text: str
    kind: Kind
    target: Target = "message"
    value: str = ""
    status: int = 0
    most: int = 0
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
    if target == "token" and kind in {*STRIKE_CONNECTIONS, "poison", "stale-token"}:
        raise InvalidInput(f"{text!r}: {kind} does not strike the token endpoint alone")
    if kind in {"flap", "move-dns"} and (times is not None or probability < 1.0):
        raise InvalidInput(f"{text!r}: {kind} follows the clock; it takes no count and no probability")
    plain = Misbehaviour(text=text, kind=kind, target=target, times=times, probability=probability)
    return msgspec.structs.replace(plain, **_read_value(kind, value, text))


def _split_suffix(text: str) -> tuple[str, int | None, float]:
    match = _SUFFIX.fullmatch(text)
    if match is None or (match[1].startswith("redirect=") and not urlsplit(match[1][9:]).path):
        return text, None, 1.0  # in redirect=https://host:8443 the number is the port
    if match[1].startswith("move-dns="):
        return text, None, 1.0  # it takes neither, and ::1 is an address
    if match[2] is not None:
        if int(match[2]) == 0:
            raise InvalidInput(f"{text!r}: the count must be at least 1")
        return match[1], int(match[2]), 1.0
    probability = float(match[3])
    if not 0.0 < probability <= 1.0:
        raise InvalidInput(f"{text!r}: the probability must be above 0 and at most 1")
    return match[1], None, probability


def _read_value(kind: Kind, value: str, text: str) -> dict[str, object]:
    """What follows the `=`, as fields of a `Misbehaviour`."""
    match kind:
        case "poison":
            return _poison(value, text)
        case "throttle":
            return _throttle(value, text)
        case "stale-token":
            return _stale(value, text)
        case "move-dns":
            return _move(value, text)
        case _:
            return {"value": value, "seconds": _checked_value(kind, value, text)}


def _checked_value(kind: Kind, value: str, text: str) -> tuple[float, ...]:
    """Check a value that is kept as it is; durations come back in seconds."""
    match kind:
        case "status":
            if not (value.isascii() and value.isdigit() and 200 <= int(value) <= 599):
                raise InvalidInput(f"{text!r}: expected a status from 200 to 599, as in status=500")
        case "slow":
            return (_duration_s(value, text),)
        case "flap":
            up, slash, down = value.partition("/")
            if not slash:
                raise InvalidInput(f"{text!r}: expected the time up and the time down, as in flap=10s/10s")
            return (_duration_s(up, text), _duration_s(down, text))
        case "redirect":
            if urlsplit(value).scheme not in {"http", "https"} or any(c <= " " for c in value):
                raise InvalidInput(f"{text!r}: expected a URL, as in redirect=https://elsewhere.example/")
        case "tls":
            _one_of(value, get_args(TlsFault), text)
        case "sloppy":
            _one_of(value, ("", *get_args(Sloppiness)), text)
        case _:
            if value:
                raise InvalidInput(f"{text!r}: {kind} takes no value")
    return ()


def _one_of(value: str, known: tuple[str, ...], text: str) -> None:
    if value not in known:
        kind = text.removeprefix("token:").partition("=")[0]
        raise InvalidInput(f"{text!r}: expected {kind}={'|'.join(filter(None, known))}")


def _poison(value: str, text: str) -> dict[str, object]:
    """`p3`, or `422/p3`."""
    first, slash, rest = value.partition("/")
    status, poison = (first, rest) if slash and first in {"400", "409", "413", "422"} else ("400", value)
    if not poison:
        raise InvalidInput(f"{text!r}: expected an id of a user, as in poison=p3 or poison=422/p3")
    return {"value": poison, "status": int(status)}


def _throttle(value: str, text: str) -> dict[str, object]:
    """`5/s`: at most so many requests in any such time."""
    match = _RATE.fullmatch(value)
    if match is None or int(match[1]) == 0:
        raise InvalidInput(f"{text!r}: expected a rate, as in throttle=5/s or throttle=100/10s")
    period = match[2] if match[2][0].isdigit() else f"1{match[2]}"
    return {"value": value, "most": int(match[1]), "seconds": (_duration_s(period, text),)}


def _stale(value: str, text: str) -> dict[str, object]:
    """`403`, `2s` or `403/2s`: the status, and how old a token may be."""
    parts = value.split("/") if value else []
    status = parts.pop(0) if parts and parts[0] in {"401", "403"} else "401"
    if len(parts) > 1:
        raise InvalidInput(f"{text!r}: expected a status and a time, as in stale-token=403/2s")
    return {"status": int(status), "seconds": (_duration_s(parts[0], text) if parts else STALE_AFTER_S,)}


def _move(value: str, text: str) -> dict[str, object]:
    """`127.0.0.2`, `10s` or `127.0.0.2/10s`: where to, and when; at once by default."""
    address, slash, after = value.partition("/")
    if not slash and _DURATION.fullmatch(address):
        address, after = "", address
    if address:
        try:
            address = str(ipaddress.ip_address(address.strip("[]")))
        except ValueError:
            raise InvalidInput(f"{text!r}: expected an address, as in move-dns=127.0.0.2/10s") from None
    return {"value": address, "seconds": (_duration_s(after, text) if after else 0.0,)}


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
        self._let_in: dict[str, deque[float]] = {}
        self._sloppiness = itertools.cycle(get_args(Sloppiness))
        self.replace(specifications, now_s=0.0)

    def replace(self, specifications: list[str] | tuple[str, ...], *, now_s: float) -> None:
        """Put new faults in force; a flap starts with its time up. All are checked before any is changed."""
        parsed = [parse_misbehaviour(text) for text in specifications]
        self._rules = [(rule, rule.times) for rule in parsed]
        self._since_s = now_s
        self._let_in.clear()

    def remaining(self) -> list[str]:
        """The faults still in force, as they were written, counts as they are now."""
        return [
            rule.text if left is None else f"{rule.text.rpartition(':')[0]}:{left}"
            for rule, left in self._rules
        ]

    def for_request(
        self, target: Target, *, now_s: float = 0.0, applies: Callable[[Misbehaviour], bool] = lambda _: True
    ) -> Misbehaviour | None:
        """The fault that strikes this request, if any. `applies` knows the request: whom it names, its token."""

        def strikes(rule: Misbehaviour) -> bool:
            if rule.target != target or rule.kind in STRIKE_CONNECTIONS or not applies(rule):
                return False
            return rule.kind != "throttle" or self._beyond(rule, now_s)

        rule = self._strike(strikes)
        if rule is not None and rule.kind == "throttle":
            wait_s = self._let_in[rule.text][0] + rule.seconds[0] - now_s
            return msgspec.structs.replace(rule, seconds=(max(1, math.ceil(wait_s)),))
        if rule is not None and rule.kind == "sloppy" and not rule.value:
            return msgspec.structs.replace(rule, value=next(self._sloppiness))
        return rule

    def _beyond(self, rule: Misbehaviour, now_s: float) -> bool:
        """Whether a request is one too many; if not, it is counted."""
        let_in = self._let_in.setdefault(rule.text, deque())
        while let_in and let_in[0] <= now_s - rule.seconds[0]:
            let_in.popleft()
        if len(let_in) >= rule.most:
            return True
        let_in.append(now_s)
        return False

    def for_connection(self) -> Misbehaviour | None:
        """The TLS fault that strikes this new connection, if any."""
        return self._strike(lambda rule: rule.kind == "tls")

    def flap(self) -> Misbehaviour | None:
        return self._first("flap")

    def moved_to(self, now_s: float) -> str | None:
        """The address that the server has moved to by this moment; empty: one of its choice. None: it has not."""
        rule = self._first("move-dns")
        return rule.value if rule is not None and now_s - self._since_s >= rule.seconds[0] else None

    @property
    def moves(self) -> Misbehaviour | None:
        return self._first("move-dns")

    def is_down(self, now_s: float) -> bool:
        """Whether a flap has the server down at this moment."""
        rule = self.flap()
        if rule is None:
            return False
        up_s, down_s = rule.seconds
        return (now_s - self._since_s) % (up_s + down_s) >= up_s

    def _first(self, kind: Kind) -> Misbehaviour | None:
        return next((rule for rule, _ in self._rules if rule.kind == kind), None)

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
