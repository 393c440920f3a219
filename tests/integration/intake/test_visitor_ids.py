"""`/id` as the visitor id libraries ask for it, and the empty answers beside. Against a real server."""

from __future__ import annotations

import json
from typing import Any

import pytest

from arke.domain.event import DeclaredId
from arke.intake.origins import listeners
from arke.intake.settings import IntakeSettings
from arke.intake.visitor_id import ecid
from integration.intake.engine import FRESH, SECRET, UUID, Answer, RecordingEngine, Server, running

ORG = "1A2B3C4D5E6F708190A0B0C0@AdobeOrg"
OTHER_ORG = "FFFF3C4D5E6F708190A0B0C0@AdobeOrg"
COOKIE = f"Cookie: demdex={UUID}"
MID = "12345678901234567890123456789012345679"
WEB = f"/id?d_visid_ver=5.5.0&d_fieldgroup=MC&d_rtbd=json&d_ver=2&d_orgid={ORG}&d_nsid=0&ts=1700000000000"
APP = f"/id?d_mid={MID}&d_ver=2&d_rtbd=json&d_orgid={ORG}"


def content(answer: Answer) -> dict[str, Any]:
    assert (answer.status, answer.header("content-type")) == (200, "application/json;charset=utf-8")
    told: dict[str, Any] = json.loads(answer.body)
    return told


def test_a_new_browser_gets_an_ecid_and_a_cookie(intake: Server, engine: RecordingEngine) -> None:
    """The ECID is one of the device's ids from now on, so that /event with d_mid leads to the same device."""
    answer = intake.get(WEB)
    told = content(answer)
    assert list(told) == ["d_mid", "id_sync_ttl", "d_blob", "dcs_region", "d_ottl", "ibs", "tid"]
    (event,) = engine.events
    assert event.ids == (DeclaredId(4, told["d_mid"]),)
    assert event.uuid is not None
    assert told["d_mid"] == ecid(ORG, event.uuid) != event.uuid
    assert (event.signals, event.traits, event.region, event.public) == ({}, (), 9, True)
    assert answer.cookies()[0].startswith(f"demdex={event.uuid};")
    assert (told["id_sync_ttl"], told["dcs_region"], told["d_ottl"], told["ibs"]) == (604_800, 9, 7_200, [])
    assert answer.header("x-tid") == told["tid"]


def test_a_browser_with_a_cookie_has_one_ecid_per_organisation(intake: Server) -> None:
    first = content(intake.get(WEB, COOKIE))["d_mid"]
    assert len(first) == 38
    assert first.isdigit()
    assert first == content(intake.get(WEB, COOKIE))["d_mid"] == ecid(ORG, UUID)
    other = content(intake.get(WEB.replace(ORG, OTHER_ORG), COOKIE))["d_mid"]
    assert other not in (first, UUID)


def test_an_app_keeps_the_ecid_that_it_brings(intake: Server, engine: RecordingEngine) -> None:
    """With ids of its own to be synced, by integration code, with the state of authentication."""
    told = content(intake.get(f"{APP}&d_cid_ic=acme%01user%011&d_cid=123%01x"))
    assert told["d_mid"] == MID
    assert "errors" not in told
    (event,) = engine.events
    assert (event.uuid, event.ids) == (
        None,
        (DeclaredId(4, MID), DeclaredId(123, "x"), DeclaredId(12345, "user", 1)),
    )


def test_by_post_too(intake: Server, engine: RecordingEngine) -> None:
    form = f"d_mid={MID}&d_orgid={ORG}".encode()
    assert (
        content(intake.post("/id", form, "Content-Type: application/x-www-form-urlencoded"))["d_mid"] == MID
    )
    assert engine.events[0].ids == (DeclaredId(4, MID),)


def test_jsonp_for_old_libraries(intake: Server) -> None:
    answer = intake.get(f"{WEB}&d_cb=s_c_il%5B0%5D._setMarketingCloudFields", "Sec-Fetch-Site: cross-site")
    assert answer.header("content-type") == "application/javascript;charset=utf-8"
    assert answer.body.startswith(b's_c_il[0]._setMarketingCloudFields({"d_mid":"')
    assert answer.body.endswith(b"})")
    evil = intake.get(f"{WEB}&d_cb=alert(1)")
    assert (evil.header("x-error"), "alert" in evil.body.decode()) == ("311", False)


def test_ids_of_somebody_new_get_an_ecid_beside_them(intake: Server, engine: RecordingEngine) -> None:
    told = content(intake.get(f"{WEB}&d_cid=123%01x"))
    assert told["d_mid"] == ecid(ORG, FRESH)
    assert [(event.uuid, event.ids) for event in engine.events] == [
        (None, (DeclaredId(123, "x"),)),
        (FRESH, (DeclaredId(4, told["d_mid"]),)),
    ]


def test_by_a_known_id_nobody_gets_another_of_its_device(intake: Server, engine: RecordingEngine) -> None:
    """Neither told nor linked: the library makes its own ECID then. With a token it is told."""
    engine.by_id = True
    answer = intake.get(f"{WEB}&d_cid=123%01x")
    assert "d_mid" not in content(answer)
    assert answer.cookies() == []
    assert [event.ids for event in engine.events] == [(DeclaredId(123, "x"),)]
    assert content(intake.get(f"{APP}&d_cid=123%01x"))["d_mid"] == MID
    engine.by_id = False
    assert "d_mid" in content(intake.get(f"{WEB}&d_cid=123%01x", f"Authorization: Bearer {SECRET}"))


