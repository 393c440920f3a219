"""One NDJSON line, one event, or one reason why not (SPEC section 7)."""

from __future__ import annotations

import hashlib
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
from reference import ends_soon

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
        ([None], []),
        (["a", None, "b"], ["a", "b"]),
        (["a", 1, 2.5, True], ["a", "1", "2.5", "true"]),
        (12345678901234567890123, ["12345678901234567890123"]),
    ],
)
def test_signal_values_become_the_texts_rules_compare(value: Any, texts: list[str]) -> None:
    assert parse({"signals": {"k": value}}).signals == {"k": texts}


@pytest.mark.parametrize(
    ("signals", "flat"),
    [
        ({"c_a": 1, "c_bad": None}, {"c_a": ["1"]}),
        ({"a": {}}, {}),
        ({"a": {"b": None}}, {}),
        ({"c_contextdata": {"a": {"media": {"genre": "news"}}}}, {"c_contextdata.a.media.genre": ["news"]}),
        ({"a": {"b": [1, None, True], "c": "x"}, "d": ""}, {"a.b": ["1", "true"], "a.c": ["x"], "d": [""]}),
        ({"a": [{"b": "A", "n": 1}, None, {"b": "B"}]}, {"a": [], "a.b": ["A", "B"], "a.n": ["1"]}),
        ({"a.b": "1", "a": {"b": 2}}, {"a.b": ["1", "2"]}),
        ({"a": {"b": 2}, "a.b": "1"}, {"a.b": ["2", "1"]}),
        ({"Prénom": {"né": "é"}}, {"Prénom.né": ["é"]}),
    ],
)
def test_what_is_nested_gets_keys_with_dots_and_null_is_not_there(
    signals: dict[str, Any], flat: dict[str, list[str]]
) -> None:
    assert parse({"signals": signals}).signals == flat


def test_null_says_that_a_field_is_not_there() -> None:
    names = ("uuid", "ids", "signals", "traits", "memberships", "region", "ts", "sent_at")
    assert parse(dict.fromkeys(names)) == IncomingEvent()
    assert parse({"traits": [7, None], "memberships": {"1": None, "2": 0}}) == IncomingEvent(
        traits=(7,), memberships={2: 0}
    )
    assert parse({"ids": [{"dpid": 12345, "id": "a", "state": None}]}).ids == (DeclaredId(12345, "a", 0),)


@pytest.mark.parametrize(
    ("ts", "sent_at", "at"),
    [
        (NOW + 3_600, NOW + 3_600 + 2, NOW - 2),  # a clock that is an hour ahead
        (NOW - 86_400 - 7, NOW - 86_400, NOW - 7),  # one that is a day late
        (100, 160, NOW - 60),  # one that began at 1970
        (NOW - 5, NOW - 5, NOW),
        (NOW - 50, NOW - 60, NOW),  # sent before it happened, by a little
        ((NOW + 90) * 1000, str((NOW + 100) * 1000), NOW - 10),
        ("2026-01-01T01:00:00+00:00", "2026-01-01T01:00:30Z", NOW - 30),
    ],
)
def test_the_sender_s_clock_is_corrected(ts: Any, sent_at: Any, at: int) -> None:
    event = parse({"ts": ts, "sent_at": sent_at})
    assert (event.ts, event.left_out) == (at, ())


@pytest.mark.parametrize("sent_at", [0, NOW - 3_600, NOW + 131 * 86_400, "9999-12-31T23:59:59Z"])
def test_a_time_of_sending_that_cannot_be_is_left_out(sent_at: Any) -> None:
    event = parse({"ts": NOW - 10, "sent_at": sent_at})
    assert event.ts == NOW - 10
    assert [(left.part, left.code) for left in event.left_out] == [("time", "bad_sent_at")]


def test_a_time_of_sending_alone_says_nothing() -> None:
    assert parse({"sent_at": NOW - 900}) == IncomingEvent()


@pytest.mark.parametrize(
    "ts",
    [
        *(NOW - 3, (NOW - 3) * 1000, NOW - 2.5, (NOW - 3) * 1000 + 999, f"{NOW - 3}", f"{NOW - 3}.5"),
        *(f"{(NOW - 3) * 1000}", float((NOW - 3) * 1000)),
    ],
)
def test_a_time_may_be_epoch_seconds_or_milliseconds(ts: Any) -> None:
    assert parse({"ts": ts}).ts == NOW - 3


