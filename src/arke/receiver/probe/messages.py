"""The probe's messages: made-up users, and an account of what was told about them, so that it can be taken back."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.clock import SystemEntropy
from arke.delivery.made_up import made_up

if TYPE_CHECKING:
    from arke.receiver.probe.target import ProbeTarget

_DAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_ONE_MESSAGE: Final = 10


class ProbeUser(msgspec.Struct, frozen=True):
    """A made-up device."""

    aam_uuid: str
    partner_id: str


class ProbeMessages:
    """Builds bodies in the wire format and keeps account of who was told to be in which segment."""

    def __init__(self, target: ProbeTarget) -> None:
        self._target = target
        self._told: dict[ProbeUser, set[str]] = {}
        self._run = secrets.token_hex(4)
        self.users = [self._user(number) for number in range(_ONE_MESSAGE)]

    def user(self, *, aam_uuid: str | None = None, partner_id: str | None = None) -> ProbeUser:
        """The first made-up user, with an id of another shape."""
        first = self.users[0]
        if aam_uuid is not None and self._target.user_dpid == 0:
            partner_id = aam_uuid  # the id is the UUID itself
        return ProbeUser(aam_uuid or first.aam_uuid, partner_id or first.partner_id)

    def body(
        self, users: list[ProbeUser] | None = None, *, segment_id: str | None = None, regions: bool = True
    ) -> bytes:
        """A message that says: these users (by default the first) are in the segment."""
        chosen = users or self.users[:1]
        segment = segment_id or self._target.segment_id
        for user in chosen:
            self._told.setdefault(user, set()).add(segment)
        return self._encode([(user, [segment]) for user in chosen], status="1", regions=regions)

    def forget(self, user: ProbeUser) -> bytes:
        """Take a user out of the account: the message that takes back what one alone was told."""
        segments = sorted(self._told.pop(user, ()))
        return self._encode([(user, segments)], status="0", regions=True)

    def take_back(self) -> list[bytes]:
        """Messages with Status 0 for everything that was told so far."""
        told = [(user, sorted(segments)) for user, segments in self._told.items()]
        return [
            self._encode(told[start : start + _ONE_MESSAGE], status="0", regions=True)
            for start in range(0, len(told), _ONE_MESSAGE)
        ]

    def _encode(self, users: list[tuple[ProbeUser, list[str]]], *, status: str, regions: bool) -> bytes:
        now = wire_date(time.time())
        return msgspec.json.encode(
            {
                "ProcessTime": now,
                "User_DPID": str(self._target.user_dpid),
                "Client_ID": self._target.client_id,
                "AAM_Destination_Id": self._target.destination_id,
                "User_count": str(len(users)),
                "Users": [_user_fields(user, segments, status, now, regions) for user, segments in users],
            }
        )

    def _user(self, number: int) -> ProbeUser:
        label = f"arke-probe-{self._run}-{number}"
        return ProbeUser(*made_up(self._target.user_dpid, label, SystemEntropy()))


def wire_date(at_s: float) -> str:
    """The wire's date text, independent of the machine's language."""
    year, month, day, hour, minute, second, weekday = time.gmtime(at_s)[:7]
    clock = f"{hour:02d}:{minute:02d}:{second:02d}"
    return f"{_DAYS[weekday]} {_MONTHS[month - 1]} {day:02d} {clock} UTC {year}"


def _user_fields(
    user: ProbeUser, segments: list[str], status: str, now: str, regions: bool
) -> dict[str, Any]:
    return {
        "AAM_UUID": user.aam_uuid,
        "DataPartner_UUID": user.partner_id,
        **({"AAM_Regions": ["9"]} if regions else {}),
        "Segments": [{"Segment_ID": segment, "Status": status, "DateTime": now} for segment in segments],
    }
