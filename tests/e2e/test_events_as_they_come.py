"""Events as real senders write them, at the doors of a running engine: what counts, what is said and counted."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import pytest

from e2e.catalogs import device
from e2e.engine_process import EngineProcess, request
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = {
    1: "c_a == 1",
    2: "c_contextdata.a.media.genre == news",
    3: 'c_utm:source == x AND "c_Prénom" startswith Zo',
    4: '"c my key" < "3"',
    5: 'c_pageName == "Home, Sweet"',
    6: "c_events == event1",
    7: "c_events == event1 AND c_events != event9",
    8: "c_never == 1",
}
THRICE, LATELY = 100, 101

CATALOG: dict[str, Any] = {
    "data_sources": [{"id": 12345}],
    "traits": [{"id": number, "rule": rule} for number, rule in RULES.items()]
    + [{"id": 20, "kind": "onboarded", "d_sid": True}],
    "segments": [
        {"id": THRICE, "rule": "frequency([1T]) >= 3"},
        {"id": LATELY, "rule": "frequency([1T] <= 1D) >= 1"},
        {"id": 102},
    ],
    "destinations": [],
}


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("engine"), shards=2) as engine:
        engine.apply(json.dumps(CATALOG))
        yield engine


def bulk(engine: EngineProcess, *events: dict[str, Any]) -> dict[str, Any]:
    reply = engine.send(*events)
    assert reply.status == 200
    said: dict[str, Any] = reply.json()
    return said


def event(engine: EngineProcess, number: int, *pairs: tuple[str, Any], status: int = 200) -> dict[str, Any]:
    """One call of `/event` for a device; what it is told of the device."""
    query = urlencode([("d_uuid", device(number)), ("d_rtbd", "json"), ("d_cts", "2"), *pairs])
    reply = request(engine.intake, "GET", f"/event?{query}")
    assert reply.status == status
    said: dict[str, Any] = reply.json()
    return said


def segments(engine: EngineProcess, number: int) -> list[int]:
    found: list[int] = event(engine, number)["segments"]
    return found


def realised(engine: EngineProcess, number: int) -> set[int]:
    """The traits that a device holds."""
    facts = engine.client().explain(device(number), None)
    return {trait.id for trait in facts.traits}


def test_null_costs_nothing_and_nested_signals_have_dots(engine: EngineProcess) -> None:
    signals = {
        "c_a": 1,
        "c_bad": None,
        "c_contextdata": {"a": {"media": {"genre": "news", "no": None}}},
        "c_utm:source": ["x", None],
        "c_Prénom": "Zoé",
        "c my key": 2,
    }
    said = bulk(engine, {"uuid": device(1), "ids": None, "region": None, "ts": None, "signals": signals})
    assert said == {"accepted": 1, "rejected": []}
    assert realised(engine, 1) == {1, 2, 3, 4}


def test_query_strings_have_such_keys_too(engine: EngineProcess) -> None:
    pairs = {
        "c_contextdata.a.media.genre": "news",
        "c_utm:source": "x",
        "c_Prénom": "Zoé",
        "c my key": "2.5",
    }
    assert event(engine, 2, *pairs.items())["traits"] == [2, 3, 4]


def test_commas_at_both_doors(engine: EngineProcess) -> None:
    pairs = {"c_pageName": "Home, Sweet", "c_events": "event1,event2"}
    assert event(engine, 3, *pairs.items())["traits"] == [5, 6, 7]
    assert event(engine, 3, ("c_events", "event9, event1"))["traits"] == [6]
    bulk(engine, {"uuid": device(4), "signals": pairs})
    assert realised(engine, 4) == {5, 6, 7}


def test_what_cannot_be_declared_is_named(engine: EngineProcess) -> None:
    said = bulk(
        engine,
        {"uuid": device(5), "traits": [20, 99999]},
        {"uuid": device(5), "memberships": {"777": 1, "102": 1}},
        {"uuid": device(5), "memberships": {"777": 1}},
    )
    assert said["accepted"] == 2
    assert [(one["line"], one["code"]) for one in said["warnings"]] == [
        (1, "unknown_trait"),
        (2, "unknown_segment"),
    ]
    assert "99999" in said["warnings"][0]["message"]
    assert [(one["line"], one["code"]) for one in said["rejected"]] == [(3, "unknown_segment")]
    dcs = event(engine, 5, ("d_sid", "20,99999"))
    assert dcs["traits"] == [20]
    assert [error["code"] for error in dcs["errors"]] == [10]
    assert dcs["segments"] == [102]


def test_times_as_numbers_and_clocks_that_are_off(engine: EngineProcess) -> None:
    now = int(time.time())
    signals = {"c_a": 1}
    old = now - 3 * 86_400
    said = bulk(
        engine,
        *({"uuid": device(6), "signals": signals, "ts": ts} for ts in (old, str(old * 1000), old * 1000.0)),
        {"uuid": device(7), "signals": signals, "ts": now + 3_600, "sent_at": now + 3_605},
        {"uuid": device(8), "signals": signals, "ts": now + 3_600},
        {"uuid": device(9), "signals": signals, "ts": 100, "sent_at": "1970-01-01T00:02:40Z"},
    )
    assert said["accepted"] == 5
    assert [(one["line"], one["code"]) for one in said["rejected"]] == [(5, "in_future")]
    assert segments(engine, 6) == [THRICE]  # three days ago, thrice
    assert segments(engine, 7) == segments(engine, 9) == [LATELY]


def test_an_event_id_counts_once_and_outlives_kill_9(engine: EngineProcess) -> None:
    again = {"uuid": device(10), "signals": {"c_a": 1}, "event_id": "order-1"}
    assert bulk(engine, again, again)["accepted"] == 2
    assert event(engine, 10, ("c_a", "1"), ("d_event_id", "order-1"))["traits"] == []
    engine.kill()
    engine.start()
    assert bulk(engine, again)["accepted"] == 1
    assert segments(engine, 10) == [LATELY]
    assert engine.client().status().repeated == 1
    bulk(engine, {**again, "event_id": 2})
    assert event(engine, 10, ("c_a", "1"), ("d_event_id", "3"))["segments"] == [THRICE, LATELY]


def test_who_was_deleted_and_is_back_counts_anew(engine: EngineProcess) -> None:
    """Nothing is left by which the event would be recognised."""
    again = {"uuid": device(11), "signals": {"c_a": 1}, "event_id": "e"}
    bulk(engine, again)
    done = engine.arke("privacy", "delete", "--uuid", device(11))
    assert done.returncode == 0, done.stdout + done.stderr
    done = engine.arke("privacy", "lift", "--uuid", device(11))
    assert done.returncode == 0, done.stdout + done.stderr
    assert bulk(engine, again)["accepted"] == 1
    assert realised(engine, 11) == {1}


def test_what_is_refused_is_counted_and_what_fits_nothing_is_shown(engine: EngineProcess) -> None:
    before = engine.client().status()
    engine.send_lines(b'nonsense\n{"ts":1,"signals":{"c_a":1}}\n{"event_id":""}\n')
    engine.send({"ids": [{"dpid": 999, "id": "x"}, {"dpid": 20914, "id": "null"}]})
    engine.send({"ids": [{"dpid": "acme", "id": 1}]})
    event(engine, 12, ("d_cid", "999\x01abc"), ("c_unasked", "secret-value"), ("jane@x.com", "1"))
    event(engine, 12, ("d_cb", "not a name"), ("d_rtbd", "json"))
    wait_until(lambda: "c_unasked" in engine.client().status().unasked_keys, "the key to be seen")
    status = engine.client().status()

    def more(name: str, code: str) -> int:
        return int(getattr(status, name).get(code, 0) - getattr(before, name).get(code, 0))

    assert {
        code: more("refused_by_code", code) for code in ("bad_json", "too_old", "bad_event_id", "311")
    } == {
        "bad_json": 1,
        "too_old": 1,
        "bad_event_id": 1,
        "311": 1,
    }
    assert more("refused_by_code", "all_ids_invalid") == 1
    dropped = ("302", "unknown_data_source", "blocked_id", "bad_id")
    assert [more("ids_dropped", code) for code in dropped] == [1, 1, 1, 1]
    assert "jane@x.com" not in status.unasked_keys
    assert 8 in status.never_realised
    assert 1 not in status.never_realised
    shown = engine.arke("status")
    assert "c_unasked" in shown.stdout
    assert "bad_json x" in shown.stdout
    assert "never realised by their present rule: 8" in shown.stdout
    assert "secret-value" not in shown.stdout + json.dumps(engine.arke("status", "--json").stdout)


def test_a_trait_whose_rule_is_edited_has_yet_to_be_realised(engine: EngineProcess) -> None:
    """And one that was realised is still known to be so by a new process."""
    event(engine, 13, ("c_a", "1"))
    edited = json.loads(json.dumps(CATALOG))
    edited["traits"][1]["rule"] = "c_contextdata.a.media.gender == news"
    engine.apply(json.dumps(edited))
    found = engine.client().status()
    assert 2 in found.never_realised
    engine.stop()
    engine.start()
    found = engine.client().status()
    assert 2 in found.never_realised
    assert 1 not in found.never_realised
    assert found.traits_never_realised == len(found.never_realised)
