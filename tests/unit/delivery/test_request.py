"""Request heads: exact bytes, no injection, nothing secret in errors."""

from __future__ import annotations

import pytest

from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.request import HeadTemplate, OutboundRequest, exact_head
from arke.errors import InvalidInput

ENDPOINT = parse_endpoint("https://dsp.example.com:8443/segments?x=1")


def test_a_head_to_the_byte() -> None:
    """Constant fields first, then Content-Length, then the message's own, repeated names included."""
    template = HeadTemplate(ENDPOINT, [("Content-Type", "application/json")])
    head = template.complete(12, [("X-Signature", "a="), ("X-Signature", "b=")])
    assert head == (
        b"POST /segments?x=1 HTTP/1.1\r\nHost: dsp.example.com:8443\r\nContent-Type: application/json\r\n"
        b"Content-Length: 12\r\nX-Signature: a=\r\nX-Signature: b=\r\n\r\n"
    )
    request = OutboundRequest(destination=1, kind="realtime", endpoint=ENDPOINT, head=head, body=b"")
    assert request.headers()[-2:] == [("X-Signature", "a="), ("X-Signature", "b=")]


@pytest.mark.parametrize(
    "value", ["canary\r\nX: y", "canary\n", "canary\x00", "canary☃", " canary", "canary "]
)
def test_a_value_cannot_break_out(value: str) -> None:
    """Line breaks and control characters are refused, without repeating the value."""
    with pytest.raises(InvalidInput) as caught:
        exact_head(ENDPOINT, [("Authorization", value)])
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a:", "a\r\n", "ü"])
def test_a_bad_name_is_refused(name: str) -> None:
    """Header names are tokens."""
    with pytest.raises(InvalidInput):
        HeadTemplate(ENDPOINT, [(name, "x")])


@pytest.mark.parametrize("name", ["Host", "content-length", "Transfer-Encoding", "Connection"])
def test_framing_is_not_for_callers(name: str) -> None:
    """A destination cannot set the headers that frame the request."""
    with pytest.raises(InvalidInput):
        HeadTemplate(ENDPOINT).complete(1, [(name, "1")])


def test_reprs_hide_head_and_body() -> None:
    """A request in a log line shows where it goes and how long it is."""
    request = OutboundRequest(
        destination=1, kind="realtime", endpoint=ENDPOINT, head=b"canary", body=b"canary"
    )
    assert repr(request) == "OutboundRequest(https://dsp.example.com:8443/segments?..., 6 bytes)"
    assert "canary" not in repr(HeadTemplate(ENDPOINT, [("X", "canary")]))
