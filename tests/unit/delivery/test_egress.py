"""Addresses Arke must not talk to, and how ranges are opened."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arke.delivery.https.egress import EgressPolicy
from arke.errors import EgressRefused, SettingsError
from unit.delivery.egress_corpus import FORBIDDEN_ADDRESSES

PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
    "128.0.0.1", "169.253.255.255", "169.255.0.0", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0",
    "192.167.255.255", "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255",
    "2001:200::1", "2001:4860:4860::8888", "2606:4700:4700::1111", "2a00:1450::1", "2003::1", "2c0f::1",
]  # fmt: skip


@pytest.mark.parametrize("address", FORBIDDEN_ADDRESSES)
def test_forbidden(address: str) -> None:
    """Without any opening, none of these is passed."""
    with pytest.raises(EgressRefused):
        EgressPolicy().check(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_pass(address: str) -> None:
    """Including the neighbours just outside of every forbidden block."""
    EgressPolicy().check(address)


def test_an_opened_range_passes_and_its_neighbours_do_not() -> None:
    """`allow_cidrs` opens exactly what it says."""
    policy = EgressPolicy(["127.0.0.0/8", "fd12::/16"])
    policy.check("127.0.0.1")
    policy.check("fd12::1")
    for address in ("10.0.0.1", "::1", "fd13::1", "::ffff:127.0.0.1"):
        with pytest.raises(EgressRefused):
            policy.check(address)


def test_metadata_is_opened_only_by_its_own_address() -> None:
    """A range opened for an overlay network does not hand out cloud credentials."""
    with pytest.raises(EgressRefused, match="cloud metadata"):
        EgressPolicy(["100.64.0.0/10", "169.254.0.0/16"]).check("100.100.100.200")
    EgressPolicy(["100.100.100.200/32"]).check("100.100.100.200")


def test_an_opened_gateway_prefix_does_not_open_what_lies_behind_it() -> None:
    """With NAT64 opened, an IPv4 address it carries is judged as well."""
    policy = EgressPolicy(["64:ff9b::/96", "2002::/16"])
    policy.check("64:ff9b::8.8.8.8")
    policy.check("2002:808:808::1")
    for address in ("64:ff9b::127.0.0.1", "64:ff9b::169.254.169.254", "2002:a00:1::1"):
        with pytest.raises(EgressRefused, match="carries"):
            policy.check(address)


@given(st.integers(0, 2**32 - 1))
def test_nothing_the_standard_library_calls_private_passes(number: int) -> None:
    """The list is at least as strict as `ipaddress` for IPv4, except for blocks that became public."""
    address = ipaddress.IPv4Address(number)
    if address.is_private or address.is_multicast or address.is_reserved or address.is_loopback:
        with pytest.raises(EgressRefused):
            EgressPolicy().check(str(address))


def test_the_message_says_what_to_do() -> None:
    """The refusal names the kind of address and the setting."""
    with pytest.raises(EgressRefused, match=r"private.*egress\.allow_cidrs"):
        EgressPolicy().check("10.0.0.1")


@pytest.mark.parametrize("cidr", ["10.0.0.1/8", "localhost", "10.0.0.0/33", ""])
def test_a_bad_range_is_a_settings_error(cidr: str) -> None:
    """Host bits set, names and nonsense are refused at start."""
    with pytest.raises(SettingsError, match="allow_cidrs"):
        EgressPolicy([cidr])
