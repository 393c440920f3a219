"""POST /v1/events over a real socket: streaming, partial refusals, back-pressure, bounds."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest

from arke.errors import Overloaded, StoreUnavailable
from arke.intake.settings import IntakeSettings
from integration.intake.engine import SECRET, Answer, RecordingEngine, Server, read_answer, running
from patience import PATIENCE_S


def told(answer: Answer, status: int = 200) -> dict[str, Any]:
    assert answer.status == status, answer.body
    content: dict[str, Any] = json.loads(answer.body)
    return content


def events(count: int, first: int = 0) -> bytes:
    return b"".join(b'{"uuid":"%038d","signals":{"c_n":%d}}\n' % (n, n) for n in range(first, first + count))


def test_every_line_is_stored_in_order(intake: Server, engine: RecordingEngine) -> None:
    assert told(intake.bulk(events(5_000))) == {"accepted": 5_000, "rejected": []}
    assert [event.uuid for event in engine.events] == [f"{n:038d}" for n in range(5_000)]
    assert max(engine.groups) <= 1_000


def test_one_bad_line_costs_only_itself(intake: Server, engine: RecordingEngine) -> None:
    engine.refuse_signal = "c_bad"
    engine.opted_out.add("9" * 38)
    body = b"\r\n".join(
        [
            b"{}",
            b"",
            b"not json",
            b'{"signals":{"c_bad":1}}',
            b'{"uuid":"' + b"9" * 38 + b'"}',
            b'{"x":"' + b"x" * 40_000 + b'"}',
            b'{"ids":[{"dpid":999,"id":"a"}]}',
            b'{"ids":[{"dpid":123,"id":"a"}]}',
            b'{"memberships":{"9":7}, and no JSON behind it',
            b'{"signals":{"c_title":"cut within an emoji \\ud83d"}}',
        ]
    )
    answer = told(intake.bulk(body))
    assert answer["accepted"] == 3
    assert [(one["line"], one["code"]) for one in answer["rejected"]] == [
        (3, "bad_json"),
        (4, "not_wanted"),
        (5, "opted_out"),
        (6, "line_too_long"),
        (7, "all_ids_invalid"),
        (9, "bad_field"),
    ]
    assert all(one["message"] for one in answer["rejected"])


def test_what_was_left_out_of_a_line_is_named(intake: Server) -> None:
    body = b'{}\n{"traits":[99999,1000]}\nbad\n{"traits":[99999]}'
    answer = told(intake.bulk(body))
    assert (answer["accepted"], [one["line"] for one in answer["rejected"]]) == (3, [3])
    unknown = {"code": "unknown_trait", "message": "no trait 99999"}
    assert answer["warnings"] == [{"line": 2, **unknown}, {"line": 4, **unknown}]


def test_the_list_of_what_was_left_out_is_bounded(intake: Server) -> None:
    answer = told(intake.bulk(b'{"traits":[99999]}\n' * 1_200))
    assert (len(answer["warnings"]), answer["warnings_total"]) == (1_000, 1_200)


@pytest.mark.parametrize("body", [b"", b"\n\n", b"\r\n"])
def test_an_empty_body_is_fine(intake: Server, engine: RecordingEngine, body: bytes) -> None:
    assert told(intake.bulk(body)) == {"accepted": 0, "rejected": []}
    assert engine.calls == 0


def test_all_bad_is_still_an_answer_and_the_list_is_bounded(intake: Server) -> None:
    answer = told(intake.bulk(b"x\n" * 3_000))
    assert answer["accepted"] == 0
    assert len(answer["rejected"]) == 1_000
    assert answer["rejected_total"] == 3_000


@pytest.mark.parametrize("kind", ["application/x-ndjson", "application/json", "text/plain", "x"])
def test_the_content_type_does_not_matter(intake: Server, kind: str) -> None:
    assert told(intake.bulk(b"{}", f"Content-Type: {kind}"))["accepted"] == 1


def test_a_trickle_is_stored_while_the_sender_pauses(intake: Server, engine: RecordingEngine) -> None:
    """The body is not over, and the first line is in the engine already."""
    head = f"POST /v1/events HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {SECRET}\r\n"
    with intake.connect() as connection:
        connection.sendall(head.encode() + b"Transfer-Encoding: chunked\r\n\r\n5\r\n{}\n{}\r\n")
        assert engine.stored.wait(PATIENCE_S)
        assert len(engine.events) == 1
        connection.sendall(b"1\r\n\n\r\n0\r\n\r\n")
        assert told(read_answer(connection)) == {"accepted": 2, "rejected": []}


@pytest.mark.parametrize(
    ("problem", "status"), [(Overloaded("full", retry_after_s=3), 429), (StoreUnavailable("disk full"), 503)]
)
def test_when_storing_stops_the_answer_says_where_to_go_on(
    intake: Server, engine: RecordingEngine, problem: Exception, status: int
) -> None:
    """What was answered, sent again from `next_line`, gives every event once."""
    engine.fail_on = {2: problem}
    lines = (b"bad\n" + events(2_500)).split(b"\n")
    lines.insert(1_500, b"bad")
    answer = intake.bulk(b"\n".join(lines))
    first = told(answer, status)
    assert answer.header("retry-after") is not None
    assert first["accepted"] == len(engine.events) > 0
    assert [one["line"] for one in first["rejected"]] == [1]
    rest = told(intake.bulk(b"\n".join(lines[first["next_line"] - 1 :])))
    assert first["accepted"] + rest["accepted"] == 2_500
    assert [event.uuid for event in engine.events] == [f"{n:038d}" for n in range(2_500)]
    assert len(rest["rejected"]) == 1


def test_gzip(intake: Server) -> None:
    body = gzip.compress(events(3_000))
    assert told(intake.bulk(body, "Content-Encoding: gzip"))["accepted"] == 3_000


def test_damaged_gzip_keeps_what_was_stored(intake: Server, engine: RecordingEngine) -> None:
    packed = gzip.compress(events(3_000), 1)
    answer = told(intake.bulk(packed[: len(packed) // 2], "Content-Encoding: gzip"), 400)
    assert answer["error"]["code"] == "bad_gzip"
    assert answer["accepted"] == len(engine.events) == answer["next_line"] - 1 > 0


@pytest.mark.parametrize("line", [b"\n", b"x\n"], ids=["blank", "bad"])
def test_a_gzip_bomb_is_refused_soon(intake: Server, engine: RecordingEngine, line: bytes) -> None:
    """No more of it is read than its size allows."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = packer.compress(line * 30_000_000) + packer.flush()
    answer = told(intake.bulk(bomb, "Content-Encoding: gzip"), 413)
    assert answer["error"]["code"] == "inflates_too_much"
    assert answer["next_line"] * len(line) <= IntakeSettings().max_inflate_ratio * len(bomb)
    assert engine.events == []


