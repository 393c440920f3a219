"""Profiles as stores have them."""

from __future__ import annotations

from typing import Final

import msgspec

from arke.domain.membership import PackedMemberships
from arke.domain.memberships import packed
from arke.domain.profile import Profile

_encode: Final = msgspec.msgpack.Encoder().encode
decode_profile: Final = msgspec.msgpack.Decoder(Profile).decode


def encode_profile(profile: Profile) -> bytes:
    """The profile as it is stored. It stays as it is: what is packed of it is packed in a copy."""
    memberships = profile.memberships
    if not isinstance(memberships, PackedMemberships):
        small = packed(memberships)
        if small is not None:
            profile = msgspec.structs.replace(profile, memberships=small)
    return _encode(profile)