@pytest.mark.parametrize(
    ("ts", "at"),
    [
        ("2026-01-01T00:00:00Z", NOW),
        ("2026-01-01T00:00:00.999999Z", NOW),
        ("2026-01-01T01:00:00+01:00", NOW),
        ("2025-12-31T23:59:59z", NOW - 1),
        ("2025-08-24T00:00:00Z", NOW - 130 * 86_400),
        ("2026-01-01T00:05:00Z", NOW),
        ("2025-12-31T23:59:60Z", NOW),  # a leap second
        ("2025-12-31T23:59:60.999Z", NOW),
        ("2026-01-01T01:29:60+01:30", NOW),
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
        (b'{"uuid":"\xff"}', "bad_encoding", "UTF-8"),
        (b"[]", "bad_json", "array"),
        (b"null", "bad_json", "null"),
        (b'{"uuid":42}', "bad_field", "uuid"),
        (b'{"uuid":"42"}', "bad_uuid", "38"),
        (b'{"uuid":""}', "bad_uuid", "38"),
        (b'{"uuid":"x0000000000000000000000000000000000042"}', "bad_uuid", "38"),
        (b'{"uid":"1"}', "unknown_field", "did you mean `uuid`"),
        (b'{"signal":{}}', "unknown_field", "did you mean `signals`"),
        (b'{"zzz":{}}', "unknown_field", "known: uuid, ids"),
        (b'{"ids":[{"dpid":1,"idd":"x"}]}', "unknown_field", "did you mean `id`"),
        (b'{"ids":[{"dpid":1}]}', "bad_field", "`id`"),
        (b'{"ids":[{"dpid":1,"id":{}}]}', "bad_field", "ids[0].id"),
        (b'{"ids":[{"dpid":1,"id":["5"]}]}', "bad_field", "ids[0].id"),
        (b'{"ids":[{"dpid":"acme","id":"5"}]}', "bad_field", "ids[0].dpid"),
        (b'{"ids":[{"dpid":"0","id":"5"}]}', "bad_field", "ids[0].dpid"),
        (b'{"ids":[{"dpid":1.5,"id":"5"}]}', "bad_field", "ids[0].dpid"),
        (b'{"ids":[{"dpid":0,"id":"5"}]}', "bad_field", "ids[0].dpid"),
        (b'{"ids":[{"dpid":2147483648,"id":"5"}]}', "bad_field", "ids[0].dpid"),
        (b'{"ids":[{"dpid":1,"id":"5","state":3}]}', "bad_field", "state"),
        (b'{"ids":[%b]}' % b",".join([b'{"dpid":1,"id":"a"}'] * 11), "too_many_ids", "11"),
        (b'{"signals":{"a":[["x"]]}}', "bad_field", "`signals.a` holds a list within a list"),
        (b'{"signals":{"a":{"b":[["x"]]}}}', "bad_field", "`signals.a.b` holds a list"),
        (b'{"signals":{"ok":1,"a":1e999}}', "bad_field", "out of range - at `signals.a`"),
        (b'{"signals":{"ok":1,"a":{"b":1e999}}}', "bad_field", "out of range - at `signals.a[...]`"),
        (
            b'{"signals":{"a":%b1%b}}' % (b'{"b":' * 9, b"}" * 9),
            "bad_field",
            "a.b.b.b.b.b.b.b.b` lies more than 8",
        ),
        (b'{"signals":[]}', "bad_field", "signals"),
        (b'{"memberships":{"7":2},"signals":null}', "bad_field", "memberships.7"),
        (b'{"memberships":{"7":2},"signals":[1]}', "bad_field", "memberships.7"),
        (b'{"signals":{"a":1e999},"memberships":3}', "bad_field", "signals.a"),
        (b'{"signals":{%b}}' % b",".join(b'"k%d":1' % n for n in range(257)), "too_many_properties", "256"),
        (b'{"signals":{"a":[%b]}}' % b",".join([b"1"] * 257), "too_many_properties", "`signals.a` has 257"),
        (
            b'{"signals":{"a":[%b],"b":1}}' % b",".join([b'{"c":[1,2,3]}'] * 86),
            "too_many_properties",
            "`signals.a.c` has more than 256",
        ),
        (
            b'{"signals":{"a":{%b}}}' % b",".join(b'"k%d":1' % n for n in range(257)),
            "too_many_properties",
            "257 keys",
        ),
        (b'{"traits":["1000","x"]}', "bad_field", "traits[1]"),
        (b'{"traits":[1000.5]}', "bad_field", "traits[0]"),
        (b'{"traits":[0]}', "bad_field", "traits[0]"),
        (b'{"traits":[%b]}' % b",".join([b"1"] * 1001), "too_many_properties", "1000"),
        (b'{"memberships":{"1":1,"14356":2}}', "bad_field", "memberships.14356"),
        (b'{"memberships":{"14356":true}}', "bad_field", "memberships"),
        (b'{"memberships":{"x":1}}', "bad_field", "memberships"),
        (b'{"memberships":{"-1":1}}', "bad_field", "memberships"),
        (b'{"region":-1}', "bad_field", "region"),
        (b'{"region":"six"}', "bad_field", "region"),
        (b'{"uuid":4200000000000000000000000000000000042}', "bad_field", "zeros at its beginning"),
        (b'{"ts":true}', "bad_field", "ts"),
        (b'{"ts":"2026-01-01T00:00:00Z","sent_at":"now"}', "bad_field", "`sent_at`"),
        (b'{"ts":1767225901}', "in_future", "5 minutes"),
        (b'{"ts":1767225901000}', "in_future", "5 minutes"),
        (b'{"ts":1.0e300}', "in_future", "5 minutes"),
        (b'{"ts":-1}', "too_old", "130 days"),
        (b'{"ts":0}', "too_old", "130 days"),
        (b'{"ts":"1767225600,0"}', "bad_field", "ts"),
        (b'{"ts":%b}' % (b"9" * 400), "bad_field", "`ts`"),
        (b'{"ts":1767225600,"sent_at":-%b}' % (b"9" * 4_000), "bad_field", "`sent_at`"),
        (b'{"ts":"yesterday"}', "bad_field", "ts"),
        (b'{"ts":"2025-12-31T23:59:61Z"}', "bad_field", "ts"),
        (b'{"ts":"2025-12-31T22:59:60Z"}', "bad_field", "ts"),  # not where a day ends
        (b'{"ts":"2025-12-31T23:59:60"}', "bad_field", "timezone"),
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


HASH = "0f" * 32
SOURCES = LiveCatalog()
SOURCES.use(
    1,
    Catalog(
        data_sources=(
            DataSource(id=12345, deny=("abc123",)),
            DataSource(id=778, id_form="sha256"),
            DataSource(id=779, id_form="email_sha256"),
        )
    ),
)


def read(*ids: dict[str, Any], uuid: str | None = None) -> IncomingEvent:
    content = {"ids": ids} if uuid is None else {"ids": ids, "uuid": uuid}
    return parse_event_line(json.dumps(content).encode(), NOW, SOURCES)


@pytest.mark.parametrize(
    ("bad", "code", "told"),
    [
        ({"dpid": 12345, "id": ""}, "bad_id", "1 to 512"),
        ({"dpid": 12345, "id": None}, "bad_id", "1 to 512"),
        ({"dpid": 12345, "id": "a\0"}, "bad_id", "control"),
        ({"dpid": 4, "id": "abc"}, "bad_id", "ECID"),
        ({"dpid": 778, "id": "abc"}, "bad_id", "SHA-256"),
        ({"dpid": 20914, "id": IDFA}, "bad_device_id", "20914"),
        ({"dpid": 20915, "id": "00000000-0000-0000-0000-000000000000"}, "blocked_id", "zeros"),
        ({"dpid": 12345, "id": "undefined"}, "blocked_id", "nobody"),
        ({"dpid": 12345, "id": 0}, "blocked_id", "nobody"),
        ({"dpid": 12345, "id": False}, "blocked_id", "nobody"),
        ({"dpid": 12345, "id": "ABC123"}, "blocked_id", "denies"),
        ({"dpid": 999, "id": "a"}, "unknown_data_source", "data_sources"),
    ],
)
def test_a_bad_id_costs_only_itself(bad: dict[str, Any], code: str, told: str) -> None:
    """While an id or a UUID remains, the event counts; else it is about nobody."""
    good = {"dpid": 12345, "id": "a"}
    beside = read(good, bad)
    assert beside.ids == (DeclaredId(12345, "a"),)
    assert [one.code for one in beside.left_out] == [code]
    assert told in beside.left_out[0].message
    assert "ids[1]" in beside.left_out[0].message
    assert read(bad, uuid=UUID).ids == ()
    assert read(bad, uuid=UUID).left_out[0].message.startswith("ids[0]")
    with pytest.raises(EventError) as caught:
        read(bad)
    assert caught.value.reason == "all_ids_invalid"
    assert "104" in caught.value.message
    assert code in caught.value.message


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"dpid": 12345, "id": 123}, DeclaredId(12345, "123")),
        ({"dpid": "12345", "id": "123"}, DeclaredId(12345, "123")),
        ({"dpid": 12345, "id": 10, "state": "1"}, DeclaredId(12345, "10", 1)),
        ({"dpid": 12345, "id": 123.0}, DeclaredId(12345, "123")),
        ({"dpid": 12345, "id": 2**63 + 1}, DeclaredId(12345, "9223372036854775809")),
        ({"dpid": 778, "id": HASH.upper()}, DeclaredId(778, HASH)),
        (
            {"dpid": 779, "id": " Ann@Example.com "},
            DeclaredId(779, hashlib.sha256(b"ann@example.com").hexdigest()),
        ),
        ({"dpid": 779, "id": HASH.upper()}, DeclaredId(779, HASH)),
    ],
)
def test_an_id_is_kept_in_one_spelling(given: dict[str, Any], kept: DeclaredId) -> None:
    assert read(given) == IncomingEvent(ids=(kept,))


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"dpid": "acme", "id": "b"}, "dpid is no data source"),
        ({"dpid": 0, "id": "b"}, "dpid is no data source"),
        ({"dpid": -1, "id": "b"}, "dpid is no data source"),
        ({"dpid": 2**31, "id": "b"}, "dpid is no data source"),
        ({"dpid": True, "id": "b"}, "dpid is no data source"),
        ({"dpid": None, "id": "b"}, "dpid is no data source"),
        ({"dpid": [1], "id": "b"}, "dpid is no data source"),
        ({"id": "b"}, "dpid is no data source"),
        ({"dpid": 12345}, "has no `id`"),
        ({"dpid": 12345, "id": ["b"]}, "id must be text"),
        ({"dpid": 12345, "id": {"b": 1}}, "id must be text"),
        ({"dpid": 12345, "id": "b", "state": 3}, "state must be 0, 1 or 2"),
        ({"dpid": 12345, "id": "b", "state": {}}, "state must be 0, 1 or 2"),
        ({"dpid": 12345, "id": "b", "state": "x"}, "state must be 0, 1 or 2"),
        ("b", "is no object"),
        ("", "is no object"),
        (12345, "is no object"),
        (True, "is no object"),
        ([12345, "b"], "is no object"),
        ([{"dpid": 12345, "id": "b"}], "is no object"),
    ],
)
def test_what_is_no_id_at_all_costs_only_itself(bad: Any, told: str) -> None:
    """As on `/event`, where it is 300; and what is said of others names their place in the line."""
    good, blocked = {"dpid": 12345, "id": "a"}, {"dpid": 12345, "id": "null"}
    beside = read(bad, good, blocked)
    assert beside.ids == (DeclaredId(12345, "a"),)
    assert [one.code for one in beside.left_out] == ["bad_id", "blocked_id"]
    assert beside.left_out[0].message.startswith("ids[0]")
    assert told in beside.left_out[0].message
    assert beside.left_out[1].message.startswith("ids[2]")
    assert read(bad, uuid=UUID).left_out[0].code == "bad_id"
    with pytest.raises(EventError) as caught:
        read(bad)
    assert caught.value.reason == "bad_field"


