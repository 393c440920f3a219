"""Finds the visitor's address, through the proxies that the settings name.

IPv4 written as IPv6 becomes IPv4 and a zone is dropped, so that one visitor has one address. For bounds a visitor
with IPv6 counts as its /64: that is what one customer of a provider gets.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from arke.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAX_HOPS: Final = 32
"""Entries of `X-Forwarded-For` that are looked at, from the right."""
_PREFIX: Final = 64


class TrustedProxies:
    """The proxies whose `X-Forwarded-For` is believed. Raises SettingsError for what is no network."""

    def __init__(self, networks: Iterable[str] = ()) -> None:
        self._networks = [_network(text) for text in networks]

    def __contains__(self, address: str) -> bool:
        if not self._networks:
            return False
        try:
            wanted = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(wanted in network for network in self._networks)

    def visitor(self, proxy: str, headers: Sequence[tuple[bytes, bytes]]) -> str:
        """The first address from the right that is no trusted proxy.

        What stands left of it is the visitor's own word. An entry that is no address ends the search at the last
        hop that was known.
        """
        told = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        known = proxy
        for entry in reversed(told.rsplit(b",", MAX_HOPS)[-MAX_HOPS:]):
            hop = _forwarded(entry.strip().decode("latin-1"))
            if hop is None:
                break
            known = hop
            if hop not in self:
                break
        return known


def plain_address(text: str) -> str | None:
    """An address in canonical spelling; None for a text that is no address."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return str(address)


def bucket(address: str) -> str:
    """What an address counts as for bounds: itself, with IPv6 its /64."""
    if ":" not in address:
        return address
    network = int(ipaddress.IPv6Address(address)) >> (128 - _PREFIX)
    return f"{network:x}/{_PREFIX}"


def _forwarded(entry: str) -> str | None:
    """The address of an entry such as `192.0.2.1`, `192.0.2.1:4711`, `2001:db8::1`, `[2001:db8::1]:4711`."""
    entry = entry.strip('"')
    if entry.startswith("["):
        host, closed, port = entry[1:].partition("]")
        if not closed or (port and not _is_port(port)):
            return None
        return plain_address(host) if ":" in host else None
    if entry.count(":") == 1:
        entry, _, number = entry.partition(":")
        if not _is_port(f":{number}"):
            return None
    return plain_address(entry)


def _is_port(text: str) -> bool:
    digits = text[1:]
    return text[:1] == ":" and digits.isascii() and digits.isdigit() and int(digits[:6]) <= 65_535


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise SettingsError(
            f"server.trusted_proxies: {error}: name an address or a network, such as 10.0.0.0/8"
        ) from None
    if isinstance(network, ipaddress.IPv6Network) and network.network_address.ipv4_mapped is not None:
        raise SettingsError(f"server.trusted_proxies: {text!r}: write an IPv4 address as such")
    return network
