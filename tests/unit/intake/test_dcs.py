"""A DCS request understood: parameters, refusals and warnings (dossier 14)."""

from __future__ import annotations

from urllib.parse import quote

import msgspec
import pytest

from arke.domain.event import DeclaredId, IncomingEvent
from arke.intake import dcs
from arke.intake.dcs import DcsRequest, Visitor
from unit.intake.directory import Directory

UUID = "07955261652886032950143702505894272138"
OTHER = "22920112968019678612904394744954398990"
ORG = "5DC5123F5245B1D20A490D46@AdobeOrg"
HERE = Visitor(headers={"host": "intake.example"})


def understand(text: str, visitor: Visitor = HERE) -> DcsRequest:
    return dcs.parse(text.encode(), visitor, Directory())


def event_of(text: str, visitor: Visitor = HERE) -> IncomingEvent:
    request = understand(text, visitor)
    assert request.event is not None, request.errors
    return request.event


def codes_of(request: DcsRequest) -> list[int]:
    return [error.code for error in request.errors]


@pytest.mark.parametrize(
    ("text", "signals"),
    [
        ("c_a=1", {"c_a": ["1"]}),
        ("c_a=1,2,3", {"c_a": ["1,2,3"]}),
        ("c_a=1%2C2", {"c_a": ["1,2"]}),
        ("c_a=1&c_a=2,3", {"c_a": ["1", "2,3"]}),
        (
            "c_Pr%C3%A9nom=x&c_utm%3Asource=y&c_a.b=z&a%20b=1",
            {"c_Prénom": ["x"], "c_utm:source": ["y"], "c_a.b": ["z"], "a b": ["1"]},
        ),
        ("c_a=", {"c_a": [""]}),
        ("price-123=x&plain=y", {"price-123": ["x"], "plain": ["y"]}),
        ("p_age=23", {"p_age": ["23"]}),
        ("d_country=UK&d_zx=1", {"d_country": ["UK"], "d_zx": ["1"]}),
        ("d_ptfm=ios&d_caller=app", {"d_ptfm": ["ios"], "d_caller": ["app"]}),
        ("h_referer=https%3A%2F%2Fa.example%2F%3Fx%3D1,2", {"h_referer": ["https://a.example/?x=1,2"]}),
        ("C_A=1&c_a=2", {"C_A": ["1"], "c_a": ["2"]}),
    ],
)
def test_signals(text: str, signals: dict[str, list[str]]) -> None:
    found = event_of(text).signals
    found.pop("h_host", None)
    assert found == signals


@pytest.mark.parametrize("key", sorted(dcs.PROTOCOL_KEYS - {"d_uuid", "d_mid", "d_orgid", "d_cb"}))
def test_keys_of_the_protocol_are_not_signals(key: str) -> None:
    assert set(event_of(f"{key}=0&c_x=1&d_uuid={UUID}").signals) <= {"c_x", "h_host"}


def test_headers_are_signals_and_a_parameter_outranks_them() -> None:
    visitor = Visitor(
        headers={
            "host": "a.example",
            "user-agent": "UA/1",
            "accept-language": "en-US,en;q=0.9",
            "referer": "https://a/",
            "date": "now",
        }
    )
    signals = event_of("h_user-agent=UA/2", visitor).signals
    assert signals == {
        "h_host": ["a.example"],
        "h_user-agent": ["UA/2"],
        "h_accept-language": ["en-US,en;q=0.9"],
        "h_referer": ["https://a/"],
        "h_date": ["now"],
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("d_uuid=1", 102),
        ("d_uuid=", 102),
        (f"d_uuid={UUID}0", 102),
        ("d_uuid=" + "x" * 38, 102),
        ("d_uuid=" + quote("\u0661" * 38), 102),
        (f"d_mid=1&d_orgid={ORG}", 101),
        ("d_mid=", 101),
        (f"d_mid={UUID}&d_orgid=nonsense", 2),
        ("c_a=%es", 311),
        ("c_a=%ec%ea%eb", 311),
        ("d_cb=alert(1)", 311),
        ("d_cb=", 311),
        ("d_cb=" + "a" * 129, 311),
        ("gdpr=1", 315),
        ("gdpr=1&gdpr_consent=", 315),
        ("gdpr=maybe", 315),
        ("gdpr=1&gdpr_consent=${GDPR_CONSENT_565}", 315),
        ("&".join(f"c_{n}=1" for n in range(300)), 311),
        ("&".join(["c_a=1,2"] * 257), 311),
        ("&".join("c_a=1" for _ in range(600)), 311),
    ],
)
def test_a_request_is_dropped_whole(text: str, code: int) -> None:
    request = understand(text + "&d_rtbd=json")
    assert request.event is None
    assert codes_of(request) == [code]
    assert request.json


