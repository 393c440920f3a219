"""Addresses and names at a door: who calls, through which proxies, and by which names the door may be called."""

from __future__ import annotations

import ipaddress
import re
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
        forwarded = b",".join(value for name, value in headers if name == b"x-forwarded-for")
        known = proxy
        for entry in reversed(forwarded.rsplit(b",", MAX_HOPS)[-MAX_HOPS:]):
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


def scheme(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """How a visitor reached the proxy that handed a request on, by its `X-Forwarded-Proto`."""
    told = b",".join(value for name, value in headers if name == b"x-forwarded-proto")
    return "https" if told.rpartition(b",")[2].strip().lower() == b"https" else "http"


LOOPBACK_NAMES: Final = frozenset({"localhost", "localhost.localdomain", "ip6-localhost", "ip6-loopback"})
REMEMBERED: Final = 256
_NAME: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?", re.ASCII)
_PORT: Final = re.compile(r":[0-9]{0,5}", re.ASCII)


class KnownHosts:
    """The hosts that a door answers to: loopback, its own address, the one a connection came to, and `names`.

    Ports are not compared: a proxy or a tunnel may have another.
    """

    def __init__(self, bound: str, names: Iterable[str] = ()) -> None:
        """Raises ValueError for what is no host name or address."""
        for name in names:
            plain = _plain(name)
            if plain is None or (plain_address(plain) is None and _NAME.fullmatch(plain) is None):
                raise ValueError(
                    f"{name!r} is not a host name or an address: no scheme, path or pattern, "
                    "for example arke.internal"
                )
        self._names = LOOPBACK_NAMES | {_plain(name) or "" for name in (bound, *names)} - {""}
        self._found: set[tuple[bytes, str | None]] = set()

    def knows(self, host: bytes, local: str | None) -> bool:
        """Whether `host`, as a request wrote it, is one of them; `local`: the address it came to."""
        if (host, local) in self._found:
            return True
        known = self._knows(host, local)
        if known and len(self._found) < REMEMBERED:
            self._found.add((host, local))
        return known

    def _knows(self, host: bytes, local: str | None) -> bool:
        name = _plain(host.decode("latin-1"))
        if name is None:
            return False
        if name in self._names:
            return True
        address = plain_address(name)
        if address is None:
            return False
        here = plain_address(local) if local is not None else None
        return address == here or ipaddress.ip_address(address).is_loopback


def _plain(host: str) -> str | None:
    """A host in lower case, without port, brackets or the dot at the end; None for a text that is no host."""
    host = host.strip().lower()
    if host.startswith("["):
        inside, closed, port = host[1:].partition("]")
        address = plain_address(inside)
        return address if closed and address is not None and _PORT.fullmatch(port or ":") else None
    if host.count(":") > 1:  # as a setting may write an IPv6 address
        return plain_address(host)
    name, colon, port = host.partition(":")
    if colon and not _PORT.fullmatch(colon + port):
        return None
    name = name.removesuffix(".")
    return plain_address(name) or name or None