def test_beside_an_entry_that_is_no_object_the_others_are_read_as_ever() -> None:
    long = 12345678901234567890123
    given = ["b", {"dpid": "1", "id": long}, None, {"dpid": 2, "id": "a", "state": "1"}]
    event = parse({"ids": given, "traits": ["1000"], "region": "6"})
    assert event.ids == (DeclaredId(1, str(long)), DeclaredId(2, "a", 1))
    assert (event.traits, event.region) == ((1000,), 6)
    with pytest.raises(EventError, match=r"unknown field `idd`: did you mean `id`"):
        parse({"ids": ["b", {"dpid": 1, "idd": "a"}]})
    with pytest.raises(EventError, match=r"traits\[0\]"):
        parse({"ids": ["b", {"dpid": 1, "id": "a"}], "traits": ["x"]})


def test_null_is_no_id() -> None:
    assert parse({"ids": [None]}) == IncomingEvent()
    assert parse({"ids": [None, {"dpid": 1, "id": "a"}]}) == IncomingEvent(ids=(DeclaredId(1, "a"),))


def test_numbers_are_taken_where_texts_belong_and_texts_where_numbers_do() -> None:
    """To the last digit: an id that is rounded would be somebody else's."""
    long = 12345678901234567890123
    assert parse({"ids": [{"dpid": 1, "id": long}]}).ids == (DeclaredId(1, str(long)),)
    assert parse({"ids": [{"dpid": 4, "id": int("9" * 38)}]}).ids == (DeclaredId(4, "9" * 38),)
    assert parse({"uuid": int("9" * 38)}).uuid == "9" * 38
    texts = {"traits": ["1000", 1001.0], "memberships": {"9": "1", "10": 0.0}, "region": "6"}
    assert parse({**texts, "ids": [{"dpid": " 1 ", "id": "a", "state": "2"}]}) == IncomingEvent(
        ids=(DeclaredId(1, "a", 2),), traits=(1000, 1001), memberships={9: 1, 10: 0}, region=6
    )
    assert parse({"ids": [{"dpid": 1.0, "id": "null", "state": 1.0}]}).ids == (DeclaredId(1, "null", 1),)


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
    assert ends_soon(lambda: reason(bomb))


