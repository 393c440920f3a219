"""Reading `egress.proxy`: URLs, references, and what is refused without being repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from arke.delivery.https.proxy import Proxy, check_proxy, parse_proxy
from arke.errors import InvalidInput, SettingsError
from arke.settings import load_settings

GOOD = {
    "http://proxy.example:3128": Proxy("proxy.example", 3128),
    "HTTP://Proxy.Example:3128/": Proxy("proxy.example", 3128),
    "http://proxy.example": Proxy("proxy.example", 80),
    "https://proxy.example": Proxy("proxy.example", 443, secure=True),
    "http://10.0.0.1:3128": Proxy("10.0.0.1", 3128),
    "http://[fd00::1]:3128": Proxy("fd00::1", 3128),
    "http://env:PROXY@proxy.example:3128": Proxy("proxy.example", 3128, reference="env:PROXY"),
    "http://arke:env:PROXY@proxy.example:3128": Proxy(
        "proxy.example", 3128, user="arke", reference="env:PROXY"
    ),
    "http://file:/run/secrets/proxy@proxy.example:3128": Proxy(
        "proxy.example", 3128, reference="file:/run/secrets/proxy"
    ),
}
BAD = (
    "proxy.example:3128", "socks5://proxy.example:1080", "http://", "http://proxy.example:3128/path",
    "http://proxy.example:99999", "http://arke:canary@proxy.example:3128", "http://canary@proxy.example:3128",
    "http://env:@proxy.example", "http://proxy.example:3128?canary", "env:not a name", "file:", "http://127.1:3128",
    "http://proxy example:3128",
)  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_a_proxy_is_read(url: str) -> None:
    assert parse_proxy(url) == GOOD[url]
    check_proxy(url)


@pytest.mark.parametrize("setting", BAD)
def test_what_is_no_proxy_is_refused(setting: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        check_proxy(setting)
    assert "canary" not in str(refused.value)


def test_a_url_that_is_a_secret_may_hold_a_password() -> None:
    proxy = parse_proxy("http://arke:p%40ss@proxy.example:3128", secret=True)
    assert proxy.login == "arke:p@ss"
    assert "p@ss" not in f"{proxy} {proxy!r}"


def test_the_settings_say_where_it_is_wrong(tmp_path: Path) -> None:
    file = tmp_path / "arke.toml"
    file.write_text('[egress]\nproxy = "http://arke:canary@proxy.example:3128"\n')
    with pytest.raises(SettingsError, match="proxy: a proxy's user name and password") as wrong:
        load_settings(file, {})
    assert "canary" not in str(wrong.value)


def test_proxies_of_the_environment_are_not_settings() -> None:
    assert load_settings(None, {"HTTPS_PROXY": "http://a:1", "ALL_PROXY": "http://b:2"}).egress.proxy == ""
    assert load_settings(None, {"ARKE_EGRESS_PROXY": "http://a:1"}).egress.proxy == "http://a:1"
