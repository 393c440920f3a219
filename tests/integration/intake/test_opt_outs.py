"""Who may opt out whom at the public door: ids, addresses, pages. Against a real server."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from arke.domain.event import DeclaredId
from arke.intake.origins import parse_origins
from arke.intake.settings import IntakeSettings, OptOutSettings
from integration.intake.engine import SECRET, UUID, RecordingEngine, Server, running

if TYPE_CHECKING:
    from collections.abc import Iterator

COOKIE = f"Cookie: a=b; demdex={UUID}"
TOKEN = f"Authorization: Bearer {SECRET}"
BY_IDS = "/demoptout?d_rtbd=json&d_cid=123%01987&d_cid_ic=acme%01321"
IDS = (DeclaredId(123, "987"), DeclaredId(12345, "321"))
OPTED_OUT = {"code": 171, "msg": "Encountered opt out tag"}
PAGES = parse_origins(["https://shop.example", "intake.example"])


@pytest.fixture
def recorder() -> RecordingEngine:
    return RecordingEngine()


@pytest.fixture
def as_audience_manager(recorder: RecordingEngine) -> Iterator[Server]:
    with running(recorder, IntakeSettings(opt_outs=OptOutSettings(whom="ids"))) as server:
        yield server


@pytest.fixture
def for_pages(recorder: RecordingEngine) -> Iterator[Server]:
    with running(recorder, IntakeSettings(opt_outs=OptOutSettings(origins=PAGES))) as server:
        yield server


def errors(body: bytes) -> list[dict[str, Any]]:
    told: list[dict[str, Any]] = json.loads(body)["errors"]
    return told


def test_nobody_opts_out_an_id_without_a_token(intake: Server, engine: RecordingEngine) -> None:
    """The answer says so for each id; the asking browser is opted out, and not marked: it named somebody."""
    answer = intake.get(BY_IDS, COOKIE)
    assert (answer.status, answer.header("x-error")) == (200, "302,104,171")
    told = errors(answer.body)
    assert [one["code"] for one in told] == [302, 302, 104, 171]
    assert told[0]["msg"].startswith(
        "Unauthorized customer id 123:987: to opt out by customer id takes a token"
    )
    assert answer.cookies() == []
    assert (engine.opt_outs, engine.public_opt_outs) == ([(UUID, ())], [True])


def test_without_a_cookie_such_an_opt_out_is_nobodys(intake: Server, engine: RecordingEngine) -> None:
    answer = intake.get(BY_IDS)
    assert [one["code"] for one in errors(answer.body)] == [302, 302, 104]
    assert (answer.cookies(), engine.opt_outs) == ([], [])
    pixel = intake.get("/demoptout.jpg?d_mid=" + "1" * 38)
    assert (pixel.header("content-type"), pixel.header("x-error")) == ("image/gif", "302,104")
    assert engine.opt_outs == []


def test_the_setting_for_ids_takes_them_as_audience_manager(
    as_audience_manager: Server, recorder: RecordingEngine
) -> None:
    """The ids, then the asking browser; it is not marked, for only these ids were named."""
    answer = as_audience_manager.get(BY_IDS, COOKIE)
    assert errors(answer.body) == [OPTED_OUT]
    assert answer.cookies() == []
    assert recorder.opt_outs == [(None, IDS), (UUID, ())]
    assert recorder.public_opt_outs == [True, True]


def test_a_token_may_name_ids(intake: Server, engine: RecordingEngine) -> None:
    answer = intake.get(BY_IDS, TOKEN)
    assert errors(answer.body) == [OPTED_OUT]
    assert (engine.opt_outs, engine.public_opt_outs) == ([(None, IDS)], [False])


@pytest.mark.parametrize(("token", "status"), [("arke_wrong", 401), ("arke_reader", 403)])
def test_a_token_of_ours_that_is_wrong_opts_out_nobody(
    intake: Server, engine: RecordingEngine, token: str, status: int
) -> None:
    assert intake.get("/demoptout", COOKIE, f"Authorization: Bearer {token}").status == status
    assert engine.opt_outs == []


def test_an_address_has_so_many_turns_a_minute(recorder: RecordingEngine) -> None:
    """Beyond them 429 with Retry-After, nobody is opted out and no browser marked; a token has no bound."""
    with running(recorder, IntakeSettings(opt_outs=OptOutSettings(per_minute=3))) as server:
        answers = [server.get("/demoptout", f"Cookie: demdex={number:038d}") for number in range(5)]
        assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
        assert json.loads(answers[-1].body)["error"]["code"] == "overloaded"
        assert 1 <= int(answers[-1].header("retry-after") or "0") <= 60
        assert answers[-1].cookies() == []
        assert len(recorder.opt_outs) == 3
        assert [server.get(BY_IDS, TOKEN).status for _ in range(5)] == [200] * 5
        assert server.get("/event", COOKIE).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        ("Origin: https://shop.example",),
        ("Origin: https://SHOP.example:443", "Referer: https://evil.example/"),
        ("Referer: https://shop.example/privacy?x=1", "Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image"),
        ("Sec-Fetch-Site: same-origin",),
        (TOKEN,),
    ],
)
def test_a_listed_page_may_opt_its_visitor_out(
    for_pages: Server, recorder: RecordingEngine, headers: tuple[str, ...]
) -> None:
    """By Origin, else by Referer, else as a page of the intake's own host; a token needs no page."""
    answer = for_pages.get("/demoptout", COOKIE, *headers)
    assert (answer.status, answer.header("x-error")) == (200, "171")
    assert recorder.opt_outs == [(UUID, ())]


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("Origin: null",),
        ("Origin: https://evil.example", "Referer: https://shop.example/"),
        ("Origin: http://shop.example",),
        ("Origin: https://shop.example:8443",),
        ("Referer: https://shop.example@evil.example/",),
        ("Referer: https://shop.example.evil.example/https://shop.example",),
        ("Sec-Fetch-Site: none",),
        ("Sec-Fetch-Site: same-site",),
        ("Sec-Fetch-Site: cross-site", "Sec-Fetch-Dest: image"),
        ("Authorization: Bearer another systems token",),
    ],
)
def test_any_other_page_is_refused(
    for_pages: Server, recorder: RecordingEngine, headers: tuple[str, ...]
) -> None:
    """403 in the form that was asked for, no mark, nobody opted out. Who names no page is refused too."""
    answer = for_pages.get("/demoptout?d_rtbd=json", COOKIE, *headers)
    assert (answer.status, answer.header("x-error"), answer.cookies()) == (403, "0", [])
    assert [one["code"] for one in errors(answer.body)] == [0]
    pixel = for_pages.get("/demoptout.jpg", COOKIE, *headers)
    assert (pixel.status, pixel.header("content-type")) == (403, "image/gif")
    assert recorder.opt_outs == []


