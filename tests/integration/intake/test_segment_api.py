"""Segment's HTTP API at a real server: calls, batches, keys, bounds, consent, pages, and whatever else is sent."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from arke.domain.event import DeclaredId
from arke.errors import Overloaded, StoreUnavailable
from arke.intake import segment_endpoint
from arke.intake.http import intake_app
from arke.intake.origins import listeners
from arke.intake.segment_endpoint import MAX_UNPROVEN_OF_ONE, Unproven
from arke.intake.segment_requests import MAX_BATCH_BYTES, MAX_CALL_BYTES, MAX_CALLS, ROUTES
from arke.intake.settings import ConsentRules, IntakeSettings, SegmentRules
from consent_strings import tc_string
from integration.intake.engine import PAGE_KEY, SECRET, UUID, Answer, RecordingEngine, Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator

ANONYMOUS, USER = 123, 124
GUARDED = 126
RULES = SegmentRules(anonymous_id=ANONYMOUS, user_id=USER, context_ids={"device.advertisingId": 20914})
CONSENT = ConsentRules(tcf_vendor=565, honour=("gpc", "us_privacy"))
ASKING = SegmentRules(
    anonymous_id=ANONYMOUS, user_id=USER, consent=CONSENT, consent_categories=("Advertising",)
)
TRACK: dict[str, Any] = {
    "event": "Viewed",
    "anonymousId": "a1",
    "properties": {"cart": {"items": 2}},
    "messageId": "m1",
}
GOOD = {"type": "track", "event": "Viewed", "anonymousId": "a1"}


@pytest.fixture(scope="module")
def doors() -> Iterator[tuple[Server, RecordingEngine]]:
    recorder = RecordingEngine()
    rules = IntakeSettings(segment=ASKING, consent=CONSENT, region=11)
    with running(recorder, rules) as server:
        yield server, recorder


@pytest.fixture
def recorder(doors: tuple[Server, RecordingEngine]) -> RecordingEngine:
    doors[1].reset()
    return doors[1]


@pytest.fixture
def door(doors: tuple[Server, RecordingEngine], recorder: RecordingEngine) -> Server:
    return doors[0]


def basic(key: str = SECRET, password: str = "") -> str:
    return f"Authorization: Basic {base64.b64encode(f'{key}:{password}'.encode()).decode()}"


def call(door: Server, path: str, body: Any, *headers: str, key: str | None = SECRET) -> Answer:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return door.post(path, raw, *([basic(key)] if key is not None else []), *headers)


def said(answer: Answer, status: int = 200) -> dict[str, Any]:
    assert answer.status == status, answer.body
    content: dict[str, Any] = json.loads(answer.body)
    return content


@pytest.mark.parametrize(
    ("path", "own", "signals"),
    [
        ("/v1/track", {"event": "Viewed"}, {"c_type": ["track"], "c_event": ["Viewed"]}),
        ("/v1/identify", {"traits": {"plan": "pro"}}, {"c_type": ["identify"], "c_plan": ["pro"]}),
        ("/v1/page", {"name": "Home"}, {"c_type": ["page"], "c_name": ["Home"]}),
        ("/v1/screen", {"name": "Home"}, {"c_type": ["screen"], "c_name": ["Home"]}),
        ("/v1/group", {"groupId": "g1"}, {"c_type": ["group"], "c_groupId": ["g1"]}),
        ("/v1/alias", {"previousId": "a0"}, {"c_type": ["alias"]}),
    ],
)
def test_each_call_has_its_address_and_a_short_one(
    door: Server, recorder: RecordingEngine, path: str, own: dict[str, Any], signals: dict[str, Any]
) -> None:
    for address in (path, path[:5]):
        assert said(call(door, address, {"userId": "u1", **own})) == {"success": True}
    for event in recorder.events:
        assert event.signals == signals
        assert DeclaredId(USER, "u1", 1) in event.ids
        assert not event.public


def test_a_call_is_an_event_in_all_its_parts(door: Server, recorder: RecordingEngine) -> None:
    assert said(call(door, "/v1/track", TRACK)) == {"success": True}
    (event,) = recorder.events
    assert event.ids == (DeclaredId(ANONYMOUS, "a1"),)
    assert event.signals == {"c_cart.items": ["2"], "c_type": ["track"], "c_event": ["Viewed"]}
    assert (event.event_id, event.region) == ("m1", None)


@pytest.mark.parametrize("path", [path for path, takes in ROUTES.items() if takes == "batch"])
def test_one_bad_call_of_a_batch_costs_only_itself(
    door: Server, recorder: RecordingEngine, path: str
) -> None:
    batch = [
        {**GOOD, "messageId": "m1"},
        {"type": "track", "anonymousId": "a1"},
        7,
        {"type": "identify", "userId": "u1"},
        {**GOOD, "properties": {"x": "x" * MAX_CALL_BYTES}},
        {**GOOD, "anonymousId": "undefined"},
        {**GOOD, "anonymousId": "undefined", "userId": "u2"},
    ]
    answer = said(call(door, path, {"batch": batch}))
    assert answer["success"] is True
    assert [(one["call"], one["code"]) for one in answer["rejected"]] == [
        (1, "bad_field"),
        (2, "bad_json"),
        (4, "line_too_long"),
        (5, "all_ids_invalid"),
    ]
    assert [(one["call"], one["code"]) for one in answer["warnings"]] == [(6, "blocked_id")]
    assert len(recorder.events) == 3
    counted = recorder.figures.events_refused
    assert counted == {"bad_field": 1, "bad_json": 1, "line_too_long": 1, "all_ids_invalid": 1}
    assert recorder.figures.ids_dropped == {"blocked_id": 2}


def test_a_batch_of_nothing_but_bad_calls_is_bad(door: Server, recorder: RecordingEngine) -> None:
    answer = said(call(door, "/v1/batch", {"batch": [{"type": "track"}, {"type": "x"}]}), 400)
    assert (answer["success"], answer["code"], len(answer["rejected"])) == (False, "no_id", 2)
    assert said(call(door, "/v1/batch", {"batch": []})) == {"success": True}
    assert recorder.calls == 0


def test_what_a_batch_says_of_its_calls_counts_where_they_do_not(
    door: Server, recorder: RecordingEngine
) -> None:
    batch = {
        "batch": [
            {**GOOD, "timestamp": "2000-01-01T00:00:00Z"},
            {**GOOD, "timestamp": "2000-01-01T00:00:00Z", "sentAt": "2000-01-01T00:01:00Z"},
            {"type": "track", "event": "x", "context": {"device": {"advertisingId": "9"}}},
        ],
        "sentAt": "2000-01-01T00:00:30Z",
        "context": {"consent": {"us_privacy": "1YYN"}},
    }
    answer = said(call(door, "/v1/batch", batch), 400)
    assert {one["code"] for one in answer["rejected"]} == {"opted_out", "no_id"}
    del batch["context"]
    assert [one["call"] for one in said(call(door, "/v1/batch", batch))["rejected"]] == [2]
    first, second = (event.ts for event in recorder.events)
    assert first is not None
    assert second is not None
    assert 29 <= first - second <= 31


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "bad_json"),
        (b"[]", "bad_json"),
        (b"nonsense", "bad_json"),
        (b'{"x":"\xff"}', "bad_encoding"),
        (b"[" * 20_000, "bad_json"),
        (b'{"event": "x"}', "no_id"),
        (b'{"event": "x", "userId": {}}', "bad_field"),
        (b'{"event": "x", "userId": "u", "properties": []}', "bad_field"),
        (b'{"event": "x", "userId": "u", "messageId": ""}', None),
        (b'{"event": "x", "userId": "u", "timestamp": "yesterday"}', "bad_field"),
        (b'{"event": "x", "userId": "u", "timestamp": "1990-01-01T00:00:00Z"}', "too_old"),
        (
            b'{"event": "x", "userId": "u", "properties": {"x": "' + b"x" * MAX_CALL_BYTES + b'"}}',
            "body_too_large",
        ),
    ],
)
def test_a_bad_call_is_answered_as_segment_answers_it(
    door: Server, recorder: RecordingEngine, body: bytes, code: str | None
) -> None:
    answer = said(call(door, "/v1/track", body), 200 if code is None else 400)
    assert answer["success"] is (code is None)
    assert answer.get("code") == code
    assert bool(answer.get("message")) is (code is not None)
    assert recorder.figures.events_refused == ({} if code is None else {code: 1})


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"[]", "bad_field"),
        (b"{}", "bad_field"),
        (b'{"batch": {}}', "bad_field"),
        (b'{"batch": [', "bad_json"),
        (b'{"batch": [' + b"{}," * MAX_CALLS + b"{}]}", "too_many_events"),
        (b'{"batch": [], "x": "' + b"x" * MAX_BATCH_BYTES + b'"}', "body_too_large"),
    ],
)
def test_a_bad_batch_stores_nothing(door: Server, recorder: RecordingEngine, body: bytes, code: str) -> None:
    assert said(call(door, "/v1/batch", body), 400)["code"] == code
    assert recorder.calls == 0


def test_bodies_come_packed(door: Server, recorder: RecordingEngine) -> None:
    packed = gzip.compress(json.dumps({"batch": [GOOD] * 200}).encode())
    assert said(call(door, "/v1/batch", packed, "Content-Encoding: gzip")) == {"success": True}
    assert len(recorder.events) == 200
    bomb = gzip.compress(b'{"batch":[' + b" " * 50_000_000)
    assert said(call(door, "/v1/batch", bomb, "Content-Encoding: gzip"), 400)["code"] in (
        "body_too_large",
        "inflates_too_much",
    )
    assert said(call(door, "/v1/track", b"no gzip", "Content-Encoding: gzip"), 400)["code"] == "bad_gzip"
    assert said(call(door, "/v1/track", packed[:50], "Content-Encoding: gzip"), 400)["code"] == "bad_gzip"
    assert said(call(door, "/v1/track", b"{}", "Content-Encoding: br"), 415)["code"] == "unknown_encoding"


def test_a_key_may_stand_in_three_places(door: Server, recorder: RecordingEngine) -> None:
    bearer = f"Authorization: Bearer {SECRET}"
    assert said(call(door, "/v1/track", TRACK, bearer, key=None)) == {"success": True}
    assert said(call(door, "/v1/track", {**TRACK, "writeKey": SECRET}, key=None)) == {"success": True}
    assert said(call(door, "/v1/b", {"batch": [GOOD], "writeKey": SECRET}, key=None)) == {"success": True}
    other = "Authorization: Basic b3RoZXI6c3lzdGVt"
    assert said(call(door, "/v1/t", {**TRACK, "writeKey": SECRET}, other, key=None)) == {"success": True}
    assert len(recorder.events) == 4


@pytest.mark.parametrize("path", ["/v1/track", "/v1/batch"])
@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ((), b"{}", 401),
        ((), b"nonsense", 401),
        ((), json.dumps({**TRACK, "batch": [], "writeKey": "other"}).encode(), 401),
        ((), json.dumps({**TRACK, "batch": [], "writeKey": 7}).encode(), 401),
        ((basic("arke_wrong"),), b"{}", 401),
        ((basic("arke_reader"),), b"{}", 403),
        (("Authorization: Basic ???",), b"{}", 401),
        (("Authorization: Basic",), b"{}", 401),
        (("Authorization: Basic " + base64.b64encode(b"\xff:").decode(),), b"{}", 401),
    ],
)
def test_without_a_key_nothing_is_taken(
    door: Server, recorder: RecordingEngine, path: str, headers: tuple[str, ...], body: bytes, status: int
) -> None:
    answer = said(door.post(path, body, *headers), status)
    assert (answer["success"], answer["code"]) == (False, "unauthorized")
    assert recorder.calls == 0


def test_a_key_of_pages_is_anybodys_word(door: Server, recorder: RecordingEngine) -> None:
    assert said(call(door, "/v1/track", TRACK, key=PAGE_KEY)) == {"success": True}
    (event,) = recorder.events
    assert (event.public, event.region) == (True, 11)
    assert door.post("/v1/events", b"{}", f"Authorization: Bearer {PAGE_KEY}").status == 403


def test_an_open_door_asks_for_no_key() -> None:
    recorder = RecordingEngine()
    with running(recorder, IntakeSettings(segment=RULES, auth="open")) as door:
        assert said(call(door, "/v1/track", TRACK, key=None)) == {"success": True}
        assert said(call(door, "/v1/track", TRACK, key="whatever")) == {"success": True}
    assert [event.public for event in recorder.events] == [False, False]


@pytest.mark.parametrize("problem", [Overloaded("full"), StoreUnavailable("the disk")])
def test_what_cannot_be_stored_is_to_be_sent_again(
    door: Server, recorder: RecordingEngine, problem: Exception
) -> None:
    recorder.fail_always = problem
    answer = call(door, "/v1/batch", {"batch": [GOOD] * 3}, "Origin: https://shop.example")
    content = said(answer, 429 if isinstance(problem, Overloaded) else 503)
    assert (content["success"], "rejected" in content) == (False, False)
    assert int(answer.header("retry-after") or 0) > 0
    assert answer.header("access-control-allow-origin") == "https://shop.example"
    assert "Retry-After" in (answer.header("access-control-expose-headers") or "")


def test_who_shows_no_key_beforehand_shares_a_bounded_room(
    door: Server, recorder: RecordingEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segment_endpoint, "MAX_UNPROVEN_BYTES", 10)
    answer = call(door, "/v1/track", {**TRACK, "writeKey": SECRET}, key=None)
    assert said(answer, 429)["code"] == "overloaded"
    assert said(call(door, "/v1/track", TRACK)) == {"success": True}
    monkeypatch.undo()
    assert said(call(door, "/v1/track", {**TRACK, "writeKey": SECRET}, key=None)) == {"success": True}


def test_a_key_of_pages_is_shown_by_anybody(door: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(segment_endpoint, "MAX_UNPROVEN_BYTES", 10)
    assert said(call(door, "/v1/track", TRACK, key=PAGE_KEY), 429)["code"] == "overloaded"


def test_one_address_does_not_fill_the_room_of_all() -> None:
    room = Unproven()
    with room.held_by("one") as hold, room.held_by("one") as again, room.held_by("other") as others:
        hold(MAX_UNPROVEN_OF_ONE - 1)
        with pytest.raises(Overloaded):
            again(2)
        again(1)
        others(MAX_UNPROVEN_OF_ONE)
    with room.held_by("one") as hold:
        hold(MAX_UNPROVEN_OF_ONE)  # all of it was given back


@pytest.mark.parametrize("name", ["context", "integrations"])
def test_what_a_batch_says_of_its_calls_is_no_longer_than_one(
    door: Server, recorder: RecordingEngine, name: str
) -> None:
    """It becomes a part of each: 400 KB of it in 2,400 calls held the engine up for two thirds of a second."""
    common = {f"k{number}": 1 for number in range(MAX_CALL_BYTES // 8)}
    body = json.dumps({"batch": [GOOD], name: common}).encode()
    assert MAX_CALL_BYTES < len(body) < MAX_BATCH_BYTES
    assert said(call(door, "/v1/batch", body), 400)["code"] == "line_too_long"
    assert recorder.events == []


@pytest.mark.parametrize("name", ["context", "integrations"])
@pytest.mark.parametrize(
    ("value", "code"), [(b'{"a":1e999}', "bad_json"), (b'{"a":%b}' % (b"9" * 5_000), "bad_json"),
                        (b'{"a":"\xff"}', "bad_encoding")],
)  # fmt: skip
def test_what_a_batch_says_of_its_calls_and_nobody_can_read_is_the_senders_fault(
    door: Server, recorder: RecordingEngine, name: str, value: bytes, code: str
) -> None:
    body = b'{"batch":[%b],"%b":%b}' % (json.dumps(GOOD).encode(), name.encode(), value)
    answer = said(call(door, "/v1/batch", body), 400)
    assert (answer["code"], f"`{name}`" in answer["message"]) == (code, True)
    assert recorder.events == []


# -- consent


@pytest.mark.parametrize(
    ("consent", "code"),
    [
        ({"gdpr": 1}, "no_consent"),
        ({"gdpr": True, "gdpr_consent": "${GDPR_CONSENT_565}"}, "no_consent"),
        ({"gdpr": "1", "gdpr_consent": tc_string({1, 10}, {565})}, None),
        ({"gdpr": False}, None),
        ({"gdpr": 0}, None),
        ({"us_privacy": "1YYN"}, "opted_out"),
        ({"us_privacy": ["1NNN", "1YYN", ["1YYN"], {}]}, "opted_out"),
        ({"us_privacy": "1NNN"}, None),
        ({"categoryPreferences": {"Advertising": True, "Analytics": False}}, None),
        ({"categoryPreferences": {"Advertising": False}}, "no_consent"),
        ({"categoryPreferences": {"Advertising": "true"}}, "no_consent"),
        ({"categoryPreferences": {"Analytics": True}}, "no_consent"),
        ({"categoryPreferences": []}, "no_consent"),
        ({"categoryPreferences": None}, "no_consent"),
        ({}, None),
        ("nonsense", None),
        (None, None),
    ],
)
def test_a_call_says_whether_it_may_be_taken(
    door: Server, recorder: RecordingEngine, consent: Any, code: str | None
) -> None:
    answer = said(call(door, "/v1/track", {**TRACK, "context": {"consent": consent}}))
    assert answer["success"] is True
    assert [one["code"] for one in answer.get("rejected", [])] == ([] if code is None else [code])
    assert len(recorder.events) == (1 if code is None else 0)
    assert recorder.opt_outs == []


@pytest.mark.parametrize("header", ["Sec-GPC: 1", "Cookie: demdex=NOTARGET"])
def test_a_browser_may_say_so_too(door: Server, recorder: RecordingEngine, header: str) -> None:
    answer = said(call(door, "/v1/track", TRACK, header, key=PAGE_KEY))
    assert [one["code"] for one in answer["rejected"]] == ["opted_out"]
    assert recorder.events == []


def test_who_declines_by_a_tc_string_opts_out_by_his_own_word(
    door: Server, recorder: RecordingEngine
) -> None:
    declined = {**TRACK, "context": {"consent": {"gdpr": 1, "gdpr_consent": tc_string()}}}
    said(call(door, "/v1/track", declined, key=PAGE_KEY))
    assert recorder.opt_outs == []  # as at `/demoptout`: without a token nobody is opted out by an id
    said(call(door, "/v1/track", declined))
    assert recorder.opt_outs == [(None, (DeclaredId(ANONYMOUS, "a1"),))]


# -- pages


def test_a_page_asks_before_it_sends(door: Server) -> None:
    asked = door.send(
        b"OPTIONS /v1/t HTTP/1.1\r\nHost: h\r\nConnection: close\r\nOrigin: https://shop.example\r\n"
        b"Access-Control-Request-Method: POST\r\nAccess-Control-Request-Headers: authorization,content-type\r\n\r\n"
    )
    assert asked.status == 204
    assert asked.header("access-control-allow-origin") == "https://shop.example"
    allowed = (asked.header("access-control-allow-headers") or "").lower()
    assert {"authorization", "content-type", "x-retry-count"} <= set(allowed.split(", "))
    sent = call(door, "/v1/t", TRACK, "Origin: https://shop.example", "Content-Type: text/plain")
    assert sent.header("access-control-allow-origin") == "https://shop.example"


def test_only_pages_that_are_listed_read_answers() -> None:
    rules = IntakeSettings(segment=RULES, listeners=listeners(["https://shop.example"]))
    with running(RecordingEngine(), rules) as door:
        for origin, heard in (("https://shop.example", True), ("https://else.example", False)):
            answer = call(door, "/v1/track", TRACK, f"Origin: {origin}")
            assert (answer.header("access-control-allow-origin") is not None) is heard


def test_other_methods_are_told_so(door: Server) -> None:
    assert door.get("/v1/track").status == 405


# -- whatever else is sent

SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMES = [
    *("type", "userId", "anonymousId", "previousId", "groupId", "event", "name", "category", "messageId"),
    *("timestamp", "sentAt", "receivedAt", "originalTimestamp", "properties", "traits", "context"),
    *("integrations", "writeKey", "batch"),
]
CONTEXT = st.fixed_dictionaries(
    {
        "consent": st.dictionaries(
            st.sampled_from(["gdpr", "gdpr_consent", "gpp", "gpp_sid", "categoryPreferences"]), JSON
        )
    }
)
CALLS = st.dictionaries(st.sampled_from(NAMES), JSON | CONTEXT | st.just("a1") | st.just({}), max_size=8).map(
    lambda one: {"type": "track", "userId": "u", "event": "e"} | one
)


async def asked(recorder: RecordingEngine, path: str, body: bytes) -> tuple[int, bytes]:
    """One request to the app, without a server between."""
    app = intake_app(recorder, recorder, recorder, IntakeSettings(segment=ASKING, consent=CONSENT))
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(b"host", b"h"), (b"authorization", f"Bearer {SECRET}".encode())],
        "client": ("127.0.0.1", 1),
    }
    await app(scope, receive, send)
    return sent[0]["status"], b"".join(part.get("body", b"") for part in sent[1:])


FUZZ = settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@FUZZ
@given(path=st.sampled_from(sorted(ROUTES)), call=CALLS, others=st.lists(JSON | CALLS, max_size=3))
def test_whatever_is_sent_is_answered(path: str, call: dict[str, Any], others: list[Any]) -> None:
    content = {**call, "batch": [call, *others]} if ROUTES[path] == "batch" else call
    status, body = asyncio.run(asked(RecordingEngine(), path, json.dumps(content).encode("utf-8", "replace")))
    answer = json.loads(body)
    assert status in (200, 400)
    assert answer["success"] is (status == 200)
    if status == 400:
        assert isinstance(answer["code"], str)
        assert isinstance(answer["message"], str)


@FUZZ
@given(
    path=st.sampled_from(sorted(ROUTES)),
    body=st.binary(max_size=300) | JSON.map(lambda one: json.dumps(one).encode()),
)
def test_so_is_what_is_no_call_at_all(path: str, body: bytes) -> None:
    status, answer = asyncio.run(asked(RecordingEngine(), path, body))
    assert status in (200, 400)
    assert json.loads(answer)["success"] is (status == 200)


@pytest.mark.parametrize("depth", [7, 8, 9, 100, 5_000])
def test_depth_is_bounded(door: Server, depth: int) -> None:
    nested = b'{"a":' * depth + b"1" + b"}" * depth
    answer = call(door, "/v1/track", b'{"event":"x","userId":"u","properties":' + nested + b"}")
    assert answer.status in (200, 400)
    assert said(answer, answer.status)["success"] is (depth <= 9)


def test_numbers_of_any_length_are_answered(door: Server) -> None:
    for digits in (18, 19, 20, 400, 5_000, 20_000):
        for body in (b'{"event":"x","userId":%s}', b'{"event":"x","userId":"u","properties":{"n":%s}}'):
            assert call(door, "/v1/track", body.replace(b"%s", b"9" * digits)).status in (200, 400)


def test_a_visitors_cookie_is_not_his_device_here(door: Server, recorder: RecordingEngine) -> None:
    said(call(door, "/v1/track", TRACK, f"Cookie: demdex={UUID}"))
    assert recorder.events[0].uuid is None
