"""Consent at every public door, and what a visitor's refusal does. Against a real server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.domain.event import DeclaredId
from arke.intake.origins import parse_origins
from arke.intake.settings import ConsentRules, IntakeSettings, OptOutSettings
from consent_strings import tc_string
from integration.intake.engine import SECRET, UUID, RecordingEngine, Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator

COOKIE = f"Cookie: demdex={UUID}"
TOKEN = f"Authorization: Bearer {SECRET}"
DECLINED = f"gdpr=1&gdpr_consent={tc_string()}"
AGREED = f"gdpr=1&gdpr_consent={tc_string({1, 10}, {565})}"
RULES = ConsentRules(tcf_vendor=565, honour=("gpc", "us_privacy", "gpp"))
DOORS = ["/event?d_rtbd=json&", "/ibs:dpid=123&dpuuid=x&", "/id?d_rtbd=json&", "/firstevent?"]


@pytest.fixture
def recorder() -> RecordingEngine:
    return RecordingEngine()


@pytest.fixture
def server(recorder: RecordingEngine) -> Iterator[Server]:
    with running(recorder, IntakeSettings(consent=RULES)) as server:
        yield server


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("said", "headers", "code"),
    [
        ("gdpr=1", (), "315"),
        ("gdpr=true&gdpr_consent=%24%7BGDPR_CONSENT_565%7D", (), "315"),
        ("gdpr=1&gdpr_consent=CPabc", (), "315"),
        (DECLINED, (), "315"),
        ("us_privacy=1YYN", (), "171"),
        ("gpp=DBABBg~BVqqqqpY.YA&gpp_sid=8", (), "171"),
        ("", ("Sec-GPC: 1",), "171"),
        ("", ("Sec-GPC: 1, 1",), "171"),
    ],
)
def test_nothing_is_stored_at_any_door(
    server: Server, recorder: RecordingEngine, door: str, said: str, headers: tuple[str, ...], code: str
) -> None:
    answer = server.get(door + said, COOKIE, *headers)
    assert (answer.status, answer.header("x-error"), answer.cookies()) == (200, code, [])
    assert recorder.events == []


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(
    ("said", "headers"),
    [(AGREED, ()), ("us_privacy=1YNN", ()), ("", ("Sec-GPC: 0",)), ("gpp=DBABBg~BAAAAACA", ())],
)
def test_who_agrees_is_stored_at_every_door(
    server: Server, recorder: RecordingEngine, door: str, said: str, headers: tuple[str, ...]
) -> None:
    assert server.get(door + said, COOKIE, *headers).header("x-error") is None
    assert len(recorder.events) == 1
    assert recorder.events[0].uuid == UUID
    assert not {"gdpr", "gdpr_consent", "gpp", "gpp_sid", "us_privacy"} & recorder.events[0].signals.keys()


def test_without_settings_opt_outs_of_the_united_states_are_not_honoured(
    intake: Server, engine: RecordingEngine
) -> None:
    said = "us_privacy=1YYN&gpp=DBABBg~BVqqqqpY.YA"
    assert intake.get(f"/event?{said}", COOKIE, "Sec-GPC: 1").header("x-error") is None
    assert len(engine.events) == 1


def test_a_preflight_does_not_ask_for_consent(server: Server) -> None:
    """Browsers send Sec-GPC with it, and never ask whether they may."""
    lines = "OPTIONS /event HTTP/1.1\r\nHost: h\r\nOrigin: https://shop.example\r\nSec-GPC: 1\r\n\r\n"
    assert server.send(lines.encode()).status == 204


@pytest.mark.parametrize("door", DOORS)
def test_who_declines_opts_out_his_device_once(server: Server, recorder: RecordingEngine, door: str) -> None:
    for _ in range(3):
        server.get(door + DECLINED, COOKIE)
    assert recorder.opt_outs == [(UUID, ())]
    assert recorder.public_opt_outs == [True]


def test_the_device_is_the_named_one_or_the_cookies(server: Server, recorder: RecordingEngine) -> None:
    other = "1" * 38
    server.get(f"/event?d_uuid={other}&{DECLINED}", COOKIE)
    server.get(f"/event?d_coppa=1&{DECLINED}", COOKIE)
    server.get(f"/event?{DECLINED}")
    assert recorder.opt_outs == [(other, ())]


def test_ids_opt_out_by_the_same_right_as_at_demoptout(server: Server, recorder: RecordingEngine) -> None:
    """Without a token nobody's by default; with one, or by the setting, those of the request."""
    ids = (DeclaredId(123, "987"),)
    call = f"/event?d_cid=123%01987&{DECLINED}"
    server.get(call)
    assert recorder.opt_outs == []
    server.get(call, TOKEN)
    assert recorder.opt_outs == [(None, ids)]
    assert recorder.public_opt_outs == [False]
    recorder.reset()
    settings = IntakeSettings(consent=RULES, opt_outs=OptOutSettings(whom="ids"))
    with running(recorder, settings) as as_audience_manager:
        as_audience_manager.get(call, COOKIE)
        as_audience_manager.get(f"/event?d_cid=126%01x&{DECLINED}")
    assert recorder.opt_outs == [(UUID, ()), (None, ids)]
    assert recorder.public_opt_outs == [True, True]


def test_the_bounds_of_opt_outs_hold(recorder: RecordingEngine) -> None:
    """So many a minute for an address, and from listed pages only; beyond it nothing is stored all the same."""
    page = "Referer: https://shop.example/"
    opt_outs = OptOutSettings(per_minute=2, origins=parse_origins(["https://shop.example"]))
    with running(recorder, IntakeSettings(consent=RULES, opt_outs=opt_outs)) as server:
        assert server.get(f"/event?{DECLINED}", COOKIE).header("x-error") == "315"
        assert recorder.opt_outs == []
        for number in range(4):
            answer = server.get(f"/event?{DECLINED}", f"Cookie: demdex={number:038d}", page)
            assert (answer.status, answer.header("x-error")) == (200, "315")
        assert len(recorder.opt_outs) == 2
        assert recorder.events == []


def test_what_cannot_be_read_opts_nobody_out(server: Server, recorder: RecordingEngine) -> None:
    for said in ("gdpr=1", "gdpr=1&gdpr_consent=CPabc", f"{DECLINED}&d_uuid=1", "us_privacy=1YYN"):
        server.get(f"/event?{said}", COOKIE)
    assert recorder.opt_outs == []


def test_who_declines_and_clicked_arrives(server: Server, recorder: RecordingEngine) -> None:
    answer = server.get(f"/event?{DECLINED}&d_rd=https%3A%2F%2Fshop.test%2F", COOKIE)
    assert (answer.status, answer.header("location")) == (302, "https://shop.test/")
    assert recorder.opt_outs == [(UUID, ())]


def test_opting_out_needs_no_consent(server: Server, recorder: RecordingEngine) -> None:
    assert server.get(f"/demoptout?{DECLINED}", COOKIE, "Sec-GPC: 1").header("x-error") == "171"
    assert recorder.opt_outs == [(UUID, ())]