def test_the_answer_to_an_unwanted_body_arrives(intake: Server) -> None:
    """The refused body is still taken in for a moment: closing on it would reset the connection."""
    body = events(20_000)
    for _ in range(5):
        assert intake.post("/v1/events", body, "Authorization: Bearer arke_wrong").status == 401
        assert intake.post("/event", body).status == 413
        assert intake.bulk(body, "Content-Encoding: br").status == 415


def test_an_unknown_encoding_is_refused(intake: Server) -> None:
    assert told(intake.bulk(b"{}", "Content-Encoding: br"), 415)["error"]["code"] == "unknown_encoding"


def test_tokens_are_asked_for_before_anything_is_read(intake: Server, engine: RecordingEngine) -> None:
    missing = intake.post("/v1/events", b"{}")
    assert missing.status == 401
    assert (missing.header("www-authenticate") or "").startswith("Bearer")
    assert intake.post("/v1/events", b"{}", "Authorization: Bearer arke_wrong").status == 401
    assert intake.post("/v1/events", b"{}", f"Authorization: Basic {SECRET}").status == 401
    assert intake.post("/v1/events", b"{}", "Authorization: Bearer arke_reader").status == 403
    assert intake.post("/v1/events", b"{}", f"Authorization: bearer {SECRET}").status == 200
    assert len(engine.events) == 1


def test_an_open_intake_asks_for_none_and_a_body_has_an_end() -> None:
    engine = RecordingEngine()
    with running(engine, IntakeSettings(auth="open", max_bulk_bytes=100_000)) as server:
        assert told(server.post("/v1/events", b"{}"))["accepted"] == 1
        declared = server.post("/v1/events", events(3_000))
        assert told(declared, 413)["error"]["code"] == "body_too_large"
        body = events(3_000)
        chunks = [body[at : at + 10_000] for at in range(0, len(body), 10_000)]
        with server.connect() as connection:
            connection.sendall(b"POST /v1/events HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            for chunk in chunks[:12]:
                connection.sendall(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            streamed = told(read_answer(connection), 413)
        assert streamed["accepted"] == streamed["next_line"] - 1 == len(engine.events) - 1


def test_a_body_that_stops_arriving_is_ended() -> None:
    with running(RecordingEngine(), IntakeSettings(auth="open", body_idle_timeout_s=0.1)) as server:
        for path in (b"/v1/events", b"/event"):
            with server.connect() as connection:
                connection.sendall(b"POST %b HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n{}" % path)
                assert read_answer(connection).status == 408


def test_a_body_without_room_is_refused_before_it_is_read(intake: Server, engine: RecordingEngine) -> None:
    engine.full = True
    answer = intake.bulk(b"not json\n" + events(10))
    content = told(answer, 429)
    assert (content["accepted"], content["rejected"], content["next_line"]) == (0, [], 1)
    assert answer.header("retry-after") == "1"
    assert engine.calls == 0


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (events(3_000), (), 200),
        (b"not json\n" * 3_000, (), 200),
        (events(1) + b"x" * 100_000, (), 200),
        (gzip.compress(events(3_000))[:-9], ("Content-Encoding: gzip",), 400),
        (gzip.compress(b"\n" * 10_000_000), ("Content-Encoding: gzip",), 413),
    ],
)
def test_whatever_becomes_of_a_body_its_room_is_given_back(
    intake: Server, engine: RecordingEngine, body: bytes, headers: tuple[str, ...], status: int
) -> None:
    assert intake.bulk(body, *headers).status == status
    assert engine.room.in_flight == 0


