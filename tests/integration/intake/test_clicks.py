"""A click pixel over a real socket: who clicked arrives, whatever becomes of the event."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from arke.domain.event import DeclaredId
from arke.errors import StoreUnavailable
from integration.intake.engine import FRESH, UUID, RecordingEngine, Server

COOKIE = f"Cookie: demdex={UUID}"
TO = "d_rd=https%3A%2F%2Fshop.test%2F%3Fc%3D%25d_creative%25"
THERE = "https://shop.test/?c=7"


def test_the_event_counts_and_the_browser_goes_on(intake: Server, engine: RecordingEngine) -> None:
    answer = intake.get(f"/event?d_event=click&d_creative=7&d_cid=123%01x&{TO}")
    assert (answer.status, answer.header("location"), answer.body) == (302, THERE, b"")
    assert answer.header("x-error") is None
    assert answer.cookies()[0].startswith(f"demdex={FRESH};")
    (event,) = engine.events
    assert event.ids == (DeclaredId(123, "x"),)
    assert (event.signals["d_event"], event.signals["d_creative"]) == (["click"], ["7"])
    assert "d_rd" not in event.signals


@pytest.mark.parametrize("encoded", [1, 2])
def test_by_post_too(intake: Server, engine: RecordingEngine, encoded: int) -> None:
    address = "https://shop.test/?c=%d_creative%"
    for _ in range(encoded):
        address = quote(address, safe="")
    form = f"d_creative=7&d_rd={address}".encode()
    answer = intake.post("/event?d_rtbd=json", form, "Content-Type: application/x-www-form-urlencoded")
    assert (answer.status, answer.header("location")) == (302, THERE)
    assert engine.events[0].signals["d_creative"] == ["7"]


def test_the_uuid_goes_along_as_with_an_id_sync(intake: Server) -> None:
    to = "d_rd=" + quote("https://a.test/?u=${DD_UUID}", safe="")
    assert intake.get(f"/event?{to}", COOKIE).header("location") == f"https://a.test/?u={UUID}"


@pytest.mark.parametrize(
    ("call", "headers", "code"),
    [
        ("d_uuid=1", (), "102"),
        ("d_cid=nope", (), "300,104"),
        ("gdpr=1", (), "315"),
        ("c_a=%es", (), "311"),
        ("d_cb=%3Cscript%3E", (), "311"),
        ("c_a=1", ("Cookie: demdex=NOTARGET",), "171"),
    ],
)
def test_who_clicked_arrives_though_nothing_is_stored(
    intake: Server, engine: RecordingEngine, call: str, headers: tuple[str, ...], code: str
) -> None:
    answer = intake.get(f"/event?d_rtbd=json&d_creative=7&{call}&{TO}", *headers)
    assert (answer.status, answer.header("location"), answer.header("x-error")) == (302, THERE, code)
    assert answer.cookies() == []
    assert engine.events == []


def test_who_is_opted_out_in_the_store_arrives(intake: Server, engine: RecordingEngine) -> None:
    engine.opted_out.add(UUID)
    to = "d_rd=" + quote("https://a.test/?u=${DD_UUID}", safe="")
    answer = intake.get(f"/event?{to}", COOKIE)
    assert (answer.header("location"), answer.header("x-error")) == ("https://a.test/?u=", "171")


def test_who_clicked_arrives_when_nothing_can_be_stored(intake: Server, engine: RecordingEngine) -> None:
    """Too many events, or a store that fails: the click is lost, the visitor is not."""
    engine.full = True
    answer = intake.get(f"/event?d_creative=7&gdpr=0&{TO}")
    assert (answer.status, answer.header("location"), answer.header("x-error")) == (302, THERE, "0")
    assert intake.get("/event?d_creative=7").status == 429
    engine.full = False
    engine.fail_always = StoreUnavailable("disk full")
    assert intake.get(f"/event?d_creative=7&{TO}").status == 302
    assert intake.get("/event?d_creative=7").status == 503


@pytest.mark.parametrize("url", ["javascript:alert(1)", "//evil.test/", "https://a@evil.test/", "", "/x"])
def test_no_other_address_is_followed(intake: Server, engine: RecordingEngine, url: str) -> None:
    answer = intake.get("/event?d_rtbd=json&d_rd=" + quote(url, safe=""), COOKIE)
    assert (answer.status, answer.header("x-error"), answer.header("location")) == (200, "311", None)
    assert engine.events == []
