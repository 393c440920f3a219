"""URLs: what is accepted, how it is normalised, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arke.delivery.https.endpoint import parse_endpoint
from arke.errors import InvalidInput
from unit.delivery.egress_corpus import REFUSED_URLS

ACCEPTED = {
    "https://dsp.example.com/segments/aam": ("dsp.example.com", 443, "/segments/aam", "dsp.example.com"),
    "HTTPS://DSP.Example.COM": ("dsp.example.com", 443, "/", "dsp.example.com"),
    "https://dsp.example.com:8443/a?b=c": ("dsp.example.com", 8443, "/a?b=c", "dsp.example.com:8443"),
    "https://dsp.example.com?b=c": ("dsp.example.com", 443, "/?b=c", "dsp.example.com"),
    "https://dsp.example.com./a": ("dsp.example.com", 443, "/a", "dsp.example.com"),
    "https://bücher.example/": ("xn--bcher-kva.example", 443, "/", "xn--bcher-kva.example"),
    "https://192.0.2.10/": ("192.0.2.10", 443, "/", "192.0.2.10"),
    "https://[2001:DB8:0::1]:444/": ("2001:db8::1", 444, "/", "[2001:db8::1]:444"),
    "https://localhost/": ("localhost", 443, "/", "localhost"),
    "https://①②⑦.⓪.⓪.①/": ("127.0.0.1", 443, "/", "127.0.0.1"),  # becomes what it looks like, then is judged
}


@pytest.mark.parametrize("url", ACCEPTED)
def test_accepted(url: str) -> None:
    """Host, port, request target and Host header."""
    endpoint = parse_endpoint(url)
    assert (endpoint.host, endpoint.port, endpoint.target, endpoint.authority) == ACCEPTED[url]


@pytest.mark.parametrize("url", REFUSED_URLS)
def test_refused(url: str) -> None:
    """Everything that is not plain https, or that two programs could read differently."""
    with pytest.raises(InvalidInput):
        parse_endpoint(url)


@given(st.text(max_size=40), st.text(max_size=20))
def test_no_text_crashes_the_parser(host: str, rest: str) -> None:
    """Any text is an endpoint that reads back as itself, or invalid input."""
    try:
        endpoint = parse_endpoint(f"https://{host}/{rest}")
    except InvalidInput:
        return
    assert parse_endpoint(f"https://{endpoint.authority}{endpoint.target}") == endpoint


def test_an_error_does_not_repeat_what_may_be_secret() -> None:
    """Passwords and keys in a URL do not show in errors, and queries not in texts about an endpoint."""
    with pytest.raises(InvalidInput) as caught:
        parse_endpoint("https://canary:canary@dsp.example.com/?key=canary")
    assert "canary" not in str(caught.value)
    endpoint = parse_endpoint("https://dsp.example.com/a?key=canary")
    assert str(endpoint) == "https://dsp.example.com/a?..."
    assert "canary" not in repr(endpoint)
