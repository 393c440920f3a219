"""What the intake hands to a shard: one sighting of one device, already resolved to its UUID."""

from __future__ import annotations

from typing import Literal

import msgspec

MAX_EVENT_AGE_S = 130 * 86_400
"""Events may be this old (SPEC section 12: late events)."""

AuthState = Literal[0, 1, 2]
"""0 unknown, 1 authenticated, 2 logged out (dossier 13)."""


class DeclaredId(msgspec.Struct, frozen=True, array_like=True):
    """An id of a data source as an event declares it.

    `generation` numbers the mapping it goes by (0: not resolved yet); the higher one is the newer mapping.
    """

    dpid: int
    id: str
    state: int = 0
    generation: int = 0


class IncomingEvent(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as parsed at the edge, before its UUID is known. `ts` in epoch seconds, None = on arrival.

    `signals` maps a key to all its values. `traits` are told directly (d_sid). `memberships` are the statuses
    (1 or 0) of external segments. `trait_source` limits evaluation to one data source's traits (d_tdpid).
    `public`: it came through the public door and its sender showed no token, so it may be anybody's word.
    """

    uuid: str | None = None
    ids: tuple[DeclaredId, ...] = ()
    signals: dict[str, list[str]] = {}
    traits: tuple[int, ...] = ()
    memberships: dict[int, int] = {}
    region: int | None = None
    ts: int | None = None
    trait_source: int | None = None
    public: bool = False


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event whose device is known. `at` is when the intake accepted it; `ts` when it happened (<= at)."""

    uuid: str
    at: int
    ts: int
    ids: tuple[DeclaredId, ...] = ()
    signals: dict[str, list[str]] = {}
    traits: tuple[int, ...] = ()
    memberships: dict[int, int] = {}
    region: int | None = None
    trait_source: int | None = None


class Withheld(msgspec.Struct, frozen=True, kw_only=True):
    """What an event at the public door asked for and did not get; the rest of it was taken.

    `ids` may be declared with a token only. `takeovers` belong to other devices, and this one has taken as many
    as it may today. `traits` are not to be told by just anybody.
    """

    ids: tuple[DeclaredId, ...] = ()
    takeovers: tuple[DeclaredId, ...] = ()
    traits: tuple[int, ...] = ()


NOTHING_WITHHELD = Withheld()


class Accepted(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The durable answer for one event. `traits` realised by it, `segments` the device is in afterwards.

    `by_id`: only a declared id led to the device, so whoever asked may be a stranger to it.
    """

    uuid: str
    traits: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()
    opted_out: bool = False
    by_id: bool = False
    withheld: Withheld = NOTHING_WITHHELD
