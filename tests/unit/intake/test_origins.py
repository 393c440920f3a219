"""Origins as settings list them and headers show them: what is refused, what CORS says, who is told memberships."""

from __future__ import annotations

import pytest

from arke.errors import SettingsError
from arke.intake.origins import Origin, cors, listeners, may_hear, parse_origins
from arke.settings import load_settings


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("https://shop.example", {("https", "shop.example", 443)}),
        ("HTTPS://Shop.Example", {("https", "shop.example", 443)}),
        ("http://shop.example:8080", {("http", "shop.example", 8080)}),
        ("shop.example", {("http", "shop.example", 80), ("https", "shop.example", 443)}),
        ("shop.example:8443", {("http", "shop.example", 8443), ("https", "shop.example", 8443)}),
        ("localhost", {("http", "localhost", 80), ("https", "localhost", 443)}),
        ("http://[::1]:8080", {("http", "[::1]", 8080)}),
        ("https://xn--bcher-kva.example", {("https", "xn--bcher-kva.example", 443)}),
    ],
)
def test_a_listed_origin(text: str, origins: set[tuple[str, str, int]]) -> None:
    assert parse_origins([text]) == {Origin(*one) for one in origins}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "https://",
        "https://shop.example/",
        "shop.example/privacy",
        "https://shop.example?x",
        "https://user@shop.example",
        "ftp://shop.example",
        "*.shop.example",
        "https://shop.example:0",
        "https://shop.example:99999",
        "https://shop.example:x",
        "https://shop example",
        "https://bücher.example",
        "-shop.example",
    ],
)
def test_what_is_no_origin(text: str) -> None:
    with pytest.raises(ValueError, match=r"is not an origin: .* for example https://shop.example.com"):
        parse_origins([text])


def test_the_settings_say_where_a_wrong_one_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("settings") / "arke.toml"
    file.write_text('region = 9\n[privacy]\nopt_out_origins = ["https://shop.example/x"]\n')
    with pytest.raises(
        SettingsError, match=r"arke.toml:2:2: privacy: opt_out_origins: 'https://shop.example/x'"
    ):
        load_settings(file, {})
    with pytest.raises(SettingsError, match="ARKE_PRIVACY_OPT_OUT_ORIGINS: opt_out_origins: 'a/b' is not"):
        load_settings(None, {"ARKE_PRIVACY_OPT_OUT_ORIGINS": "https://shop.example, a/b"})


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
        ((SHOP,), SHOP.upper(), True),
        ((SHOP, "*"), EVIL, True),
    ],
)
def test_cors_names_the_origin_or_nobody(origins: tuple[str, ...], origin: str, *, allowed: bool) -> None:
    headers = dict(cors(scope(origin=origin), listeners(origins)))
    assert headers.get(b"access-control-allow-origin") == (origin.encode() if allowed else None)
    assert (b"access-control-allow-credentials" in headers) == allowed
    assert headers[b"vary"] == b"Origin"
    assert cors(scope(), listeners(origins)) == []


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
    assert may_hear(asks, listeners([SHOP]), script=False) == json
    assert may_hear(asks, listeners([SHOP]), script=True) == script
    assert may_hear(asks, listeners(["*"]), script=True)
    assert may_hear(asks, listeners([]), script=True) == (
        headers.get("sec_fetch_site") in ("same-origin", "none")
    )


def test_what_is_no_origin_is_not_repeated() -> None:
    """Bytes beyond ASCII: no browser sends them, and they would stand in the answer's head."""
    assert cors(scope(origin="https://shöp.example"), listeners(())) == []