@pytest.mark.parametrize(
    ("call", "headers", "code"),
    [
        (WEB.replace(ORG, "nonsense"), (), 2),
        (APP.replace(MID, "1"), (), 101),
        (f"{WEB}&d_uuid=1", (), 102),
        (f"{WEB}&gdpr=1", (), 315),
        (f"{WEB}&d_cid=%zz", (), 311),
    ],
)
def test_what_is_wrong_is_told_and_nothing_stored(
    intake: Server, engine: RecordingEngine, call: str, headers: tuple[str, ...], code: int
) -> None:
    answer = intake.get(call, *headers)
    told = content(answer)
    assert [error["code"] for error in told["errors"]] == [code]
    assert told["error_msg"] == told["errors"][0]["msg"]
    assert not {"d_mid", "d_blob", "d_optout"} & told.keys()
    assert answer.cookies() == []
    assert engine.events == []


def test_who_has_opted_out_is_told_so(intake: Server, engine: RecordingEngine) -> None:
    """The libraries then keep silent for as long as `d_ottl` says."""
    told = content(intake.get(WEB, "Cookie: demdex=NOTARGET"))
    assert (told["d_optout"], told["d_ottl"], told["errors"][0]["code"]) == (["global"], 7_200, 171)
    assert "error_msg" not in told
    engine.opted_out.add(UUID)
    again = intake.get(WEB, COOKIE)
    assert content(again)["d_optout"] == ["global"]
    assert "d_mid" not in content(again)
    assert again.cookies() == []


def test_pages_that_may_not_read_get_no_ecid_by_script(engine: RecordingEngine) -> None:
    settings = IntakeSettings(listeners=listeners(["https://shop.example"]))
    with running(engine, settings) as server:
        script = f"{WEB}&d_cb=f"
        elsewhere = server.get(script, COOKIE, "Referer: https://evil.example/", "Sec-Fetch-Site: cross-site")
        assert b"d_mid" not in elsewhere.body
        here = server.get(script, COOKIE, "Referer: https://shop.example/", "Sec-Fetch-Site: cross-site")
        assert b"d_mid" in here.body
        asked = server.get(WEB, COOKIE, "Origin: https://evil.example")
        assert asked.header("access-control-allow-origin") is None


def test_cors(intake: Server) -> None:
    answer = intake.get(WEB, "Origin: https://shop.example")
    assert answer.header("access-control-allow-origin") == "https://shop.example"
    asked = intake.send(b"OPTIONS /id HTTP/1.1\r\nHost: h\r\nOrigin: https://shop.example\r\n\r\n")
    assert (asked.status, asked.header("access-control-allow-methods")) == (204, "GET, POST, OPTIONS")


def test_a_plus_in_an_id_stays_one(intake: Server, engine: RecordingEngine) -> None:
    intake.get(f"{APP}&d_cid=123%01ab+c%2Fd%3D%3D")
    assert engine.events[0].ids[1] == DeclaredId(123, "ab+c/d==")


def test_the_second_event_endpoint_is_the_first(intake: Server, engine: RecordingEngine) -> None:
    """Audience Manager sends a browser without its cookie there, with the same event."""
    answer = intake.get("/firstevent?d_rtbd=json&c_a=1&d_cid=123%01x")
    assert content(answer)["uuid"] == FRESH
    assert engine.events[0].signals["c_a"] == ["1"]
    assert intake.get("/firstevent?c_a=1").header("content-type") == "image/gif"


@pytest.mark.parametrize(
    ("path", "kind", "begins"),
    [
        ("/demconf.jpg?et:ibs%7cdata:dpid=411&dpuuid=x", "image/gif", b"GIF89a"),
        ("/demconf.jpg", "image/gif", b"GIF89a"),
        ("/dest5.html?d_nsid=0", "text/html;charset=utf-8", b"<!doctype html>"),
        ("/dest4.html?d_nsid=undefined", "text/html;charset=utf-8", b"<!doctype html>"),
    ],
)
def test_a_tag_that_asks_for_more_gets_an_empty_answer(
    intake: Server, engine: RecordingEngine, path: str, kind: str, begins: bytes
) -> None:
    answer = intake.get(path, COOKIE)
    assert (answer.status, answer.header("content-type"), answer.header("x-error")) == (200, kind, None)
    assert answer.body.startswith(begins)
    assert answer.cookies() == []
    assert engine.events == []


def test_by_head_too(intake: Server) -> None:
    asked = intake.send(b"HEAD /dest5.html HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
    assert (asked.status, asked.body) == (200, b"")
    assert int(asked.header("content-length") or 0) > 0


def test_the_frame_of_a_tag_may_be_framed(intake: Server) -> None:
    """And runs nothing: everything else about it is as everywhere."""
    policy = intake.get("/dest5.html").header("content-security-policy")
    assert policy == "default-src 'none'"
    assert intake.get("/event").header("content-security-policy") == (
        "default-src 'none'; frame-ancestors 'none'"
    )
    assert intake.get("/dest5.html").header("x-content-type-options") == "nosniff"
