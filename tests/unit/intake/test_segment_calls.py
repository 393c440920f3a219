"""Calls of Segment's API as events: ids, signals, time and name, and what nothing stands for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arke.domain.event import DeclaredId
from arke.errors import EventError
from arke.intake.segment import MappedCall, parse_call
from arke.intake.segment_requests import calls_in
from arke.intake.settings import SegmentRules
from unit.intake.directory import Directory

NOW = 1_800_000_000
ANONYMOUS, USER, IDFA = 100, 101, 102
RULES = SegmentRules(
    anonymous_id=ANONYMOUS, user_id=USER, context_ids={"device.advertisingId": IDFA}, prefix="c_"
)
TRACK = {"type": "track", "event": "Viewed", "anonymousId": "a1"}


def mapped(call: dict[str, Any], rules: SegmentRules = RULES) -> MappedCall:
    return parse_call(json.dumps(call).encode(), rules, NOW, Directory())


def refused(call: dict[str, Any], rules: SegmentRules = RULES) -> EventError:
    with pytest.raises(EventError) as problem:
        mapped(call, rules)
    return problem.value


def test_a_track_call_in_full() -> None:
    call = {
        **TRACK,
        "userId": 97980,
        "messageId": "m1",
        "timestamp": "2027-01-15T07:00:00Z",
        "properties": {"price": 12.0, "cart": {"items": 2}, "tags": ["a", "b"], "none": None},
        "context": {"device": {"advertisingId": "7A3CBEA0-BDF5-11E4-8DFC-AA07A5B093DB"}},
    }
    event, left, _ = mapped(call)
    assert event.ids == (
        DeclaredId(ANONYMOUS, "a1"),
        DeclaredId(IDFA, "7A3CBEA0-BDF5-11E4-8DFC-AA07A5B093DB"),
        DeclaredId(USER, "97980", 1),
    )
    assert event.signals == {
        "c_price": ["12"],
        "c_cart.items": ["2"],
        "c_tags": ["a", "b"],
        "c_type": ["track"],
        "c_event": ["Viewed"],
    }
    assert (event.event_id, event.ts, left) == ("m1", 1_799_996_400, ())
    assert not event.public


def test_each_type_says_what_is_its_own() -> None:
    def signals(**call: Any) -> dict[str, list[str]]:
        return mapped({"anonymousId": "a1", **call}).event.signals

    page = {"type": "page", "name": "Home", "category": "Shop", "properties": {"name": "Home", "url": "/"}}
    assert signals(**page) == {
        "c_name": ["Home"],
        "c_url": ["/"],
        "c_type": ["page"],
        "c_category": ["Shop"],
    }
    assert signals(type="screen", name="Home") == {"c_type": ["screen"], "c_name": ["Home"]}
    assert signals(type="identify", traits={"plan": "pro"}) == {"c_plan": ["pro"], "c_type": ["identify"]}
    assert signals(type="group", groupId=5, traits={"size": 3}) == {
        "c_size": ["3"],
        "c_type": ["group"],
        "c_groupId": ["5"],
    }


def test_an_alias_joins_two_ids() -> None:
    event = mapped({"type": "alias", "previousId": "a1", "userId": "u1"}).event
    assert event.ids == (DeclaredId(ANONYMOUS, "a1"), DeclaredId(USER, "u1", 1))


def test_what_nothing_stands_for_is_named() -> None:
    call = {
        **TRACK,
        "userId": "u1",
        "integrations": {"All": True},
        "context": {"device": {"advertisingId": "x1"}, "ip": "8.8.8.8"},
        "options": {},
        "mine": 1,
    }
    rules = SegmentRules(anonymous_id=ANONYMOUS, context_ids={"device.advertisingId": IDFA})
    assert mapped(call, rules).left == ("userId", "integrations", "mine", "context")


def test_a_clock_is_corrected_unless_segment_did() -> None:
    """The device's clock is an hour ahead."""
    call = {**TRACK, "timestamp": NOW + 3_600 - 60, "sentAt": NOW + 3_600}
    assert mapped(call).event.ts == NOW - 60
    passed_on = {**call, "timestamp": NOW - 60, "receivedAt": NOW, "originalTimestamp": NOW + 3_540}
    assert mapped(passed_on).event.ts == NOW - 60


def test_the_type_may_come_from_elsewhere() -> None:
    body = json.dumps({"event": "Viewed", "anonymousId": "a1"}).encode()
    assert parse_call(body, RULES, NOW, Directory(), "track").event.signals["c_event"] == ["Viewed"]


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        ({**TRACK, "type": "trak"}, "bad_field", "`type` must be one of track, identify"),
        ({"type": "track", "anonymousId": "a1"}, "bad_field", "`event` is required"),
        ({"type": "identify"}, "no_id", "`userId` or `anonymousId` is required"),
        ({**TRACK, "anonymousId": ""}, "no_id", "is required"),
        ({**TRACK, "anonymousId": {"a": 1}}, "bad_field", "`anonymousId` must be text or a number"),
        ({**TRACK, "properties": [1]}, "bad_field", "`properties` must be an object"),
        ({**TRACK, "context": "web"}, "bad_field", "`context` must be an object"),
        ({**TRACK, "timestamp": "yesterday"}, "bad_field", "`timestamp` must be a time"),
        ({**TRACK, "timestamp": True}, "bad_field", "`timestamp` must be text or a number"),
        ({**TRACK, "timestamp": NOW - 131 * 86_400}, "too_old", "timestamp is more than 130 days ago"),
        ({**TRACK, "messageId": "m" * 129}, "bad_event_id", "event_id must be 1 to 128"),
        ({**TRACK, "anonymousId": "00000000-0000-0000-0000-000000000000"}, "all_ids_invalid", "names nobody"),
    ],
)
def test_a_bad_call_says_what_is_wrong(call: dict[str, Any], code: str, text: str) -> None:
    problem = refused(call)
    assert problem.reason == code
    assert text in problem.message


def test_a_call_whose_ids_have_no_data_source_says_which_setting() -> None:
    problem = refused(TRACK, SegmentRules(user_id=USER))
    assert (problem.reason, problem.message) == (
        "no_id",
        "no data source is set for anonymousId: see intake.segment",
    )


def test_a_text_that_was_cut_within_an_emoji_costs_no_batch() -> None:
    """JavaScript writes the half that is left, and the libraries throw a batch away that is refused."""
    calls = calls_in(
        b'{"batch":[{"type":"page","properties":{"title":"x\\ud83d"}},{"type":"page","name":"a"}],'
        b'"context":{"page":{"title":"\\ude00"}}}',
        "batch",
    )
    context = {"page": {"title": "\ufffd"}}
    assert [calls.read(at) for at in range(2)] == [
        {"type": "page", "properties": {"title": "x\ufffd"}, "context": context},
        {"type": "page", "name": "a", "context": context},
    ]
    assert calls_in(b'{"name":"\\ud83d"}', "page").read(0) == {"type": "page", "name": "\ufffd"}


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff{}", b"[" * 100_000, b"{" + b" " * 40_000 + b"}"])
def test_what_is_no_call_is_refused(body: bytes) -> None:
    with pytest.raises(EventError) as problem:
        parse_call(body, RULES, NOW, Directory())
    assert problem.value.reason in ("bad_json", "bad_encoding", "line_too_long")
