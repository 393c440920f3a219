"""Which page asks, by the headers that browsers send: what CORS says, and who is told memberships."""

from __future__ import annotations

import pytest

from arke.intake.origins import cors, may_hear

SHOP, EVIL = "https://shop.example", "https://evil.example"


def scope(**headers: str) -> dict[str, object]:
    return {"headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]}


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), EVIL, True),
        ((), "null", True),
        (("*",), EVIL, True),
        ((SHOP,), SHOP, True),
        ((SHOP,), EVIL, False),
        ((SHOP,), "null", False),
        ((SHOP,), SHOP.upper(), False),
        ((SHOP, "*"), EVIL, True),
    ],
)
def test_cors_names_the_origin_or_nobody(origins: tuple[str, ...], origin: str, *, allowed: bool) -> None:
    headers = dict(cors(scope(origin=origin), origins))
    assert headers.get(b"access-control-allow-origin") == (origin.encode() if allowed else None)
    assert (b"access-control-allow-credentials" in headers) == allowed
    assert headers[b"vary"] == b"Origin"
    assert cors(scope(), origins) == []


@pytest.mark.parametrize(
    ("headers", "json", "script"),
    [
        ({}, True, False),
        ({"origin": SHOP}, True, True),
        ({"origin": EVIL, "referer": f"{SHOP}/"}, False, False),
        ({"referer": f"{SHOP}/basket?x"}, True, True),
        ({"referer": f"{SHOP}:8443/"}, True, False),
        ({"referer": f"{SHOP}@evil.example/"}, True, False),
        ({"referer": "https://[evil"}, True, False),
        ({"referer": f"{EVIL}/?{SHOP}/"}, True, False),
        ({"sec_fetch_site": "same-origin"}, True, True),
        ({"sec_fetch_site": "none"}, True, True),
        ({"sec_fetch_site": "same-site"}, True, False),
        ({"sec_fetch_site": "cross-site", "referer": f"{SHOP}/"}, True, True),
        ({"sec_fetch_site": "cross-site", "origin": EVIL}, False, False),
    ],
)
def test_who_may_hear(headers: dict[str, str], *, json: bool, script: bool) -> None:
    asks = scope(**headers)
    assert may_hear(asks, (SHOP,), script=False) == json
    assert may_hear(asks, (SHOP,), script=True) == script
    assert may_hear(asks, ("*",), script=True)
    assert may_hear(asks, (), script=True) == (headers.get("sec_fetch_site") in ("same-origin", "none"))