def test_a_long_list_in_one_value_is_taken() -> None:
    """As on /v1/events; how many of its parts are compared is the matcher's to bound."""
    text = ",".join(f"event{number}" for number in range(300))
    request = understand(f"c_events={text}&d_rtbd=json")
    assert request.event is not None
    assert request.event.signals["c_events"] == [text]


def test_no_host_header_is_code_100() -> None:
    assert codes_of(understand("c_a=1", Visitor())) == [100]


def test_an_opted_out_visitor_is_code_171_whatever_he_passes() -> None:
    visitor = Visitor(headers={"host": "h"}, opted_out=True)
    request = understand(f"d_uuid={UUID}&d_coppa=1", visitor)
    assert request.event is None
    assert codes_of(request) == [171]


@pytest.mark.parametrize("text", ["gdpr=0", "gdpr=1&gdpr_consent=CPabc", "gdpr_consent=x"])
def test_consent_that_cannot_be_called_missing_lets_the_request_pass(text: str) -> None:
    assert understand(text).event is not None


def test_who_the_visitor_is() -> None:
    """d_uuid outranks the cookie; the cookie does not count under d_coppa."""
    with_cookie = msgspec.structs.replace(HERE, cookie_uuid=OTHER)
    assert event_of(f"d_uuid={UUID}", with_cookie).uuid == UUID
    assert event_of("c_a=1", with_cookie).uuid == OTHER
    assert event_of("d_coppa=1", with_cookie).uuid is None
    assert event_of("d_coppa=true", with_cookie).uuid is None
    assert event_of("d_coppa=0", with_cookie).uuid == OTHER
    assert event_of("c_a=1").uuid is None


def test_an_ecid_is_an_id_of_name_space_four() -> None:
    assert event_of(f"d_mid={UUID}&d_orgid={quote(ORG)}&d_cid=123%01x").ids == (
        DeclaredId(4, UUID),
        DeclaredId(123, "x"),
    )


def test_all_ids_invalid_drops_an_event_that_then_belongs_to_nobody() -> None:
    dropped = understand("d_cid=nope&c_a=1")
    assert dropped.event is None
    assert codes_of(dropped) == [300, 104]
    kept = understand(f"d_cid=nope&c_a=1&d_uuid={UUID}")
    assert kept.event is not None
    assert codes_of(kept) == [300, 104]


@pytest.mark.parametrize(
    ("text", "traits", "codes"),
    [
        ("d_sid=24", (24,), []),
        ("d_sid=24,25&d_sid=26", (24, 25, 26), []),
        ("d_sid=24,24", (24,), []),
        ("d_sid=24,x", (24,), [10]),
        ("d_sid=-1", (), [10]),
        ("d_sid=", (), []),
        ("d_sid=" + ",".join(str(n) for n in range(1, 400)), tuple(range(1, 257)), [10]),
    ],
)
def test_traits_told_directly(text: str, traits: tuple[int, ...], codes: list[int]) -> None:
    request = understand(text)
    assert request.event is not None
    assert request.event.traits == traits
    assert codes_of(request) == codes


@pytest.mark.parametrize(
    ("text", "source"),
    [("d_tdpid=7", 7), ("d_tdpid_ic=acme", 123), ("d_tdpid=7&d_tdpid_ic=acme", 7), ("", None)],
)
def test_traits_of_one_source_only(text: str, source: int | None) -> None:
    assert event_of(text).trait_source == source


@pytest.mark.parametrize("text", ["d_tdpid=x", "d_tdpid_ic=nobody"])
def test_an_unknown_trait_source_evaluates_nothing_and_says_so(text: str) -> None:
    request = understand(text + "&c_a=1&d_sid=5&d_cid=123%01x")
    assert request.event == IncomingEvent(ids=(DeclaredId(123, "x"),), browser=True)
    assert codes_of(request) == [10]


@pytest.mark.parametrize("name", ["cb", "a.b.c", "$", "_x1", "window.cbs[12]", "DIL.cb_1"])
def test_callbacks_that_are_function_names(name: str) -> None:
    assert understand("d_cb=" + quote(name)).callback == name


@pytest.mark.parametrize("name", ["a b", "a;b", "1a", "a.", "a[b]", "a()", "<script>", "a\n", "é", "a['x']"])
def test_callbacks_that_are_not(name: str) -> None:
    request = understand("d_cb=" + quote(name))
    assert request.callback is None
    assert codes_of(request) == [311]


def test_how_the_sender_wants_to_be_answered() -> None:
    request = understand("d_rtbd=json&d_dst=1&d_cts=2&d_jsonv=1&d_nsid=0")
    assert (request.json, request.wants_dests, request.wants_memberships) == (True, True, True)
    plain = understand("d_rtbd=xml&d_dst=0&d_cts=3")
    assert (plain.json, plain.wants_dests, plain.wants_memberships) == (False, False, False)


def test_opting_out_needs_no_consent() -> None:
    request = dcs.parse(b"gdpr=1", HERE, Directory(), opting_out=True)
    assert request.errors == ()
