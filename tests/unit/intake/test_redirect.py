"""Redirects of id syncs: only to web addresses, nothing smuggled in."""

from __future__ import annotations

import pytest

from arke.intake.redirect import fill

UUID = "07955261652886032950143702505894272138"


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("https://a.example/?u=${DD_UUID}", f"https://a.example/?u={UUID}"),
        (
            "http://a.example:8080/x?u=${DD_UUID}&v=${DD_UUID}#f",
            f"http://a.example:8080/x?u={UUID}&v={UUID}#f",
        ),
        ("https://a.example/?u=%24%7BDD_UUID%7D", f"https://a.example/?u={UUID}"),
        ("https://a.example/?u=$%7bdd_uuid%7d", f"https://a.example/?u={UUID}"),
        ("https://a.example/?g=${GDPR}&c=${GDPR_CONSENT_565}", "https://a.example/?g=1&c=CP%26x"),
        ("https://a.example/${OTHER}", "https://a.example/${OTHER}"),
        ("https://a.example/é", "https://a.example/%C3%A9"),
        ("https://a.example/%20", "https://a.example/%20"),
        ("https://[::1]/x", "https://[::1]/x"),
    ],
)
def test_macros_are_filled(url: str, location: str) -> None:
    assert fill(url, uuid=UUID, gdpr="1", gdpr_consent="CP&x") == location


def test_without_gdpr_its_macros_say_no() -> None:
    assert fill("https://a/?g=${GDPR}&c=${GDPR_CONSENT_1}", uuid=UUID) == "https://a/?g=0&c="


@pytest.mark.parametrize(
    "url",
    [
        "", "/relative", "//a.example/", "a.example", "javascript:alert(1)", "data:text/html,x", "ftp://a/",
        "https:a.example", "https:/a.example", "https:///x", "https://", "https://user@a.example/",
        "https://a.example@evil.example/", "https://a.example/\r\nSet-Cookie: x=1", "https://a.example/\x00",
        "https://a.example\\@evil/", "https://a example/", "https://a.example:99999/", "https://a.example:x/",
        "https://a.example:0/", "https://ex\u00e4mple/", "https://[::1", "https://a/<script>", "\thttps://a/",
        "https://a.example/" + "x" * 9_000,
    ],
)  # fmt: skip
def test_anything_but_an_absolute_web_address_is_refused(url: str) -> None:
    assert fill(url, uuid=UUID) is None
