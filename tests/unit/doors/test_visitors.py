"""Whose address it is, through trusted proxies only."""

from __future__ import annotations

import pytest

from arke.doors.names import MAX_HOPS, TrustedProxies, bucket, plain_address
from arke.errors import SettingsError

PROXY = "10.0.0.1"
PROXIES = TrustedProxies(["10.0.0.0/8", "2001:db8:ffff::/48"])


def visitor(*values: str, proxy: str = PROXY) -> str:
    headers = [(b"host", b"h"), *((b"x-forwarded-for", value.encode("latin-1")) for value in values)]
    return PROXIES.visitor(proxy, headers)


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ((), PROXY),
        (("",), PROXY),
        (("203.0.113.9",), "203.0.113.9"),
        (("198.51.100.1, 203.0.113.9",), "203.0.113.9"),  # the left one is the visitor's own word
        (("198.51.100.1", "203.0.113.9"), "203.0.113.9"),  # in several headers too
        (("203.0.113.9, 10.1.1.1,10.2.2.2",), "203.0.113.9"),
        (("203.0.113.9", "10.1.1.1"), "203.0.113.9"),
        (("10.1.1.1, 10.2.2.2",), "10.1.1.1"),  # all trusted: the outermost
        (("203.0.113.9:4711",), "203.0.113.9"),
        (("2001:db8::1",), "2001:db8::1"),
        (("[2001:db8::1]",), "2001:db8::1"),
        (("[2001:DB8:0::1]:443",), "2001:db8::1"),
        (('"[2001:db8::1]:443"',), "2001:db8::1"),
        (("203.0.113.9, 2001:db8:ffff::7",), "203.0.113.9"),
        (("::ffff:203.0.113.9",), "203.0.113.9"),
        (("::ffff:10.1.1.1, 203.0.113.9, ::ffff:10.1.1.1",), "203.0.113.9"),
        (("fe80::1%eth0",), "fe80::1"),
        (("203.0.113.9, unknown",), PROXY),  # what is no address ends the search
        (("203.0.113.9, _hidden, 10.1.1.1",), "10.1.1.1"),
        (("203.0.113.9,",), PROXY),
        (("203.0.113.9:x",), PROXY),
        (("203.0.113.9:99999",), PROXY),
        (("203.0.113.9:²",), PROXY),
        (("203.0.113.256",), PROXY),
        (("0203.0.113.9",), PROXY),
        (("²03.0.113.9",), PROXY),
        (("[2001:db8::1",), PROXY),
        (("[203.0.113.9]",), PROXY),
        (("[2001:db8::1]x",), PROXY),
        (("2001:db8::1:443:1:2:3:4:5",), PROXY),
        (("\xff\x00",), PROXY),
    ],
)
def test_the_first_address_from_the_right_that_is_no_proxy(told: tuple[str, ...], expected: str) -> None:
    assert visitor(*told) == expected


def test_only_so_many_entries_are_looked_at() -> None:
    assert visitor("203.0.113.9," + ",".join(["10.1.1.1"] * (MAX_HOPS - 1))) == "203.0.113.9"
    assert visitor("203.0.113.9," + ",".join(["10.1.1.1"] * MAX_HOPS)) == "10.1.1.1"
    assert visitor("x," * 30_000 + "10.1.1.1") == "10.1.1.1"


@pytest.mark.parametrize(
    ("address", "trusted"),
    [
        ("10.255.0.1", True),
        ("11.0.0.1", False),
        ("2001:db8:ffff::1", True),
        ("2001:db8::1", False),
        ("x", False),
    ],
)
def test_who_is_trusted(address: str, trusted: bool) -> None:
    assert (address in PROXIES) is trusted
    assert address not in TrustedProxies()


@pytest.mark.parametrize("text", ["", "proxy.example", "10.0.0.1/8", "10.0.0.0/33", "::ffff:10.0.0.0/104"])
def test_what_is_no_network_is_said_at_the_start(text: str) -> None:
    with pytest.raises(SettingsError, match=r"^server\.trusted_proxies: "):
        TrustedProxies([text])


def test_one_spelling_and_one_bucket() -> None:
    assert plain_address("::FFFF:192.0.2.1") == "192.0.2.1"
    assert plain_address("fe80::1%eth0") == "fe80::1"
    assert plain_address("localhost") is None
    assert bucket("192.0.2.1") == "192.0.2.1"
    assert bucket("2001:db8:1:2::1") == bucket("2001:db8:1:2:ffff::") != bucket("2001:db8:1:3::1")
