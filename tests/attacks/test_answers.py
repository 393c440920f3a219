"""Finding 9: what a stranger, or a page of another site, reads from the public endpoints of the running program."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from e2e.catalogs import DPID, IN_MARKET, STILL_LOOKING, TOLD, catalog, device, visit
from e2e.engine_process import OPEN, EngineProcess, Reply, request

if TYPE_CHECKING:
    from collections.abc import Iterator

SHOP, EVIL = "https://shop.example", "https://evil.example"
TELLABLE, ONBOARDED = 1003, 1004
JSON = "d_rtbd=json&d_cts=2"
VICTIM = device(1)
VICTIMS_ID = f"d_cid={DPID}%01p1"


def the_catalog() -> str:
    value = json.loads(catalog([]))
    value["traits"] += [
        {"id": TELLABLE, "kind": "onboarded", "d_sid": True},
        {"id": ONBOARDED, "kind": "onboarded"},
    ]
    return json.dumps(value)


def engine_with(folder: Any, answers: str) -> EngineProcess:
    engine = EngineProcess(folder, settings=f"{OPEN}[answers]\n{answers}\n").start()
    engine.apply(the_catalog())
    engine.accept(visit(1, "camera", memberships={TOLD: 1}))
    return engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """With the defaults."""
    running = engine_with(tmp_path_factory.mktemp("default"), "")
    yield running
    running.stop()


@pytest.fixture(scope="module")
def listed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """With one page that may read."""
    running = engine_with(tmp_path_factory.mktemp("listed"), f'origins = ["{SHOP}"]')
    yield running
    running.stop()


def ask(engine: EngineProcess, query: str, cookie: str | None = None, **headers: str) -> Reply:
    """A public `/event`; underscores in a header's name are dashes."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if cookie is not None:
        given["Cookie"] = f"demdex={cookie}"
    return request(engine.intake, "GET", f"/event?{query}", headers=given)


def body(answer: Reply) -> dict[str, Any]:
    """The JSON of an answer, also of a script."""
    found = re.fullmatch(rb"(?:[\w.]+\()?(\{.*\})\)?", answer.body)
    assert found is not None, answer.body
    told: dict[str, Any] = json.loads(found[1])
    return told


def reads(answer: Reply) -> bool:
    """Whether it tells memberships: all of them, or nothing of them."""
    told = body(answer)
    if "segments" not in told:
        assert "traits" not in told
        return False
    assert {IN_MARKET, STILL_LOOKING, TOLD} <= set(told["segments"])
    return True


def test_memberships_are_told_by_cookie_and_uuid(engine: EngineProcess) -> None:
    """Finding 9: the device's own browser, and who was given its UUID, read as ever."""
    assert reads(ask(engine, JSON, cookie=VICTIM))
    assert reads(ask(engine, f"{JSON}&d_uuid={VICTIM}"))
    assert reads(ask(engine, f"{JSON}&{VICTIMS_ID}", cookie=VICTIM))