def test_same_origin_is_the_host_that_was_asked(for_pages: Server, recorder: RecordingEngine) -> None:
    """A name that is not listed, though it leads here too, shows no listed page."""
    answer = for_pages.get("/demoptout", COOKIE, "Sec-Fetch-Site: same-origin", host="other.example")
    assert answer.status == 403
    assert recorder.opt_outs == []


def test_a_page_that_is_refused_uses_up_nobodys_turns(recorder: RecordingEngine) -> None:
    settings = IntakeSettings(opt_outs=OptOutSettings(origins=PAGES, per_minute=1))
    with running(recorder, settings) as server:
        for _ in range(5):
            assert server.get("/demoptout", COOKIE, "Referer: https://evil.example/").status == 403
        assert server.get("/demoptout", COOKIE, "Referer: https://shop.example/").status == 200


@pytest.mark.parametrize(
    "wrong",
    ["d_mid=123", "d_mid=abc", "d_mid=%EF%BF%BD", "d_event_id=%07", "d_orgid=nobody", "d_mid=1&d_orgid=x"],
)
def test_what_else_an_opt_out_says_wrongly_takes_nothing_of_it(
    as_audience_manager: Server, recorder: RecordingEngine, wrong: str
) -> None:
    """Whoever asks to be let alone is, by all other ids that he names, and by his browser's cookie."""
    answer = as_audience_manager.get(f"{BY_IDS}&{wrong}", COOKIE)
    assert answer.status == 200
    codes = [one["code"] for one in errors(answer.body)]
    assert codes == [*([101] if "d_mid" in wrong else []), 171]
    assert [one for one in recorder.opt_outs if one[1] == IDS] == [(None, IDS)]
    assert recorder.opt_outs[-1] == (UUID, ())


def test_an_ecid_that_is_none_by_itself_marks_no_browser(
    as_audience_manager: Server, recorder: RecordingEngine
) -> None:
    """It named somebody, whom nobody knows; the browser that asks is opted out by its cookie, if it has one."""
    answer = as_audience_manager.get("/demoptout?d_rtbd=json&d_mid=123")
    assert [one["code"] for one in errors(answer.body)][:2] == [101, 104]
    assert answer.cookies() == []
    assert not [one for one in recorder.opt_outs if one[0] is not None]
    answer = as_audience_manager.get("/demoptout?d_rtbd=json&d_mid=123", COOKIE)
    assert recorder.opt_outs[-1] == (UUID, ())


def test_a_uuid_that_is_none_opts_out_nobody(as_audience_manager: Server, recorder: RecordingEngine) -> None:
    """It takes precedence over all ids: whom it means nobody knows."""
    as_audience_manager.get(f"{BY_IDS}&d_uuid=123", COOKIE)
    assert recorder.opt_outs == []