def test_room_is_given_back_when_nothing_can_be_stored(intake: Server, engine: RecordingEngine) -> None:
    engine.fail_on = {2: StoreUnavailable("disk full")}
    assert told(intake.bulk(events(3_000)), 503)["next_line"] == 1_001
    assert engine.room.in_flight == 0


def test_a_bad_id_of_several_is_named_and_the_event_counts(intake: Server, engine: RecordingEngine) -> None:
    """The zero IDFA of everybody who limits tracking, for one; numbers are taken for the texts they spell."""
    body = b"\n".join(
        [
            b'{"ids":[{"dpid":123,"id":"a"},{"dpid":20915,"id":"00000000-0000-0000-0000-000000000000"}]}',
            b'{"ids":[{"dpid":"123","id":17},{"dpid":999,"id":"x"},{"dpid":124,"id":null}]}',
            b'{"uuid":"' + b"5" * 38 + b'","ids":[{"dpid":123,"id":"${ID}"}]}',
            b'{"ids":[{"dpid":123,"id":"undefined"},{"dpid":123,"id":"0"}]}',
        ]
    )
    answer = told(intake.bulk(body))
    assert answer["accepted"] == 3
    assert [(one["line"], one["code"]) for one in answer["rejected"]] == [(4, "all_ids_invalid")]
    assert [(one["line"], one["code"]) for one in answer["warnings"]] == [
        (1, "blocked_id"),
        (2, "unknown_data_source"),
        (2, "bad_id"),
        (3, "blocked_id"),
    ]
    assert "ids[1]" in answer["warnings"][0]["message"]
    assert [[(one.dpid, one.id) for one in event.ids] for event in engine.events] == [
        [(123, "a")],
        [(123, "17")],
        [],
    ]


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b'{"ids":[{"dpid":123,"id":"a"}],"memberships":{"1":1}}', 200),
        (b'{"ids":[{"dpid":123,"id":"a"},{"dpid":999,"id":"b"}]}', 200),
        (b'{"traits":[99999,1000]}', 200),
        (b'{"ids":[{"dpid":999,"id":"a"}]}', 200),
        (b"not json", 200),
        (b'{"uuid":"' + b"9" * 38 + b'"}', 200),
        (b'{"signals":{"c_bad":1}}', 200),
        (b'{"signals":{"c_down":1}}', 503),
        (b'{"signals":{"c_full":1}}', 429),
    ],
)
def test_one_event_alone_is_answered_and_counted_as_one_of_many(
    intake: Server, engine: RecordingEngine, line: bytes, status: int
) -> None:
    """A blank line behind it makes it one of a body of several."""
    answers, counted = [], []
    for body in (line, line + b"\n", line + b"\n\n"):
        engine.reset()
        engine.refuse_signal = "c_bad"
        engine.opted_out.add("9" * 38)
        engine.full = b"c_full" in line
        engine.fail_always = StoreUnavailable("disk full") if b"c_down" in line else None
        answers.append(told(intake.bulk(body), status))
        counted.append((engine.figures.events_refused, engine.figures.ids_dropped, engine.events))
        assert engine.room.in_flight == 0
    assert answers[0] == answers[1] == answers[2]
    assert counted[0] == counted[1] == counted[2]


def test_without_warnings_an_answer_has_none(intake: Server) -> None:
    assert set(told(intake.bulk(b'{"ids":[{"dpid":123,"id":"a"}]}'))) == {"accepted", "rejected"}


def test_warnings_are_listed_up_to_a_bound(engine: RecordingEngine) -> None:
    line = b'{"ids":[{"dpid":123,"id":"a"},{"dpid":123,"id":"null"},{"dpid":123,"id":"NaN"}]}\n'
    with running(engine, IntakeSettings(max_rejections=3)) as intake:
        answer = told(intake.bulk(line * 2))
    assert (answer["accepted"], len(answer["warnings"]), answer["warnings_total"]) == (2, 3, 4)
