"""The result of applying an event, as data."""

from __future__ import annotations

import msgspec

from arke.domain.change import Change


class Effect(msgspec.Struct, frozen=True):
    """What an event did to a profile: the traits that it realised, and the memberships that changed."""

    realised: list[int]
    changes: list[Change]
