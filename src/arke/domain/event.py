"""Events as data: as the intake parses them, as a shard gets them, and what is answered."""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_EVENT_AGE_S = 130 * 86_400
"""Events may be this old (SPEC section 12: late events)."""

MAX_EVENT_ID_CHARS = 128


class DeclaredId(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A partner id that an event declares for its device, with its authentication `state`: 0 unknown, 1
    authenticated, 2 logged out.

    `generation` is the number of the mapping of this id to the device, 0 before it is resolved. A higher number
    is a newer mapping.
    """

    dpid: int
    id: str
    state: int = 0
    generation: int = 0


class LeftOut(msgspec.Struct, frozen=True, gc=False):
    """A part of an event that was left out, by the code and text that tell its sender why; the rest counts."""

    part: Literal["id", "trait", "membership", "time"]
    code: str
    message: str


class IncomingEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as the intake parses it, before its device is known. `ts` in epoch seconds; None: when it arrives.

    `signals` maps a key to all its values. `traits` are declared directly (d_sid). `memberships` are declared
    statuses (1 or 0) of external segments. `trait_source` limits evaluation to one data source's traits
    (d_tdpid). `event_id` is its sender's name for it: sent again for the same device within a day, it counts once.
    `public` says that the sender showed no token, so that it may be anybody. `browser`: the
    sender is the device itself, and is to be known again, whoever it names. `left_out` is what its door could not
    read of it.
    """

    uuid: str | None = None
    ids: tuple[DeclaredId, ...] = ()
    signals: dict[str, list[str]] = {}
    traits: tuple[int, ...] = ()
    memberships: dict[int, int] = {}
    region: int | None = None
    ts: int | None = None
    trait_source: int | None = None
    event_id: str | None = None
    public: bool = False
    browser: bool = False
    left_out: tuple[LeftOut, ...] = ()


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """An event whose device is known. It happened at `ts` and arrived at `at` (epoch seconds, ts <= at)."""

    uuid: str
    at: int
    ts: int
    ids: tuple[DeclaredId, ...] = ()
    signals: dict[str, list[str]] = {}
    traits: tuple[int, ...] = ()
    memberships: dict[int, int] = {}
    region: int | None = None
    trait_source: int | None = None
    event_id: str | None = None


class Withheld(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was left out of an event because its sender showed no token; the rest was stored.

    `ids` may be declared with a token only. `takeovers` belong to other devices, and this device has taken over
    as many ids as it may today. `traits` may be declared with a token only.
    """

    ids: tuple[DeclaredId, ...] = ()
    takeovers: tuple[DeclaredId, ...] = ()
    traits: tuple[int, ...] = ()


NOTHING_WITHHELD = Withheld()


class Accepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """The durable answer for one event. `traits` realised by it (none, if it had counted before), `segments` the
    device is in afterwards.

    `by_id`: only a declared id led to the device, so whoever asked may be a stranger to it. `left_out` is what was
    left out of the event besides what is withheld. Not `evaluated`: what came of it is not known here.
    """

    uuid: str
    traits: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()
    opted_out: bool = False
    by_id: bool = False
    withheld: Withheld = NOTHING_WITHHELD
    left_out: tuple[LeftOut, ...] = ()
    evaluated: bool = True
