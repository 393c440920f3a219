"""The standard body: the published sample to the byte, and the rules of JSON for everything else."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arke.domain import message_body as module
from arke.domain.message import SegmentState, UserEntry
from arke.domain.message_body import encode_message, encode_user, wire_time

if TYPE_CHECKING:
    from arke.delivery.body import TemplateMessage

SCALAR_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
ANY_TEXT = st.text(st.characters(), max_size=30)
TIMES = st.integers(0, 4_102_444_800)


def entries(texts: st.SearchStrategy[str]) -> st.SearchStrategy[UserEntry]:
    segments = st.builds(SegmentState, texts, st.booleans(), TIMES, st.none() | st.integers(1, 10**6))
    regions = st.lists(st.integers(1, 40), max_size=4).map(tuple)
    return st.builds(UserEntry, texts, texts, regions, st.lists(segments, max_size=6).map(tuple))


def time_text(ts: int) -> str:
    """The wire's time by way of the standard library (tests run in the C locale)."""
    return datetime.fromtimestamp(ts, UTC).strftime("%a %b %d %H:%M:%S UTC %Y")


def as_structure(user: UserEntry) -> dict[str, Any]:
    """What SPEC section 2 says a user looks like, written down independently."""
    regions = {"AAM_Regions": [str(region) for region in user.regions]} if user.regions else {}
    return {
        "AAM_UUID": user.uuid,
        "DataPartner_UUID": user.partner_id,
        **regions,
        "Segments": [
            {"Segment_ID": s.alias, "Status": "1" if s.active else "0", "DateTime": time_text(s.verified_ts)}
            for s in user.segments
        ],
    }


def test_the_published_sample_comes_out_to_the_byte(sample: TemplateMessage, sample_text: str) -> None:
    """The sample file without its white space outside strings is exactly what is sent."""
    body = encode_message(
        [encode_user(user.entry) for user in sample.users],
        process_ts=sample.process_ts,
        dpid=sample.dpid,
        client_id=sample.client_id,
        destination_id=sample.destination_id,
    )
    assert body.decode() == json.dumps(json.loads(sample_text), separators=(",", ":"))


@given(users=st.lists(entries(SCALAR_TEXT), max_size=4), client_id=SCALAR_TEXT, process_ts=TIMES)
def test_bytes_equal_the_json_module_on_the_same_structure(
    users: list[UserEntry], client_id: str, process_ts: int
) -> None:
    """Key order, escaping and separators are those of json.dumps(ensure_ascii=False), for any text."""
    body = encode_message(
        [encode_user(user) for user in users],
        process_ts=process_ts + 0.999,
        dpid=20914,
        client_id=client_id,
        destination_id=423,
    )
    structure = {
        "ProcessTime": time_text(process_ts),
        "User_DPID": "20914",
        "Client_ID": client_id,
        "AAM_Destination_Id": "423",
        "User_count": str(len(users)),
        "Users": [as_structure(user) for user in users],
    }
    assert body == json.dumps(structure, separators=(",", ":"), ensure_ascii=False).encode()


@given(user=entries(ANY_TEXT), client_id=ANY_TEXT)
def test_any_text_python_can_hold_becomes_valid_utf8_json(user: UserEntry, client_id: str) -> None:
    """Lone surrogates and control characters included, strictly decoded; every scalar is a string."""
    body = encode_message(
        [encode_user(user)], process_ts=0, dpid=0, client_id=client_id, destination_id=1
    ).decode("utf-8", "strict")
    decoded = json.loads(body)
    assert len(decoded["Users"][0]["Segments"]) == len(user.segments)
    assert all(isinstance(value, str) for key, value in decoded.items() if key != "Users")


@pytest.mark.parametrize(
    ("partner_id", "sent"),
    [
        ("a\ud800b", "a\ufffdb"),
        ("\udfff", "\ufffd"),
        ("tail\ud83d", "tail\ufffd"),
        ("\ud83d\ude00", "\U0001f600"),
        ("\ufeffkept", "\ufeffkept"),
        ("a\ud800\U0001f600", "a\ufffd\U0001f600"),
        ("nul\x00 tab\t del\x7f ls\u2028", "nul\x00 tab\t del\x7f ls\u2028"),
    ],
)
def test_only_lone_surrogates_are_replaced(partner_id: str, sent: str) -> None:
    """A surrogate without its other half becomes U+FFFD, a pair the character it stands for."""
    encoded = encode_user(UserEntry("1", partner_id, (), (SegmentState("x\ud800", True, 0),)))
    decoded = json.loads(encoded.decode("utf-8", "strict"))
    assert decoded["DataPartner_UUID"] == sent
    assert decoded["Segments"][0]["Segment_ID"] == "x\ufffd"


def test_a_user_keeps_order_and_repeats_of_segments_and_leading_zeros() -> None:
    """Segments go out as given, one alias each, even twice; ids are never numbers."""
    user = UserEntry(
        "0" * 38,
        "007",
        (6, 9),
        (SegmentState("b", True, 0), SegmentState("a", False, 1), SegmentState("b", True, 2)),
    )
    assert encode_user(user) == (
        b'{"AAM_UUID":"00000000000000000000000000000000000000","DataPartner_UUID":"007","AAM_Regions":["6","9"],'
        b'"Segments":[{"Segment_ID":"b","Status":"1","DateTime":"Thu Jan 01 00:00:00 UTC 1970"},'
        b'{"Segment_ID":"a","Status":"0","DateTime":"Thu Jan 01 00:00:01 UTC 1970"},'
        b'{"Segment_ID":"b","Status":"1","DateTime":"Thu Jan 01 00:00:02 UTC 1970"}]}'
    )


def test_regions_are_left_out_where_none_is_known() -> None:
    assert (
        encode_user(UserEntry("1", "2", (), ())) == b'{"AAM_UUID":"1","DataPartner_UUID":"2","Segments":[]}'
    )


@pytest.mark.parametrize(
    ("ts", "text"),
    [
        (1_469_636_262.9, "Wed Jul 27 16:17:42 UTC 2016"),
        (0, "Thu Jan 01 00:00:00 UTC 1970"),
        (951_782_400, "Tue Feb 29 00:00:00 UTC 2000"),
        (1_735_689_599, "Tue Dec 31 23:59:59 UTC 2024"),
        (-0.5, "Wed Dec 31 23:59:59 UTC 1969"),
    ],
)
def test_times_have_two_digit_days_and_whole_seconds(ts: float, text: str) -> None:
    assert wire_time(ts) == text


def test_remembered_texts_are_bounded() -> None:
    """However many seconds pass through, the cache starts anew when full, and answers stay right."""
    cache = module.TextCache(module.format_time, 8)
    for ts in range(100):
        assert cache[ts] == time_text(ts)
        assert len(cache) <= 8
