"""Homes: a person, known by a cross-device id, is a profile with a key of its own, `DPID:ID` (decision 0036).

A key stands wherever the UUID of a device stands. It cannot be one: UUIDs are digits alone.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.domain.identity import IdKey
    from arke.domain.profile import Profile

_UUIDS = 10**38


def home_of(key: IdKey) -> str:
    """The key of the home profile of a cross-device id."""
    return f"{key[0]}:{key[1]}"


def is_home(key: str) -> bool:
    """Whether a profile of this key is a person's home, and not a device."""
    return ":" in key


def homes_among(keys: Iterable[str]) -> list[str]:
    """Those of these keys that are persons' homes."""
    return list(filter(is_home, keys))


def person_of(home: str) -> IdKey:
    """The cross-device id of a home."""
    dpid, _, partner_id = home.partition(":")
    return int(dpid), partner_id


def is_silent(profile: Profile) -> bool:
    """Whether a profile is the home of a person for whom a device speaks."""
    return is_home(profile.uuid) and all(partner.arriving for partner in profile.ids)


def uuid_on_the_wire(key: str) -> str:
    """What a message has for a profile's UUID. A home has none: partners take 38 digits, and get a hash of its key,
    always the same.
    """
    if not is_home(key):
        return key
    digest = hashlib.blake2b(key.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return f"{int.from_bytes(digest, 'big') % _UUIDS:038d}"
