"""What every request must be like, whatever it is about (SPEC sections 2 and 5)."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from model.histories import Outlet
    from tour.stage import Request

ENVELOPE = ["ProcessTime", "User_DPID", "Client_ID", "AAM_Destination_Id", "User_count", "Users"]
USER = (
    ["AAM_UUID", "DataPartner_UUID", "Segments"],
    ["AAM_UUID", "DataPartner_UUID", "AAM_Regions", "Segments"],
)
STATE = ["Segment_ID", "Status", "DateTime"]
MAX_USERS = 10
_STAMP = re.compile(r"(Mon|Tue|Wed|Thu|Fri|Sat|Sun) [A-Z][a-z]{2} \d\d \d\d:\d\d:\d\d UTC \d{4}")


def stamp(text: str) -> int:
    """A message's time in epoch seconds."""
    assert _STAMP.fullmatch(text), text
    return int(datetime.strptime(text, "%a %b %d %H:%M:%S UTC %Y").replace(tzinfo=UTC).timestamp())


def moment(request: Request) -> float:
    """When a request was made."""
    return datetime.fromisoformat(request.at).timestamp()


def check_messages(requests: Sequence[Request]) -> None:
    """Shape of every body; and every delivery has at most two attempts, the second with the bytes of the first."""
    open_attempts: dict[tuple[int, str], Request] = {}
    for request in requests:
        key = (request.destination, request.body)
        if request.attempt == 1:
            _check_body(request)
            open_attempts[key] = request
            continue
        first = open_attempts.pop(key)
        assert request.attempt == 2
        assert first.status != 200, "an acknowledged message is not sent again"
        assert (first.kind, first.headers) == (request.kind, request.headers)


def _check_body(request: Request) -> None:
    message = json.loads(request.body)
    assert json.dumps(message, separators=(",", ":"), ensure_ascii=False) == request.body, "compact"
    assert list(message) == ENVELOPE
    assert message["AAM_Destination_Id"] == str(request.destination)
    assert 1 <= len(message["Users"]) <= MAX_USERS
    assert message["User_count"] == str(len(message["Users"]))
    assert stamp(message["ProcessTime"]) == int(moment(request)), "the first attempt is when it is executed"
    names = [user["DataPartner_UUID"] for user in message["Users"]]
    assert len(set(names)) == len(names), "one entry a partner id"
    for user in message["Users"]:
        _check_user(user, stamp(message["ProcessTime"]))


def _check_user(user: dict[str, Any], processed: int) -> None:
    assert list(user) in USER
    assert re.fullmatch(r"\d{38}", user["AAM_UUID"])
    assert user["Segments"], "a user about whom there is nothing to say"
    aliases = [state["Segment_ID"] for state in user["Segments"]]
    assert len(set(aliases)) == len(aliases), "one status an alias"
    for state in user["Segments"]:
        assert list(state) == STATE
        assert state["Status"] in ("0", "1")
        assert stamp(state["DateTime"]) <= processed


def check_zeros(request: Request, outlet: Outlet) -> None:
    """A destination that takes no 0s gets none."""
    if not outlet.supports_unsegment:
        assert '"Status":"0"' not in request.body
