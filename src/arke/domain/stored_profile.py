"""Profiles as stores have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.membership import PackedMemberships
from arke.domain.memberships import PACKED_FROM, packed
from arke.domain.profile import Profile, ProfileHead, ProfileParts

if TYPE_CHECKING:
    from arke.domain.profile import FileMark

_encode: Final = msgspec.msgpack.Encoder().encode
decode_profile: Final = msgspec.msgpack.Decoder(Profile).decode
decode_head: Final = msgspec.msgpack.Decoder(ProfileHead).decode
decode_parts: Final = msgspec.msgpack.Decoder(ProfileParts).decode
_HEAD: Final = 3
"""Bytes before the UUID, which is the first field; the mark and the bar are the last ones."""
_NOTHING: Final = _encode(None)


def encode_profile(profile: Profile) -> bytes:
    """The profile as it is stored. It stays as it is: what is packed of it is packed in a copy."""
    memberships = profile.memberships
    if not isinstance(memberships, PackedMemberships) and len(memberships) >= PACKED_FROM:
        small = packed(memberships)
        if small is not None:
            profile = msgspec.structs.replace(profile, memberships=small)
    return _encode(profile)


def form_of(profile: Profile) -> tuple[bytes, bytes]:
    """What profiles have in common that come of this one by a UUID and a mark of a file: the parts of their stored
    form before and between these two. It has neither, and no bar.
    """
    body = encode_profile(profile)
    return body[:_HEAD], body[_HEAD + 1 : -2]


def encode_like(form: tuple[bytes, bytes], uuid: str, file: FileMark | None) -> bytes:
    """A profile of this form as it is stored."""
    head, between = form
    return b"".join((head, _encode(uuid), between, _encode(file), _NOTHING))


def has_bar(parts: ProfileParts) -> bool:
    """Whether something is not let in any more of a device that withdrew."""
    return bytes(parts.bar) != _NOTHING


def state_of(parts: ProfileParts) -> tuple[int | bytes, ...]:
    """What decides how time changes a profile, but for its key: its state, and nothing of who it is."""
    return (
        parts.evaluated,
        parts.due,
        parts.fingerprint,
        parts.realisations,
        parts.opted_out,
        parts.heard,
        parts.wake,
        bytes(parts.traits),
        bytes(parts.memberships),
        bytes(parts.sends),
    )


def encode_with_state(parts: ProfileParts, state: ProfileParts) -> bytes:
    """A profile as it is stored, once it has the state of another one (`state_of`)."""
    return _encode(
        ProfileParts(
            parts.uuid,
            parts.seen,
            state.evaluated,
            state.due,
            state.fingerprint,
            parts.routing_mark,
            state.realisations,
            state.traits,
            state.memberships,
            parts.ids,
            parts.regions,
            state.sends,
            state.opted_out,
            parts.departed,
            state.heard,
            state.wake,
            parts.file,
            parts.bar,
        )
    )
