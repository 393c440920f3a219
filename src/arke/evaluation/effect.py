"""What an event did to a profile, as data."""

from __future__ import annotations

import msgspec

from arke.domain.change import Change


class Effect(msgspec.Struct, frozen=True):
    """What an event did: traits it realised and memberships that changed."""

    realised: list[int]
    changes: list[Change]
