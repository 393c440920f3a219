"""Consent, clicks and visitor ids against a running engine: what is stored, told and shown."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

import pytest

from consent_strings import tc_string
from e2e.catalogs import DPID, IN_MARKET, catalog, destination, device, visit
from e2e.engine_process import OPEN, EngineProcess, Reply
from e2e.receiver_thread import ReceiverThread
from patience import PATIENCE_S, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PRIVACY = '[privacy]\ntcf_vendor = 565\nhonour = ["gpc", "us_privacy"]\n'
AGREED = f"gdpr=1&gdpr_consent={tc_string({1, 10}, {565})}"
DECLINED = f"gdpr=1&gdpr_consent={tc_string()}"
ORG = "1A2B3C4D5E6F708190A0B0C0@AdobeOrg"


@pytest.fixture(scope="module")
def receiver() -> Iterator[ReceiverThread]:
    with ReceiverThread() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, receiver: ReceiverThread) -> Iterator[EngineProcess]:
    folder = tmp_path_factory.mktemp("engine")
    with EngineProcess(folder, settings=OPEN + PRIVACY, shards=2) as engine:
        engine.apply(catalog([destination(1, receiver.url, receiver.ca_file)]))
        yield engine


def get(engine: EngineProcess, target: str, **headers: str) -> Reply:
    connection = http.client.HTTPConnection(engine.intake, timeout=PATIENCE_S)
    connection.request(
        "GET", target, headers={key.replace("_", "-"): value for key, value in headers.items()}
    )
    answer = connection.getresponse()
    named = {name.lower(): value for name, value in answer.getheaders()}
    reply = Reply(answer.status, answer.read(), named)
    connection.close()
    return reply


def known(engine: EngineProcess, number: int) -> bool:
    return engine.client().explain(device(number), None).known


def test_who_declines_is_told_out_and_never_taken_again(
    engine: EngineProcess, receiver: ReceiverThread
) -> None:
    """One request, however often it is said; a lift is the way back."""
    engine.accept(visit(1, "camera", partner="declines"))
    wait_until(lambda: str(IN_MARKET) in receiver.segments_of("declines"), "the segment told")
    for _ in range(3):
        answer = get(engine, f"/event?d_rtbd=json&{DECLINED}", Cookie=f"demdex={device(1)}")
        assert answer.json() == {"errors": [{"code": 315, "msg": "Consent string indicates no consent"}]}
    wait_until(lambda: receiver.segments_of("declines") == set(), "the 0")
    client = engine.client()
    wait_until(lambda: {one.state for one in client.privacy_list(None)} == {"done"}, "the request to end")
    assert len(client.privacy_list(None)) == 1
    later = get(engine, f"/event?d_rtbd=json&{AGREED}", Cookie=f"demdex={device(1)}")
    assert later.headers["x-error"] == "171"
    assert engine.arke("privacy", "lift", "--uuid", device(1)).returncode == 0
    again = get(engine, f"/event?d_rtbd=json&{AGREED}", Cookie=f"demdex={device(1)}")
    assert again.json()["uuid"] == device(1)


@pytest.mark.parametrize(
    ("number", "said", "headers", "code"),
    [
        (11, "gdpr=true&gdpr_consent=%24%7BGDPR_CONSENT_565%7D", {}, "315"),
        (12, "us_privacy=1YYN", {}, "171"),
        (13, "", {"Sec_GPC": "1"}, "171"),
    ],
)
def test_without_consent_nothing_is_stored(
    engine: EngineProcess, number: int, said: str, headers: dict[str, str], code: str
) -> None:
    """And nobody opts out for good: the next request is taken."""
    cookie = f"demdex={device(number)}"
    for door in ("/event?c_see=camera", f"/ibs:dpid={DPID}&dpuuid=n-{number}", "/id?d_rtbd=json"):
        assert get(engine, f"{door}&{said}", Cookie=cookie, **headers).headers["x-error"] == code
    assert not known(engine, number)
    assert "x-error" not in get(engine, "/event?c_see=camera", Cookie=cookie).headers
    assert known(engine, number)


def test_senders_with_a_token_answer_for_consent_themselves(engine: EngineProcess) -> None:
    line = json.dumps(visit(21, "camera")).encode()
    connection = http.client.HTTPConnection(engine.intake, timeout=PATIENCE_S)
    token = engine.client().create_token("ingest", "sender", None).secret
    connection.request(
        "POST", "/v1/events", body=line, headers={"Sec-GPC": "1", "Authorization": f"Bearer {token}"}
    )
    assert json.loads(connection.getresponse().read())["accepted"] == 1
    connection.close()


def test_status_says_what_is_asked_for(engine: EngineProcess) -> None:
    shown = engine.arke("status").stdout
    assert "consent: TCF vendor 565, purposes 1, 10; honours gpc, us_privacy\n" in shown
    told: dict[str, Any] = json.loads(engine.arke("status", "--json").stdout)
    assert told["consent"] == {"tcf_vendor": 565, "tcf_purposes": [1, 10], "honour": ["gpc", "us_privacy"]}


def test_a_click_counts_and_leads_on(engine: EngineProcess, receiver: ReceiverThread) -> None:
    target = "https%3A%2F%2Fshop.test%2F%3Fc%3D%25d_creative%25"
    call = f"/event?d_event=click&c_see=camera&d_creative=7&d_dpid={DPID}&d_dpuuid=clicks&d_rd={target}"
    answer = get(engine, call, Cookie=f"demdex={device(31)}")
    assert (answer.status, answer.headers["location"]) == (302, "https://shop.test/?c=7")
    wait_until(lambda: str(IN_MARKET) in receiver.segments_of("clicks"), "the click told")


def test_an_ecid_of_the_visitor_id_service_leads_to_its_device(engine: EngineProcess) -> None:
    """A browser without a cookie gets one with its ECID; a page that knows only the ECID then speaks of it."""
    first = get(engine, f"/id?d_visid_ver=5.5.0&d_fieldgroup=MC&d_rtbd=json&d_ver=2&d_orgid={ORG}")
    ecid = first.json()["d_mid"]
    uuid = first.headers["set-cookie"].partition("demdex=")[2][:38]
    assert get(engine, f"/id?d_orgid={ORG}", Cookie=f"demdex={uuid}").json()["d_mid"] == ecid
    assert "x-error" not in get(engine, f"/event?d_mid={ecid}&d_orgid={ORG}&c_see=camera").headers
    explained = engine.client().explain(uuid, None)
    assert IN_MARKET in {segment.id for segment in explained.segments if segment.status == 1}
    stranger = get(engine, f"/id?d_cid=4%01{ecid}&d_orgid={ORG}")
    assert stranger.json()["d_mid"] == ecid
    assert "set-cookie" not in stranger.headers
