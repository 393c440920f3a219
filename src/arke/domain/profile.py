"""A profile: everything Arke knows of one device, or of a person (see `domain/homes.py`), as it is stored.

The structs are array-like and mutable: a shard decodes one, applies an event and encodes it again, which is
the hottest path of the engine (shared measurements: decode 9.7 us, encode 3.9 us for a 448-byte profile).
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

from arke.domain.membership import Membership, Memberships, PackedMemberships
from arke.domain.memberships import unpacked

NEVER = 1 << 62
"""Later than every time."""

MAX_REALISATIONS = 150_000
"""Realisations kept per profile; the oldest go first (SPEC section 12)."""

DECLARED: Final = "told"
"""The reason of a membership that an event or a file declared; stored and answered under this name."""

Reason = Literal["rule", "told", "ttl", "recency", "inactive", "privacy", "opt_out", "unmapped"]


class TraitState(msgspec.Struct, array_like=True, gc=False):
    """The realisations of one trait that a device holds, in epoch seconds.

    `last` is the newest. `times` are those kept exactly, ascending. Older ones, which no rule's window reaches,
    are only counted: `old` of them, the newest at `old_until`.
    """

    last: int
    old: int
    times: list[int]
    old_until: int = 0


class PartnerId(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A partner id that is linked to the device since `linked`, by the mapping `generation`.

    While it is `arriving` this device tells nobody about it: the id has not left its old device yet, or it is a
    cross-device id for which another device of the person speaks.
    """

    dpid: int
    id: str
    state: int
    linked: int
    generation: int = 0
    arriving: bool = False


class DepartedId(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An id that left for another device by the mapping `generation`. Mappings with lower numbers are void.
    `edition`: the id was forgotten on request, see `Bar`.

    It is a keyed hash of `dpid:id`, since a request to delete the id's person would not find the id here.
    """

    hash: str
    generation: int
    edition: int = 0


class Bar(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Keeps out what was decided about a device before its person withdrew, and comes later: nothing counts but
    what was decided by a later `edition` of the suppression list than this. `erased`: nothing else is kept.
    """

    edition: int
    erased: bool = False


class SendMark(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """When the last real-time send to a destination was set off, and the state of its mappings then (`Route.mark`).

    `untold` says that a membership has changed since while the device was not seen, so that the destination was
    not told in real time.
    """

    at: int
    mapping_mark: int
    untold: bool = False


class FileMark(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What was applied of the last onboarding file that named the device, so that a repeat changes nothing.

    `file` is the file's number; `first` and `last` are the lines that counted, `lines` how many did, and
    `replaced` how many traits the file replaced.
    """

    file: int
    first: int
    last: int = 0
    lines: int = 0
    replaced: int = 0


class Profile(msgspec.Struct, array_like=True, gc=False):
    """Everything Arke knows of one device. Times in epoch seconds.

    | field | holds |
    |---|---|
    | `seen`, `heard` | when the last event arrived; when an event or a file last named the device |
    | `evaluated` | when the memberships were last known to be true; it never goes back |
    | `due` | the first moment at which time alone may change one of them |
    | `wake` | when the due index has the sweep evaluate the device: `due` or earlier |
    | `fingerprint` | the fingerprint of the catalog that it was evaluated under |
    | `routing_mark` | the state of all mappings (`Routing.mark`) that it was last checked against |
    | `realisations` | how many realisations `traits` hold |
    | `memberships` | its state in segments, as stored: many of them are packed; `segments` has them by segment |
    | `sends` | the last send to each destination |
    | `opted_out` | when the device opted out, 0 if it has not |
    | `departed` | the ids that left it last |
    | `file` | what was applied of the last onboarding file |
    | `bar` | what is not let in any more of a device that withdrew; where there are several engines |
    """

    uuid: str
    seen: int = 0
    evaluated: int = 0
    due: int = NEVER
    fingerprint: int = 0
    routing_mark: int = 0
    realisations: int = 0
    traits: dict[int, TraitState] = {}
    memberships: Memberships = {}
    ids: list[PartnerId] = []
    regions: list[int] = []
    sends: dict[int, SendMark] = {}
    opted_out: int = 0
    departed: list[DepartedId] = []
    heard: int = 0
    wake: int = NEVER
    file: FileMark | None = None
    bar: Bar | None = None

    @property
    def segments(self) -> dict[int, Membership]:
        """The memberships by segment, to read and to change; unpacked where they were packed."""
        if isinstance(self.memberships, PackedMemberships):
            self.memberships = unpacked(self.memberships)
        return self.memberships


class ProfileHead(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The first fields of a profile, without what takes long to decode."""

    uuid: str
    seen: int = 0
    evaluated: int = 0
    due: int = NEVER
    fingerprint: int = 0
    routing_mark: int = 0


_NOTHING: Final = msgspec.Raw(b"\xc0")
_EMPTY: Final = msgspec.Raw(b"\x80")
_NONE_OF_IT: Final = msgspec.Raw(b"\x90")
"""In MessagePack: no value, an empty map, an empty list."""


class ProfileParts(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """A profile whose larger fields are left as they are stored; the fields are those of `Profile`."""

    uuid: str
    seen: int = 0
    evaluated: int = 0
    due: int = NEVER
    fingerprint: int = 0
    routing_mark: int = 0
    realisations: int = 0
    traits: msgspec.Raw = _EMPTY
    memberships: msgspec.Raw = _EMPTY
    ids: msgspec.Raw = _NONE_OF_IT
    regions: msgspec.Raw = _NONE_OF_IT
    sends: msgspec.Raw = _EMPTY
    opted_out: int = 0
    departed: msgspec.Raw = _NONE_OF_IT
    heard: int = 0
    wake: int = NEVER
    file: msgspec.Raw = _NOTHING
    bar: msgspec.Raw = _NOTHING


class Held(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What a person's home holds for every device of the person: traits, the statuses of external segments with
    when they were declared, and when the person was last heard of.
    """

    traits: dict[int, TraitState] = {}
    memberships: dict[int, tuple[int, int]] = {}
    heard: int = 0
