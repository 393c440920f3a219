"""/event, /ibs: and /demoptout as a browser or a partner's server sees them, over a real socket."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import quote

import pytest

from arke.domain.event import DeclaredId
from arke.errors import Overloaded, StoreUnavailable
from integration.intake.engine import FRESH, SECRET, UUID, Answer, RecordingEngine, Server

COOKIE = f"Cookie: a=b; demdex={UUID}"


def content(answer: Answer) -> dict[str, Any]:
    assert answer.status == 200
    told: dict[str, Any] = json.loads(answer.body)
    return told


def test_without_d_rtbd_the_answer_is_a_pixel_and_a_cookie(intake: Server, engine: RecordingEngine) -> None:
    answer = intake.get("/event?c_a=1")
    assert answer.status == 200
    assert answer.header("content-type") == "image/gif"
    assert answer.body.startswith(b"GIF89a")
    assert answer.cookies() == [
        f"demdex={FRESH}; Path=/; Max-Age=15552000; Secure; HttpOnly; SameSite=None",
    ]
    assert engine.events[0].signals["c_a"] == ["1"]
    assert engine.events[0].region == 9


def test_the_json_answer(intake: Server) -> None:
    plain = content(intake.get("/event?d_rtbd=json"))
    assert list(plain) == ["stuff", "uuid", "dcs_region", "tid"]
    assert plain["uuid"] == FRESH
    assert plain["dcs_region"] == 9
    assert len(plain["tid"]) == 12
    full = content(intake.get("/event?d_rtbd=json&d_dst=1&d_cts=2"))
    assert list(full) == ["stuff", "dests", "uuid", "dcs_region", "traits", "segments", "tid"]
    assert full["traits"] == [1000, 1001]
    assert full["segments"] == [14356]


def test_every_answer_has_its_own_tid(intake: Server) -> None:
    tids = {content(intake.get("/event?d_rtbd=json"))["tid"] for _ in range(5)}
    assert len(tids) == 5


def test_jsonp(intake: Server) -> None:
    answer = intake.get("/event?d_rtbd=json&d_cb=my.callback")
    assert answer.header("content-type") == "application/javascript;charset=utf-8"
    assert answer.body.startswith(b'my.callback({"stuff":[]')
    assert answer.body.endswith(b"})")


def test_a_form_says_the_same_as_a_query(intake: Server, engine: RecordingEngine) -> None:
    form = b"c_a=1&d_cid=123%01x%011&c_b=x+y"
    kind = "Content-Type: application/x-www-form-urlencoded; charset=UTF-8"
    content(intake.post("/event?d_rtbd=json", form, kind))
    content(intake.get("/event?d_rtbd=json&" + form.decode()))
    posted, got = engine.events
    assert posted == got
    assert posted.ids == (DeclaredId(123, "x", 1),)


def test_a_form_comes_packed(intake: Server, engine: RecordingEngine) -> None:
    """As at every other door that takes events; nothing of one that cannot be read is an event."""
    form = b"c_a=1&d_cid=123%01x%011"
    kind = "Content-Type: application/x-www-form-urlencoded"

    def post(body: bytes, encoding: str) -> Answer:
        return intake.post("/event?d_rtbd=json", body, kind, f"Content-Encoding: {encoding}")

    packed = gzip.compress(form)
    content(post(packed, "gzip"))
    content(post(form, "identity"))
    (unpacked, plain) = engine.events
    assert unpacked == plain
    for body, encoding, status, code in (
        (form, "gzip", 400, "bad_gzip"),
        (packed[:-9], "gzip", 400, "bad_gzip"),
        (gzip.compress(b"c_a=" + b"x" * 1_000_000), "gzip", 413, "body_too_large"),
        (form, "br", 415, "unknown_encoding"),
        (packed, "gzip, gzip", 415, "unknown_encoding"),
    ):
        answer = post(body, encoding)
        assert (answer.status, json.loads(answer.body)["error"]["code"]) == (status, code), encoding
    assert len(engine.events) == 2


def test_content_encoding_in_two_headers_is_one_list(intake: Server, engine: RecordingEngine) -> None:
    """What the second one says is no less true: a packed body is never read as one that is not."""
    form = b"c_a=1&d_cid=123%01x%011"
    packed = gzip.compress(form)
    kind = "Content-Type: application/x-www-form-urlencoded"

    def post(body: bytes, *encodings: str) -> Answer:
        return intake.post(
            "/event?d_rtbd=json", body, kind, *(f"Content-Encoding: {encoding}" for encoding in encodings)
        )

    for encodings in (("identity", "gzip"), ("gzip", "identity"), ("", "gzip"), ("identity, gzip",)):
        content(post(packed, *encodings))
    content(post(form, "identity", "identity"))
    assert len(engine.events) == 5
    assert all(event == engine.events[0] for event in engine.events)
    for encodings in (("gzip", "gzip"), ("identity", "br"), ("gzip", "br")):
        assert post(packed, *encodings).status == 415, encodings
    line = json.dumps({"uuid": UUID}).encode()
    for body, status in ((gzip.compress(line), 200), (line, 400)):
        answer = intake.bulk(body, "Content-Encoding: identity", "Content-Encoding: gzip")
        assert answer.status == status
    assert len(engine.events) == 6


def test_warnings_come_with_the_data_and_in_a_header(intake: Server) -> None:
    ids = "".join(f"&d_cid=123%01{n}" for n in range(1, 5))
    answer = intake.get("/event?d_rtbd=json&d_cid=123%01" + ids)
    assert answer.header("x-error") == "300,310"
    told = content(answer)
    assert told["uuid"] == FRESH
    assert [error["code"] for error in told["errors"]] == [300, 310]
    assert all(error["msg"] for error in told["errors"])


@pytest.mark.parametrize("door", ["/event?d_rtbd=json&", "/ibs:d_rtbd=json&"])
@pytest.mark.parametrize(
    "bad", ["d_cid=123%01undefined", "d_cid_ic=acme%01%7B%7Buid%7D%7D", "dpid=123&dpuuid=0", "d_mid=(null)"]
)
def test_a_placeholder_is_left_out_and_the_rest_counts(
    intake: Server, engine: RecordingEngine, door: str, bad: str
) -> None:
    answer = intake.get(f"{door}{bad}&d_cid=124%01good")
    assert answer.header("x-error") == "303"
    assert "uuid" in content(answer)
    assert engine.events[0].ids == (DeclaredId(124, "good"),)


@pytest.mark.parametrize("bad", ["d_cid=123%01NULL", "d_mid=undefined", f"d_cid=4%01{'0' * 38}"])
def test_a_placeholder_alone_is_about_nobody(intake: Server, engine: RecordingEngine, bad: str) -> None:
    """But whose device is known by a cookie or a UUID, is known."""
    answer = intake.get(f"/event?d_rtbd=json&{bad}")
    assert answer.header("x-error") == "303,104"
    assert "uuid" not in content(answer)
    assert engine.events == []
    assert content(intake.get(f"/event?d_rtbd=json&{bad}", COOKIE))["uuid"] == UUID


@pytest.mark.parametrize(
    ("parameters", "kept"),
    [
        ("d_cid=12345%01ab+c/d==", DeclaredId(12345, "ab+c/d==")),
        ("d_cid=12345%01ab%2Bc%20d", DeclaredId(12345, "ab+c d")),
        ("d_cid_ic=acme%01a+b%011", DeclaredId(12345, "a+b", 1)),
        ("d_dpid=12345&d_dpuuid=a+b", DeclaredId(12345, "a+b")),
        ("dpid=12345&dpuuid=a+b", DeclaredId(12345, "a+b")),
    ],
)
def test_a_plus_in_an_id_is_a_plus(
    intake: Server, engine: RecordingEngine, parameters: str, kept: DeclaredId
) -> None:
    """In a signal beside it, it is a blank, as ever."""
    intake.get(f"/event?d_rtbd=json&{parameters}&c_a=x+y")
    intake.post("/event?d_rtbd=json", f"{parameters}&c_a=x+y".encode())
    intake.get(f"/ibs:d_rtbd=json&{parameters}")
    assert [event.ids for event in engine.events] == [(kept,)] * 3
    assert [event.signals.get("c_a") for event in engine.events] == [["x y"], ["x y"], None]


@pytest.mark.parametrize(
    ("target", "codes"),
    [
        ("/event?d_rtbd=json&c_a=%es", "311"),
        ("/event?d_rtbd=json&d_uuid=1", "102"),
        ("/event?d_rtbd=json&d_mid=1", "101"),
        ("/event?d_rtbd=json&d_cid=20915%01a53cc5a2-6aa1-4210-8ded-a88b29b6212z", "300,312,104"),
        ("/event?d_rtbd=json&d_cid_ic=DSID_20915%011", "300,312,104"),
        ("/event?d_rtbd=json&gdpr=1", "315"),
        ("/event?d_rtbd=json&d_cb=%3Cscript%3E", "311"),
    ],
)
def test_a_bad_request_is_a_200_without_data(
    intake: Server, engine: RecordingEngine, target: str, codes: str
) -> None:
    answer = intake.get(target)
    assert answer.header("x-error") == codes
    assert list(content(answer)) == ["errors"]
    assert answer.cookies() == []
    assert engine.events == []
    pixel = intake.get(target.replace("d_rtbd=json", "d_rtbd=x"))
    assert pixel.header("content-type") == "image/gif"
    assert pixel.header("x-error") == codes


def test_a_request_without_host_is_code_100(intake: Server, engine: RecordingEngine) -> None:
    answer = intake.send(b"GET /event?d_rtbd=json HTTP/1.0\r\n\r\n")
    assert answer.header("x-error") == "100"
    assert engine.events == []


def test_the_device_cookie_says_who_it_is(intake: Server, engine: RecordingEngine) -> None:
    assert content(intake.get("/event?d_rtbd=json", COOKIE))["uuid"] == UUID
    intake.get("/event", "Cookie: demdex=rubbish")
    assert [event.uuid for event in engine.events] == [UUID, None]


def test_a_passed_uuid_never_becomes_the_cookie(intake: Server) -> None:
    """Otherwise a link could choose who somebody is from then on."""
    answer = intake.get(f"/event?d_rtbd=json&d_uuid={UUID}")
    assert content(answer)["uuid"] == UUID
    assert answer.cookies() == []


def test_under_coppa_no_cookie_is_read_or_set(intake: Server, engine: RecordingEngine) -> None:
    assert intake.get("/event?d_coppa=1", COOKIE).cookies() == []
    assert engine.events[0].uuid is None


@pytest.mark.parametrize("cookie", ["demdex=NOTARGET", f"demdex={UUID}; dextp=NOTARGET"])
@pytest.mark.parametrize("path", ["/event?d_rtbd=json", "/ibs:d_rtbd=json&dpid=123&dpuuid=x"])
def test_an_opted_out_browser_gets_171_and_leaves_no_trace(
    intake: Server, engine: RecordingEngine, cookie: str, path: str
) -> None:
    answer = intake.get(path, f"Cookie: {cookie}")
    assert content(answer) == {"errors": [{"code": 171, "msg": "Encountered opt out tag"}]}
    assert answer.header("x-error") == "171"
    assert answer.cookies() == []
    assert engine.events == []


def test_somebody_the_engine_knows_as_opted_out_gets_171(intake: Server, engine: RecordingEngine) -> None:
    engine.opted_out.add(UUID)
    answer = intake.get("/event?d_rtbd=json", COOKIE)
    assert list(content(answer)) == ["errors"]
    assert answer.header("x-error") == "171"


def test_what_the_engine_refuses_is_code_0(intake: Server, engine: RecordingEngine) -> None:
    engine.refuse_signal = "c_bad"
    assert intake.get("/event?d_rtbd=json&c_bad=1").header("x-error") == "0"


def test_any_page_may_call_with_its_visitors_cookie(intake: Server) -> None:
    answer = intake.get("/event", "Origin: https://shop.example")
    assert answer.header("access-control-allow-origin") == "https://shop.example"
    assert answer.header("access-control-allow-credentials") == "true"
    asked = intake.send(b"OPTIONS /event HTTP/1.1\r\nHost: h\r\nOrigin: https://shop.example\r\n\r\n")
    assert asked.status == 204
    assert asked.header("access-control-allow-methods") == "GET, POST, OPTIONS"


@pytest.mark.parametrize(
    ("target", "ids"),
    [
        ("/ibs:dpid=123&dpuuid=abc", (DeclaredId(123, "abc"),)),
        ("/ibs:d_cid=123%01987", (DeclaredId(123, "987"),)),
        ("/ibs:d_cid_ic=acme%01987%012", (DeclaredId(12345, "987", 2),)),
        ("/ibs:dpid=123&dpuuid=a%2Bb+c", (DeclaredId(123, "a+b+c"),)),
        ("/ibs%3Adpid=123&dpuuid=abc", (DeclaredId(123, "abc"),)),
        ("/ibs:dpid=123&dpuuid=abc?c_a=1", (DeclaredId(123, "abc"),)),
    ],
)
def test_id_syncs(intake: Server, engine: RecordingEngine, target: str, ids: tuple[DeclaredId, ...]) -> None:
    answer = intake.get(target, COOKIE)
    assert answer.header("content-type") == "image/gif"
    assert engine.events[0].ids == ids
    assert engine.events[0].uuid == UUID
    assert engine.events[0].signals == {}


@pytest.mark.parametrize(
    "redir",
    [quote("https://dsp.example/?u=${DD_UUID}&x=1", safe=""), "https://dsp.example/?u=${DD_UUID}&x=1"],
)
def test_an_id_sync_redirects_with_the_uuid(intake: Server, redir: str) -> None:
    answer = intake.get(f"/ibs:dpid=123&dpuuid=abc&redir={redir}", COOKIE)
    assert answer.status == 302
    assert (answer.header("location") or "").startswith(f"https://dsp.example/?u={UUID}")
    assert answer.body == b""


@pytest.mark.parametrize(
    "redir",
    [
        "javascript:alert(1)",
        "//evil.example",
        "https://a/\r\nSet-Cookie: x=1",
        "https://good@evil.example/",
        "/x",
    ],
)
def test_a_bad_redirect_drops_the_sync(intake: Server, engine: RecordingEngine, redir: str) -> None:
    answer = intake.get("/ibs:dpid=123&dpuuid=abc&redir=" + quote(redir, safe=""), COOKIE)
    assert answer.status == 200
    assert answer.header("location") is None
    assert answer.header("x-error") == "311"
    assert engine.events == []


def test_an_opted_out_browser_is_not_redirected(intake: Server) -> None:
    answer = intake.get("/ibs:dpid=123&dpuuid=a&redir=https%3A%2F%2Fa.example", "Cookie: demdex=NOTARGET")
    assert answer.status == 200
    assert answer.header("location") is None


@pytest.mark.parametrize("path", ["/demoptout", "/demoptout.jpg"])
def test_the_global_opt_out_marks_the_browser_and_the_device(
    intake: Server, engine: RecordingEngine, path: str
) -> None:
    answer = intake.get(path, COOKIE)
    assert answer.status == 200
    assert answer.header("x-error") == "171"
    assert [cookie.partition(";")[0] for cookie in answer.cookies()] == ["demdex=NOTARGET", "dextp=NOTARGET"]
    assert engine.opt_outs == [(UUID, ())]
    assert engine.events == []


def test_the_global_opt_out_of_a_browser_never_seen(intake: Server, engine: RecordingEngine) -> None:
    answer = intake.get("/demoptout?gdpr=1")
    assert len(answer.cookies()) == 2
    assert engine.opt_outs == []


def test_an_opt_out_by_uuid_outranks_cookie_and_mapping(intake: Server, engine: RecordingEngine) -> None:
    other = "9" * 38
    intake.get(f"/demoptout?d_uuid={other}&d_dpid=123&d_dpuuid=987", COOKIE)
    assert engine.opt_outs == [(other, (DeclaredId(123, "987"),))]


def test_an_opt_out_by_uuid_is_for_that_device_alone(intake: Server, engine: RecordingEngine) -> None:
    """The browser that asks is neither marked nor opted out: another device was named (dossier 17)."""
    other = "9" * 38
    answer = intake.get(f"/demoptout?d_uuid={other}", COOKIE)
    assert answer.header("x-error") == "171"
    assert answer.cookies() == []
    assert engine.opt_outs == [(other, ())]


def test_opting_out_twice_works(intake: Server, engine: RecordingEngine) -> None:
    """A browser that is marked asks for a device by its UUID, or for nobody."""
    for query in ("", f"?d_uuid={UUID}"):
        answer = intake.get(f"/demoptout{query}", "Cookie: demdex=NOTARGET")
        assert answer.header("x-error") == "171"
    assert engine.opt_outs == [(UUID, ())]


def test_an_opt_out_of_bad_ids_only_opts_out_nobody(intake: Server, engine: RecordingEngine) -> None:
    answer = intake.get("/demoptout?d_cid=123")
    assert answer.header("x-error") == "300,104"
    assert answer.cookies() == []
    assert engine.opt_outs == []


@pytest.mark.parametrize("path", ["/event", "/ibs:dpid=123&dpuuid=a"])
def test_back_pressure_and_outage_are_told(intake: Server, engine: RecordingEngine, path: str) -> None:
    engine.fail_always = Overloaded("the queue is full", retry_after_s=7)
    busy = intake.get(path)
    assert (busy.status, busy.header("retry-after")) == (429, "7")
    engine.fail_always = StoreUnavailable("disk full")
    down = intake.get(path)
    assert (down.status, json.loads(down.body)["error"]["code"]) == (503, "store_unavailable")


@pytest.mark.parametrize("target", ["/event?c_a=1", "/ibs:dpid=123&dpuuid=x"])
def test_a_token_says_that_it_is_not_anybody(intake: Server, engine: RecordingEngine, target: str) -> None:
    intake.get(target)
    intake.get(target, "Authorization: Bearer another systems token")
    intake.get(target, f"Authorization: Bearer {SECRET}")
    assert [event.public for event in engine.events] == [True, True, False]


@pytest.mark.parametrize("target", ["/event?c_a=1", "/ibs:dpid=123&dpuuid=x"])
def test_a_token_of_ours_that_is_wrong_is_refused(
    intake: Server, engine: RecordingEngine, target: str
) -> None:
    assert intake.get(target, "Authorization: Bearer arke_wrong").status == 401
    assert intake.get(target, "Authorization: Bearer arke_reader").status == 403
    assert engine.events == []
