"""The published sample of 2016 as a file's text and as the message it was made from."""

from __future__ import annotations

from pathlib import Path

import pytest

from arke.delivery.body import TemplateMessage, TemplateUser
from arke.domain.message import SegmentState, UserEntry

PROCESS_TS = 1_469_636_262
"""Wed Jul 27 16:17:42 UTC 2016."""


@pytest.fixture
def sample_text() -> str:
    return (Path(__file__).parent / "rt_two_users_2016.json").read_text(encoding="utf-8")


@pytest.fixture
def sample() -> TemplateMessage:
    """The message behind the sample, with what only templates show added to its first user."""
    first = UserEntry(
        "19393572368547369350319949416899715727",
        "4250948725049857",
        (9,),
        (SegmentState("14356", True, PROCESS_TS - 20, 501), SegmentState("12176", False, PROCESS_TS - 20)),
    )
    second = UserEntry(
        "0578240750487542456854736923319946899715232",
        "848457757347734",
        (9,),
        (SegmentState("10329", True, PROCESS_TS - 21), SegmentState("23954", True, PROCESS_TS - 21)),
    )
    return TemplateMessage(
        process_ts=PROCESS_TS,
        generated_ts=PROCESS_TS - 2,
        dpid=12345,
        client_id="74323",
        destination_id=423,
        users=(
            TemplateUser(
                entry=first,
                partner_ids={20914: "gaid-1", 1000: "dpuuid-1"},
                user_agent="Firefox",
                ip="192.0.2.7",
                seen_ts=PROCESS_TS - 5,
            ),
            TemplateUser(entry=second),
        ),
    )
