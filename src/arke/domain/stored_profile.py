"""Profiles as stores have them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from arke.domain.membership import PackedMemberships
from arke.domain.memberships import PACKED_FROM, packed
from arke.domain.profile import Profile

if TYPE_CHECKING:
    from arke.domain.profile import FileMark

_encode: Final = msgspec.msgpack.Encoder().encode
decode_profile: Final = msgspec.msgpack.Decoder(Profile).decode
_UUID: Final = Profile.__struct_fields__.index("uuid")
_FILE: Final = Profile.__struct_fields__.index("file")


def encode_profile(profile: Profile) -> bytes:
    """The profile as it is stored. It stays as it is: what is packed of it is packed in a copy."""
    return _encode(_as_stored(profile))


def form_of(profile: Profile) -> tuple[bytes, bytes, bytes]:
    """What profiles have in common that differ from this one in their UUID and the mark of a file alone, as stored:
    what comes before, between and behind these two.
    """
    profile = _as_stored(profile)
    values = [_encode(value) for value in msgspec.structs.astuple(profile)]
    head = _encode(profile)[: -sum(map(len, values))]
    before, between, behind = values[:_UUID], values[_UUID + 1 : _FILE], values[_FILE + 1 :]
    return b"".join([head, *before]), b"".join(between), b"".join(behind)


def encode_like(form: tuple[bytes, bytes, bytes], uuid: str, file: FileMark | None) -> bytes:
    """A profile of this form as it is stored."""
    before, between, behind = form
    return b"".join((before, _encode(uuid), between, _encode(file), behind))


def _as_stored(profile: Profile) -> Profile:
    memberships = profile.memberships
    if not isinstance(memberships, PackedMemberships) and len(memberships) >= PACKED_FROM:
        small = packed(memberships)
        if small is not None:
            profile = msgspec.structs.replace(profile, memberships=small)
    return profile