WAYS = {
    "d_cid": VICTIMS_ID,
    "d_cid_ic": "d_cid_ic=acme%01p1",
    "state": f"{VICTIMS_ID}%011",
    "old": f"d_dpid={DPID}&d_dpuuid=p1",
    "unprefixed": f"dpid={DPID}&dpuuid=p1",
    "coppa": f"{VICTIMS_ID}&d_coppa=1",
    "beside an unknown one": f"d_cid={DPID}%01nobody&{VICTIMS_ID}",
    "jsonp": f"{VICTIMS_ID}&d_cb=f",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_stranger_with_a_partner_id_learns_nothing(engine: EngineProcess, way: str) -> None:
    """Finding 9, in two steps: neither memberships nor the UUID by which to ask for them, and no cookie that would
    make the stranger's browser that device.
    """
    answer = ask(engine, f"{JSON}&{WAYS[way]}")
    assert set(body(answer)) == {"stuff", "dcs_region", "tid"}
    assert "set-cookie" not in answer.headers
    assert VICTIM.encode() not in answer.body
    assert VICTIM not in str(answer.headers)


def test_nor_by_an_id_sync_and_its_redirect(engine: EngineProcess) -> None:
    """Finding 9, in two steps: `${DD_UUID}` is empty where only an id led to the device."""
    redir = "https%3A%2F%2Fevil.example%2F%3Fu%3D%24%7BDD_UUID%7D%26x%3D1"
    stranger = request(engine.intake, "GET", f"/ibs:dpid={DPID}&dpuuid=p1&redir={redir}")
    assert (stranger.status, stranger.headers["location"]) == (302, f"{EVIL}/?u=&x=1")
    assert "set-cookie" not in stranger.headers
    told = request(engine.intake, "GET", f"/ibs:dpid={DPID}&dpuuid=p1&{JSON}")
    assert set(body(told)) == {"stuff", "dcs_region", "tid"}
    own = {"Cookie": f"demdex={VICTIM}"}
    visitor = request(engine.intake, "GET", f"/ibs:dpid={DPID}&dpuuid=p1&redir={redir}", headers=own)
    assert visitor.headers["location"] == f"{EVIL}/?u={VICTIM}&x=1"


def test_the_second_step_is_a_device_of_the_strangers_own(engine: EngineProcess) -> None:
    """Finding 9: whoever asks without an id gets a new device, and with it reads itself only; even after it took
    the victim's id over.
    """
    first = ask(engine, f"{JSON}&c_see=bag")
    own = body(first)["uuid"]
    assert own != VICTIM
    assert f"demdex={own}" in first.headers["set-cookie"]
    engine.accept(visit(50, "camera"))
    second = body(ask(engine, f"{JSON}&d_cid={DPID}%01p50", cookie=own))
    assert (second["uuid"], second["segments"]) == (own, [])


def test_an_unknown_id_is_the_callers_own(engine: EngineProcess) -> None:
    """Finding 9: a new device is told and remembered as in Audience Manager."""
    answer = ask(engine, f"{JSON}&d_cid={DPID}%01brandnew&c_see=camera")
    told = body(answer)
    assert told["segments"] == [IN_MARKET, STILL_LOOKING]
    assert f"demdex={told['uuid']}" in answer.headers["set-cookie"]


def test_a_token_reads_everything(engine: EngineProcess) -> None:
    """Finding 9: with a token of scope ingest nothing is held back, whatever the origin; with another's, or a
    wrong one, all is as public as ever, or refused.
    """
    made = engine.arke("token", "create", "--scope", "ingest").stdout.strip()
    answer = ask(engine, f"{JSON}&{VICTIMS_ID}", Authorization=f"Bearer {made}", Origin=EVIL)
    assert reads(answer)
    assert body(answer)["uuid"] == VICTIM
    assert not reads(ask(engine, f"{JSON}&{VICTIMS_ID}", Authorization="Bearer a-proxys-own"))
    assert ask(engine, f"{JSON}&{VICTIMS_ID}", Authorization="Bearer arke_wrong").status == 401


CALLS: dict[str, tuple[str, dict[str, str], bool, bool]] = {
    "another site by CORS": (JSON, {"Origin": EVIL}, False, False),
    "an opaque origin": (JSON, {"Origin": "null"}, False, False),
    "the shop by CORS": (JSON, {"Origin": SHOP}, False, True),
    "one that begins like the shop": (JSON, {"Origin": f"{SHOP}.evil.example"}, False, False),
    "the shop on another port": (JSON, {"Origin": f"{SHOP}:8443"}, False, False),
    "our own page": (JSON, {"Origin": EVIL, "Sec_Fetch_Site": "same-origin"}, True, True),
    "a typed address": (JSON, {"Sec_Fetch_Site": "none"}, True, True),
    "a page that cannot read": (JSON, {"Sec_Fetch_Site": "cross-site", "Referer": f"{EVIL}/"}, True, True),
    "a server": (JSON, {}, True, True),
    "a script of another site": (
        f"{JSON}&d_cb=f",
        {"Sec_Fetch_Site": "cross-site", "Referer": f"{EVIL}/x?y"},
        False,
        False,
    ),
    "a script of the shop": (
        f"{JSON}&d_cb=f",
        {"Sec_Fetch_Site": "same-site", "Referer": f"{SHOP}/x?y"},
        False,
        True,
    ),
    "a script of an old browser": (f"{JSON}&d_cb=f", {"Referer": f"{SHOP}/"}, False, True),
    "a script of nobody knows whom": (f"{JSON}&d_cb=f", {}, False, False),
    "a script of a page that hides": (f"{JSON}&d_cb=f", {"Sec_Fetch_Site": "cross-site"}, False, False),
    "a script that says it is the shop's": (
        f"{JSON}&d_cb=f",
        {"Referer": f"{EVIL}/{SHOP}/"},
        False,
        False,
    ),
    "a script of our own page": (f"{JSON}&d_cb=f", {"Sec_Fetch_Site": "same-origin"}, True, True),
}
"""Who asks: the query, its headers, and whether it reads by default, and where the shop is listed."""


@pytest.mark.parametrize("who", CALLS)
def test_pages_of_other_sites_read_only_where_they_are_named(
    engine: EngineProcess, listed: EngineProcess, who: str
) -> None:
    """Finding 9: a page sends its visitor's cookie along; what comes back is read by named origins only."""
    query, headers, by_default, where_listed = CALLS[who]
    assert reads(ask(engine, query, cookie=VICTIM, **headers)) == by_default
    assert reads(ask(listed, query, cookie=VICTIM, **headers)) == where_listed


def test_where_origins_are_named_only_those_read_anything(
    engine: EngineProcess, listed: EngineProcess
) -> None:
    """Finding 9: by default any page learns that its event arrived, and the UUID, as in Audience Manager; with a
    list no other gets CORS, nor a UUID by script.
    """
    for origin, allowed in ((EVIL, False), (SHOP, True)):
        by_default = ask(engine, JSON, cookie=VICTIM, Origin=origin)
        assert by_default.headers["access-control-allow-origin"] == origin
        assert body(by_default)["uuid"] == VICTIM
        strict = ask(listed, JSON, cookie=VICTIM, Origin=origin)
        assert strict.headers.get("access-control-allow-origin") == (origin if allowed else None)
        assert ("access-control-allow-credentials" in strict.headers) == allowed
        preflight = request(listed.intake, "OPTIONS", "/event", headers={"Origin": origin})
        assert preflight.headers.get("access-control-allow-origin") == (origin if allowed else None)
        script = ask(listed, f"{JSON}&d_cb=f", cookie=VICTIM, Referer=f"{origin}/")
        assert (body(script).get("uuid") == VICTIM) == allowed
    assert body(ask(engine, f"{JSON}&d_cb=f", cookie=VICTIM, Referer=f"{EVIL}/"))["uuid"] == VICTIM


def test_off_tells_nobody_without_a_token(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Finding 9."""
    engine = engine_with(tmp_path_factory.mktemp("off"), 'memberships = "off"\norigins = ["*"]')
    try:
        assert not reads(ask(engine, JSON, cookie=VICTIM))
        assert not reads(ask(engine, f"{JSON}&d_uuid={VICTIM}"))
        assert "uuid" not in body(ask(engine, f"{JSON}&{VICTIMS_ID}"))
    finally:
        engine.stop()


def test_any_is_audience_managers_behaviour(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Finding 9: one setting each for by id and from anywhere."""
    engine = engine_with(tmp_path_factory.mktemp("any"), 'memberships = "any"\norigins = ["*"]')
    try:
        answer = ask(engine, f"{JSON}&{VICTIMS_ID}", Origin=EVIL)
        assert reads(answer)
        assert f"demdex={VICTIM}" in answer.headers["set-cookie"]
        assert reads(ask(engine, f"{JSON}&{VICTIMS_ID}&d_cb=f"))
    finally:
        engine.stop()


def test_d_sid_realises_only_what_anybody_may_tell(engine: EngineProcess) -> None:
    """Finding 9: the other traits are left out with a warning, the rest of the event counts."""
    answer = ask(engine, f"{JSON}&d_sid={TELLABLE},{ONBOARDED},1002,999&c_see=camera", cookie=device(60))
    told = body(answer)
    assert set(told["traits"]) == {1000, TELLABLE}
    assert [one["code"] for one in told["errors"]] == [10]
    clean = ask(engine, f"{JSON}&d_sid={TELLABLE}", cookie=device(60))
    assert "x-error" not in clean.headers
    made = engine.arke("token", "create", "--scope", "ingest").stdout.strip()
    trusted = ask(engine, f"{JSON}&d_sid={ONBOARDED}", device(61), Authorization=f"Bearer {made}")
    assert body(trusted)["traits"] == [ONBOARDED]
    engine.accept({"uuid": device(62), "traits": [ONBOARDED]})
    facts = engine.client().explain(device(62), None)
    assert [trait.id for trait in facts.traits] == [ONBOARDED]
