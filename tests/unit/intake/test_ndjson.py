"""One NDJSON line, one event, or one reason why not (SPEC section 7)."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arke.domain.catalog import Catalog, DataSource
from arke.domain.event import DeclaredId, IncomingEvent
from arke.engine.live_catalog import LiveCatalog
from arke.errors import EventError
from arke.intake.ndjson import parse_event_line
from reference import costs_less_than

UUID = "00000000000000000000000000000000000042"
NOW = 1_767_225_600  # 2026-01-01T00:00:00Z
IDFA = "AEBE52E7-03EE-455A-B3C4-E57283966239"


def parse(content: Any) -> IncomingEvent:
    return parse_event_line(json.dumps(content).encode(), NOW)


def reason(line: bytes) -> tuple[str, str]:
    with pytest.raises(EventError) as caught:
        parse_event_line(line, NOW)
    return caught.value.reason, caught.value.message


def test_the_example_of_the_specification() -> None:
    line = (
        b'{"uuid": "00000000000000000000000000000000000042", "ids": [{"dpid": 12345, "id": "abc",'
        b' "state": 1}], "signals": {"c_product": "camera"}, "traits": [1000], "region": 6,'
        b' "ts": "2026-01-01T00:00:00Z", "memberships": {"14356": 1, "12176": 0}}'
    )
    assert parse_event_line(line, NOW) == IncomingEvent(
        uuid=UUID,
        ids=(DeclaredId(12345, "abc", 1),),
        signals={"c_product": ["camera"]},
        traits=(1000,),
        memberships={14356: 1, 12176: 0},
        region=6,
        ts=NOW,
    )


def test_an_empty_event_is_a_new_device() -> None:
    assert parse({}) == IncomingEvent()


@pytest.mark.parametrize(
    ("value", "texts"),
    [
        ("camera", ["camera"]),
        ("a,b", ["a,b"]),
        ("", [""]),
        (500, ["500"]),
        (-3, ["-3"]),
        (499.9, ["499.9"]),
        (500.0, ["500"]),
        (1e20, ["1e+20"]),
        (True, ["true"]),
        (False, ["false"]),
        ([], []),
        (["a", 1, 2.5, True], ["a", "1", "2.5", "true"]),
        (12345678901234567890123, ["12345678901234567890123"]),
    ],
)
def test_signal_values_become_the_texts_rules_compare(value: Any, texts: list[str]) -> None:
    assert parse({"signals": {"k": value}}).signals == {"k": texts}


@pytest.mark.parametrize(
    ("ts", "at"),
    [
        ("2026-01-01T00:00:00Z", NOW),
        ("2026-01-01T00:00:00.999999Z", NOW),
        ("2026-01-01T01:00:00+01:00", NOW),
        ("2025-12-31T23:59:59z", NOW - 1),
        ("2025-08-24T00:00:00Z", NOW - 130 * 86_400),
        ("2026-01-01T00:05:00Z", NOW),
    ],
)
def test_time_stamps(ts: str, at: int) -> None:
    """Offsets and fractions are understood; slightly ahead counts as now."""
    assert parse({"ts": ts}).ts == at


@pytest.mark.parametrize(
    ("line", "code", "told"),
    [
        (b"", "bad_json", "truncated"),
        (b"{", "bad_json", "truncated"),
        (b"{} {}", "bad_json", "trailing"),
        (b"{'a':1}", "bad_json", ""),
        (b"NaN", "bad_json", ""),
        (b'{"signals":{"a":NaN}}', "bad_json", ""),
        (b'{"signals":{"a":"\\ud800"}}', "bad_json", ""),
        (b'{"uuid":"\xff"}', "bad_encoding", "UTF-8"),
        (b"[]", "bad_json", "array"),
        (b"null", "bad_json", "null"),
        (b'{"uuid":null}', "bad_field", "uuid"),
        (b'{"uuid":42}', "bad_field", "uuid"),
        (b'{"uuid":"42"}', "bad_uuid", "38"),
        (b'{"uuid":""}', "bad_uuid", "38"),
        (b'{"uuid":"x0000000000000000000000000000000000042"}', "bad_uuid", "38"),
        (b'{"uid":"1"}', "unknown_field", "did you mean `uuid`"),
        (b'{"signal":{}}', "unknown_field", "did you mean `signals`"),
        (b'{"zzz":{}}', "unknown_field", "known: uuid, ids"),
        (b'{"ids":[{"dpid":1,"idd":"x"}]}', "unknown_field", "did you mean `id`"),
        (b'{"ids":[{"dpid":1}]}', "bad_field", "`id`"),
        (b'{"ids":[{"dpid":1,"id":5}]}', "bad_field", "ids[0].id"),
        (b'{"ids":[{"dpid":"1","id":"5"}]}', "bad_field", "ids[0].dpid"),
        (b'{"ids":[{"dpid":0,"id":"5"}]}', "bad_field", "ids[0].dpid"),
        (b'{"ids":[{"dpid":2147483648,"id":"5"}]}', "bad_field", "ids[0].dpid"),
        (b'{"ids":[{"dpid":1,"id":"5","state":3}]}', "bad_field", "state"),
        (b'{"ids":[{"dpid":1,"id":""}]}', "bad_id", "ids[0]"),
        (b'{"ids":[{"dpid":1,"id":"a\\u0000"}]}', "bad_id", "control"),
        (b'{"ids":[{"dpid":4,"id":"abc"}]}', "bad_id", "ECID"),
        (b'{"ids":[{"dpid":20914,"id":"%b"}]}' % IDFA.encode(), "bad_device_id", "20914"),
        (b'{"ids":[{"dpid":20914,"id":"00000000-0000-0000-0000-000000000000"}]}', "blocked_id", "zeros"),
        (b'{"ids":[%b]}' % b",".join([b'{"dpid":1,"id":"a"}'] * 11), "too_many_ids", "11"),
        (b'{"signals":{"a":{}}}', "bad_field", "signals"),
        (b'{"signals":{"a":null}}', "bad_field", "signals"),
        (b'{"signals":{"a":[["x"]]}}', "bad_field", "signals"),
        (b'{"signals":{"a":1e999}}', "bad_field", "range"),
        (b'{"signals":[]}', "bad_field", "signals"),
        (b'{"signals":{%b}}' % b",".join(b'"k%d":1' % n for n in range(257)), "too_many_properties", "256"),
        (b'{"signals":{"a":[%b]}}' % b",".join([b"1"] * 257), "too_many_properties", "256"),
        (b'{"traits":["1000"]}', "bad_field", "traits[0]"),
        (b'{"traits":[0]}', "bad_field", "traits[0]"),
        (b'{"traits":[%b]}' % b",".join([b"1"] * 1001), "too_many_properties", "1000"),
        (b'{"memberships":{"14356":2}}', "bad_field", "memberships"),
        (b'{"memberships":{"14356":true}}', "bad_field", "memberships"),
        (b'{"memberships":{"x":1}}', "bad_field", "memberships"),
        (b'{"memberships":{"-1":1}}', "bad_field", "memberships"),
        (b'{"region":-1}', "bad_field", "region"),
        (b'{"region":"6"}', "bad_field", "region"),
        (b'{"ts":1767225600}', "bad_field", "ts"),
        (b'{"ts":"yesterday"}', "bad_field", "ts"),
        (b'{"ts":"2026-01-01T00:00:00"}', "bad_field", "timezone"),
        (b'{"ts":"2026-01-01"}', "bad_field", "ts"),
        (b'{"ts":"2025-08-23T23:59:59Z"}', "too_old", "130 days"),
        (b'{"ts":"0001-01-01T00:00:00+23:00"}', "too_old", "130 days"),
        (b'{"ts":"2026-01-01T00:05:01Z"}', "in_future", "5 minutes"),
        (b'{"ts":"9999-12-31T23:59:59-23:00"}', "in_future", "clock"),
        (b'{"a":"' + b"x" * 40_000 + b'"}', "line_too_long", "32768"),
    ],
)
def test_what_is_refused_and_what_is_said(line: bytes, code: str, told: str) -> None:
    found, message = reason(line)
    assert found == code
    assert told in message


def knowing(dpid: int) -> LiveCatalog:
    """A catalog with this data source."""
    live = LiveCatalog()
    live.use(1, Catalog(data_sources=(DataSource(id=dpid),)))
    return live


def test_ids_of_unknown_data_sources_are_refused_where_the_catalog_is_known() -> None:
    line = b'{"ids":[{"dpid":12345,"id":"a"},{"dpid":20915,"id":"%b"}]}' % IDFA.encode()
    assert len(parse_event_line(line, NOW, knowing(12345)).ids) == 2
    with pytest.raises(EventError) as caught:
        parse_event_line(line, NOW, knowing(1))
    assert caught.value.reason == "unknown_data_source"


@pytest.mark.parametrize(
    "bomb",
    [
        b"[" * 32_000,
        b'{"signals":' + b"[" * 32_000,
        b'{"a":' * 6_000,
        b'{"signals":{"a":' + b"[" * 32_000,
        b'{"signals":{"a":' + b"9" * 32_000 + b"}}",
        b'{"signals":{"a":1' + b"0" * 4_000 + b"e5000}}",
        b'{"region":' + b"9" * 32_000 + b"}",
        b'{"signals":{' + b",".join(b'"%d":1' % n for n in range(3_500)) + b"}}",
        b"{" * 1_000_000,
    ],
)
def test_bombs_are_refused_at_once(bomb: bytes) -> None:
    assert costs_less_than(1.0, lambda: reason(bomb))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["uuid", "ids", "signals", "traits", "memberships", "region", "ts", "x"])


@settings(max_examples=500)
@given(
    st.binary(max_size=200)
    | st.dictionaries(fields, json_values, max_size=4).map(lambda d: json.dumps(d).encode())
)
def test_any_line_is_an_event_or_an_event_error(line: bytes) -> None:
    try:
        event = parse_event_line(line, NOW)
    except EventError:
        return
    assert all(isinstance(text, str) for values in event.signals.values() for text in values)


@settings(max_examples=200)
@given(st.integers(NOW - 100 * 86_400, NOW), st.integers(-720, 720))
def test_a_time_stamp_means_its_instant_in_any_zone(at: int, offset_min: int) -> None:
    zone = timezone(timedelta(minutes=offset_min))
    assert parse({"ts": datetime.fromtimestamp(at, zone).isoformat()}).ts == at
