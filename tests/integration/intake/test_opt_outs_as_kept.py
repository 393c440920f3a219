"""Who asks at a public door to be let alone is found by an id as it is kept: in a letter case, or of a form, that
its data source has no more. A whole engine without sockets.
"""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from arke.clock import SystemClock
from arke.domain.event import Accepted, DeclaredId, IncomingEvent
from arke.intake.http import Intake, intake_app
from arke.intake.settings import ConsentRules, IntakeSettings, OptOutSettings, SegmentRules
from consent_strings import tc_string
from integration.intake.engine import PAGE_KEY, SECRET, RecordingEngine
from integration.onboarding.desk import COOKIES, Desk, open_desk
from patience import PATIENCE_S

if TYPE_CHECKING:
    from pathlib import Path

    from arke.domain.catalog import Catalog

GAID = 20914
LOWER = "38400000-8cf0-11bd-b23e-10b96e4ef00d"
UPPER = LOWER.upper()
OLD = "as-an-earlier-version-took-it"
TOKEN = (b"authorization", f"Bearer {SECRET}".encode())
DECLINED = f"gdpr=1&gdpr_consent={tc_string()}"
IDS = OptOutSettings(whom="ids")
TCF = ConsentRules(tcf_vendor=565)


def app_of(desk: Desk) -> Intake:
    settings = IntakeSettings(
        opt_outs=IDS,
        consent=TCF,
        segment=SegmentRules(anonymous_id=GAID, user_id=COOKIES, consent=TCF),
    )
    return intake_app(
        desk.engine.events, desk.engine.opt_outs, RecordingEngine(), settings, clock=SystemClock()
    )


async def asked(
    desk: Desk, path: str, query: str = "", *headers: tuple[bytes, bytes], body: bytes = b""
) -> bytes:
    scope: dict[str, Any] = {
        "type": "http",
        "method": "POST" if body else "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(b"host", b"h"), *headers],
        "client": ("127.0.0.1", 1),
    }
    answer = await app_of(desk).whole(scope, body)
    assert answer is not None
    return bytes(answer.body)


async def out(desk: Desk, number: int) -> None:
    """Return once a device is out of everything."""
    async with asyncio.timeout(PATIENCE_S):
        while not (await desk.profile(number)).opted_out:
            await asyncio.sleep(0.01)


async def requests(desk: Desk) -> int:
    return len(await desk.engine.directory.requests.page(1 << 62, 100))


@pytest.mark.parametrize("written", [LOWER, UPPER])
@pytest.mark.parametrize("headers", [(), (TOKEN,)])
def test_an_opt_out_finds_an_id_that_is_kept_in_another_letter_case(
    tmp_path: Path, written: str, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    async def run() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.see(1, (GAID, UPPER))
            body = await asked(desk, "/demoptout", f"d_rtbd=json&d_cid={GAID}%01{written}", *headers)
            assert [one["code"] for one in json.loads(body)["errors"]] == [171]
            await out(desk, 1)
            (answer,) = await desk.engine.events.ingest([IncomingEvent(ids=(DeclaredId(GAID, LOWER),))])
            assert isinstance(answer, Accepted)
            assert answer.opted_out

    asyncio.run(run())


@pytest.mark.parametrize("written", [LOWER, UPPER])
def test_who_does_not_consent_is_found_too(tmp_path: Path, written: str) -> None:
    async def run() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.see(1, (GAID, UPPER))
            await desk.see(2, (GAID, OLD))
            for _ in range(2):
                await asked(desk, "/event", f"d_rtbd=json&d_cid={GAID}%01{written}&{DECLINED}")
                await asked(desk, "/event", f"d_rtbd=json&d_cid={GAID}%01{OLD}&{DECLINED}")
                await asked(desk, "/event", f"d_rtbd=json&d_cid={GAID}%01never-seen&{DECLINED}")
            await out(desk, 1)
            await out(desk, 2)
            assert await requests(desk) == 2  # once each, and none for nobody

    asyncio.run(run())


@pytest.mark.parametrize("written", [LOWER, UPPER, OLD])
@pytest.mark.parametrize("key", [SECRET, PAGE_KEY])
def test_a_call_without_consent_finds_him(tmp_path: Path, written: str, key: str) -> None:
    async def run() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.see(1, (GAID, OLD if written == OLD else UPPER))
            consent = {"consent": {"gdpr": 1, "gdpr_consent": tc_string()}}
            call = {"event": "Seen", "anonymousId": written, "context": consent}
            head = (b"authorization", f"Bearer {key}".encode())
            body = json.loads(await asked(desk, "/v1/track", "", head, body=json.dumps(call).encode()))
            assert [one["code"] for one in body["rejected"]] == ["no_consent"]
            await out(desk, 1)

    asyncio.run(run())


def test_an_id_that_can_be_none_today_is_looked_for_and_nobody_is_told_whether_it_was_found(
    tmp_path: Path,
) -> None:
    async def run() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.see(1, (GAID, OLD))
            answers = [
                [one["code"] for one in json.loads(body)["errors"]]
                for text in (OLD, "never-seen")
                for body in [await asked(desk, "/demoptout", f"d_rtbd=json&d_cid={GAID}%01{text}")]
            ]
            assert answers[0] == answers[1] == [300, 312, 104]
            await out(desk, 1)
            assert await requests(desk) == 1
            await asked(desk, "/demoptout", f"d_cid={GAID}%01undefined")
            assert await requests(desk) == 1

    asyncio.run(run())


def test_what_was_kept_before_a_form_is_opted_out(tmp_path: Path) -> None:
    """In the case that it was written in, in the two others, and beside the one that is kept today."""

    async def run() -> None:
        async with open_desk(tmp_path) as desk:
            for number, text in enumerate(("ABCD", "AbCd", "abcd"), 1):
                await desk.see(number, (COOKIES, text))
            await desk.engine.catalogs.apply(with_form(desk.engine.live.catalog))
            await asked(desk, "/demoptout", f"d_cid={COOKIES}%01AbCd", TOKEN)
            for number in (1, 2, 3):
                await out(desk, number)

    asyncio.run(run())


def test_what_a_data_source_left_behind_takes_a_token(tmp_path: Path) -> None:
    """Whether it was one whose ids anybody may say is not known any more."""

    async def run() -> None:
        async with open_desk(tmp_path) as desk:
            await desk.see(1, (888, "left-behind"))
            await desk.engine.catalogs.apply(without(desk.engine.live.catalog, 888))
            await asked(desk, "/demoptout", "d_cid=888%01left-behind")
            assert await requests(desk) == 0
            await asked(desk, "/demoptout", "d_cid=888%01left-behind", TOKEN)
            await out(desk, 1)

    asyncio.run(run())


def with_form(catalog: Catalog) -> Catalog:
    sources = [
        msgspec.structs.replace(one, id_form="lower") if one.id == COOKIES else one
        for one in catalog.data_sources
    ]
    return msgspec.structs.replace(catalog, data_sources=tuple(sources))


def without(catalog: Catalog, dpid: int) -> Catalog:
    sources = tuple(one for one in catalog.data_sources if one.id != dpid)
    return msgspec.structs.replace(catalog, data_sources=sources)