@pytest.mark.parametrize(
    ("cut", "read"),
    [
        ("x\\ud83d", "x\ufffd"),
        ("\\uDE00x", "\ufffdx"),
        ("\\ude00\\ud83d", "\ufffd\ufffd"),
        ("\\ud83d\\u0041", "\ufffdA"),
        ("\\ud83d\\ud83d\\ude00", "\ufffd\U0001f600"),
        ("\\\\\\ud83d", "\\\ufffd"),
        ("\\\\ud83d\\udc00", "\\ud83d\ufffd"),  # the first is a text about one
    ],
)
def test_a_text_that_was_cut_within_an_emoji_costs_a_character(cut: str, read: str) -> None:
    line = b'{"signals":{"a":"%b"}}' % cut.encode()
    assert parse_event_line(line, NOW).signals == {"a": [read]}


def test_an_id_that_was_cut_within_an_emoji_is_none() -> None:
    """Two that were cut at the same place would be one."""
    line = b'{"ids":[{"dpid":12345,"id":"a\\ud83d"},{"dpid":12345,"id":"b"}]}'
    event = parse_event_line(line, NOW, SOURCES)
    assert (event.ids, [left.code for left in event.left_out]) == ((DeclaredId(12345, "b"),), ["bad_id"])


@pytest.mark.parametrize(
    "rest",
    [
        b", x",
        b"",
        b',"signals":{"a":"\xff"}}',
        b',"memberships":3}',
        b',"signals":3}',
        b',"a":' + b"[" * 3_000,
    ],
)
def test_a_line_with_a_bad_membership_costs_itself_whatever_stands_behind_it(rest: bytes) -> None:
    for bad in (
        b'{"memberships":{"9":5}',
        b'{"memberships":{"x":1}',
        b'{"region":6,"memberships":{"9":"no"}',
    ):
        assert reason(bad + rest)[0] in ("bad_field", "bad_json", "bad_encoding")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(["uuid", "ids", "signals", "traits", "memberships", "region", "ts", "sent_at", "x"])
memberships = st.dictionaries(st.integers(0, 12).map(str) | st.text(max_size=3), json_values, max_size=3)
lines = st.dictionaries(fields, json_values | memberships, max_size=4).map(lambda d: json.dumps(d).encode())


def broken(parts: tuple[bytes, int, bytes]) -> bytes:
    """A line with something else in it."""
    line, at, new = parts
    return line[: at % (len(line) + 1)] + new + line[at % (len(line) + 1) + len(new) :]


@settings(max_examples=500)
@given(
    st.binary(max_size=200) | lines | st.tuples(lines, st.integers(0, 200), st.binary(max_size=3)).map(broken)
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
