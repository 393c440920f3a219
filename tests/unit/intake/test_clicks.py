"""Where a click pixel leads: its address however it was encoded, with the call's own parameters in it."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from arke.intake.redirect import click

UUID = "07955261652886032950143702505894272138"
SHOP = "https://shop.test/?c=%d_creative%"


def location(call: str, uuid: str = "") -> str | None:
    _, found = click(call.encode())
    assert found is not None
    return found.location(uuid)


@pytest.mark.parametrize(
    "address",
    [
        quote(SHOP, safe=""),
        quote(quote(SHOP, safe=""), safe=""),
        quote(quote(SHOP, safe="%"), safe="%").replace("%", "%25", 1).replace("%25d_creative", "%d_creative"),
        SHOP,
        quote(SHOP, safe=":/?="),
        "https%253A%252F%252Fshop.test%252F%253Fc%253D%25d_creative%25",
        "https%3A//shop.test/%3Fc%3D%25d_creative%25",
    ],
)
def test_an_address_is_taken_however_often_it_was_encoded(address: str) -> None:
    for call in (f"d_creative=7&d_rd={address}", f"d_rd={address}&d_creative=7&c_x=%zz"):
        assert location(call) == "https://shop.test/?c=7"


def test_the_rest_of_the_call_is_handed_back() -> None:
    assert click(b"c_a=1&d_rd=https://a/&c_b=2")[0] == b"c_a=1&c_b=2"
    assert click(b"c_a=1&xd_rd=https://a/") == (b"c_a=1&xd_rd=https://a/", None)
    assert click(b"c_a=1") == (b"c_a=1", None)


@pytest.mark.parametrize(
    ("macro", "value"),
    [
        ("%d_creative%", "12%2035"),
        ("%D_CREATIVE%", ""),
        ("%d_id%", "411"),
        ("%d_dpid%", "411"),
        ("%d_dpuuid%", "a%2Fb%26c%3Dd%23e"),
        ("%c_own%", "first"),
        ("%d_uuid%", ""),
        ("%not_there%", ""),
        ("%gdpr_applies%", "1"),
        ("%gdpr_consent%", "CP%26x"),
        ("${GDPR}", "1"),
        ("${GDPR_CONSENT_565}", "CP%26x"),
        ("${DD_UUID}", UUID),
        ("%24%7BDD_UUID%7D", UUID),
        ("%da%20%d0%af", "%da%20%d0%af"),
        ("%evil%", ""),
        ("%campaign%", "a%26b"),
        ("%CAMPAIGN%", "%CAMPAIGN%"),
        ("%adid%", "%adid%"),
        ("%ca%d_creative%", "%ca12%2035"),
    ],
)
def test_macros(macro: str, value: str) -> None:
    """Values go in percent-encoded, so that none of them becomes more than a value; escapes stay escapes."""
    call = (
        "d_creative=12+35&d_dpid=411&d_dpuuid=a%2Fb%26c%3Dd%23e&c_own=first&c_own=second&gdpr=true"
        "&gdpr_consent=CP%26x&evil=%24%7BDD_UUID%7D&campaign=a%26b&d_rd="
    )
    if macro == "%evil%":
        value = "%24%7BDD_UUID%7D"
    address = quote(f"https://a.example/p?x={macro}&y=1#f", safe="")
    assert location(call + address, UUID) == f"https://a.example/p?x={value}&y=1#f"


def test_without_gdpr_nothing_is_said_of_consent() -> None:
    address = quote("https://a/?g=%gdpr_applies%&c=%gdpr_consent%&d=${GDPR}", safe="")
    assert location(f"gdpr_consent=CPx&d_rd={address}") == "https://a/?g=0&c=&d=0"


@pytest.mark.parametrize(
    ("written", "followed"),
    [
        ("https://a/?q=two%20words", "https://a/?q=two%20words"),
        ("https%3A%2F%2Fa%2F%3Fq%3Dtwo%20words%22", "https://a/?q=two%20words%22"),
        ("%20https%3A%2F%2Fa%2F%20", "https://a/"),
        ("https%3A%2F%2Fa%20b%2F", None),
        ("https%3A%2F%2Fa%3Cb%2F", None),
    ],
)
def test_blanks_in_an_address_are_encoded_again(written: str, followed: str | None) -> None:
    assert location(f"d_rd={written}") == followed


def test_a_plus_stays_a_plus() -> None:
    assert location("d_rd=https%3A%2F%2Fa%2F%3Fq%3Da+b%2Bc") == "https://a/?q=a+b+c"


@pytest.mark.parametrize(
    "url",
    [
        "", "/relative", "//a.example/", "a.example", "javascript:alert(1)", "data:text/html,x", "ftp://a/",
        "https:a.example", "https://", "https://user@a.example/", "https://a.example@evil.example/",
        "https://a.example/\r\nSet-Cookie: x=1", "https://a.example\\@evil/", "https://ex\u00e4mple/",
        "javascript%3Aalert(1)", "https%253A%252F%252Fa", "%d_to%", "https://%d_to%/",
    ],
)  # fmt: skip
def test_anything_but_an_absolute_web_address_leads_nowhere(url: str) -> None:
    assert location("d_to=user%40evil.example&d_rd=" + quote(url, safe="")) is None
