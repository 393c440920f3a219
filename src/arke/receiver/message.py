"""What a message says, as frozen data: one destination, one id type, some users and their segments.

Ids stay text on purpose: they have leading zeros, may be longer than 38 digits, and may hold a pipe.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterator


class MessageError(InvalidInput):
    """A body that is no valid message.

    `path` says where (`Users[1].Segments[0].Status`, empty for the body as a whole), `reason` what is wrong.
    """

    code = "bad_message"
    carried = ("path", "reason")
    path: str = ""
    reason: str = code

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class SegmentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One segment of one user. `segment_id` may be free text; `date_time` is when it was last verified."""

    segment_id: str
    active: bool
    date_time: datetime


class User(msgspec.Struct, frozen=True, kw_only=True):
    """One device. `data_partner_uuid` is empty where the partner has no id; `regions` where none is known."""

    aam_uuid: str
    data_partner_uuid: str
    segments: tuple[SegmentStatus, ...]
    regions: tuple[int, ...] = ()

    @property
    def partner_id(self) -> str:
        """The id to store the user under: the partner's own, else the UUID."""
        return self.data_partner_uuid or self.aam_uuid


class Entry(NamedTuple):
    """One line of a message: this user is (not) in this segment."""

    user: User
    segment: SegmentStatus
    active: bool


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One request body. `user_dpid` is None in the oldest generation, which did not send it.

    `warnings` tells what was odd but harmless, such as a User_count that does not match.
    """

    process_time: datetime
    client_id: str
    destination_id: str
    users: tuple[User, ...]
    user_dpid: int | None = None
    warnings: tuple[str, ...] = ()

    def entries(self) -> Iterator[Entry]:
        """Every (user, segment, active) of the message, in its order."""
        for user in self.users:
            for segment in user.segments:
                yield Entry(user, segment, segment.active)
