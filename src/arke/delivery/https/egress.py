"""The egress guard: which addresses Arke may talk to.

An explicit list, because `ipaddress.is_global` of Python 3.11 calls NAT64, 6to4 and multicast global.
The guard judges addresses, never names: names are resolved once, every answer is judged, and the
address that was judged is the one that is dialled (`dialer.py`), so a second DNS answer cannot matter.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING

from arke.errors import EgressRefused, SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# First match names the reason, so special cases stand before the blocks that contain them.
_FORBIDDEN_V4 = [
    (IPv4Network(cidr), what)
    for cidr, what in (
        ("0.0.0.0/8", "this network"),
        ("10.0.0.0/8", "private"),
        ("100.64.0.0/10", "carrier-grade NAT"),
        ("127.0.0.0/8", "loopback"),
        ("169.254.0.0/16", "link-local"),
        ("172.16.0.0/12", "private"),
        ("192.0.0.0/24", "IETF protocol assignments"),
        ("192.0.2.0/24", "documentation"),
        ("192.31.196.0/24", "AS112"),
        ("192.52.193.0/24", "AMT"),
        ("192.88.99.0/24", "6to4 relay"),
        ("192.168.0.0/16", "private"),
        ("192.175.48.0/24", "AS112"),
        ("198.18.0.0/15", "benchmarking"),
        ("198.51.100.0/24", "documentation"),
        ("203.0.113.0/24", "documentation"),
        ("224.0.0.0/4", "multicast"),
        ("255.255.255.255/32", "broadcast"),
        ("240.0.0.0/4", "reserved"),
    )
]
_FORBIDDEN_V6 = [
    (IPv6Network(cidr), what)
    for cidr, what in (
        ("::/128", "unspecified"),
        ("::1/128", "loopback"),
        ("::ffff:0:0/96", "IPv4-mapped"),
        ("::ffff:0:0:0/96", "IPv4-translated"),
        ("::/96", "IPv4-compatible"),
        ("64:ff9b::/96", "NAT64"),
        ("64:ff9b:1::/48", "local NAT64"),
        ("100::/64", "discard only"),
        ("2001::/32", "Teredo"),
        ("2001:2::/48", "benchmarking"),
        ("2001:10::/28", "ORCHID"),
        ("2001:20::/28", "ORCHID v2"),
        ("2001:db8::/32", "documentation"),
        ("2001::/23", "IETF protocol assignments"),
        ("2002::/16", "6to4"),
        ("2620:4f:8000::/48", "AS112"),
        ("3ffe::/16", "6bone"),
        ("3fff::/20", "documentation"),
        ("5f00::/16", "segment routing"),
        ("fc00::/7", "unique local"),
        ("fe80::/10", "link-local"),
        ("fec0::/10", "site-local"),
        ("ff00::/8", "multicast"),
    )
]
_GLOBAL_V6 = IPv6Network("2000::/3")
# Instance metadata hands out cloud credentials. Some of these lie inside ranges that people open for good
# reasons (100.64.0.0/10 for an overlay network), so only an entry naming the very address opens one.
_METADATA = frozenset(
    ip_address(address)
    for address in (
        "169.254.169.254",  # AWS, Azure, Google, Oracle, DigitalOcean and others
        "169.254.170.2",  # AWS container credentials
        "169.254.170.23",  # AWS pod identity
        "169.254.42.42",  # Scaleway
        "100.100.100.200",  # Alibaba
        "168.63.129.16",  # Azure wire server, a public address
        "192.0.0.192",  # Oracle classic
        "fd00:ec2::254",  # AWS
        "fd00:ec2::23",  # AWS pod identity
        "fd20:ce::254",  # Google
        "fd00:42::42",  # Scaleway
    )
)
_Address = IPv4Address | IPv6Address


class EgressPolicy:
    """Judges addresses. `allow_cidrs` opens ranges that are forbidden by default.

    An IPv6 address that carries an IPv4 one (NAT64, 6to4, Teredo, ...) passes only if both are allowed.
    """

    def __init__(self, allow_cidrs: Sequence[str] = ()) -> None:
        self._allowed = [_network(cidr) for cidr in allow_cidrs]

    def check(self, address: str) -> None:
        """Raise EgressRefused unless Arke may connect to this numeric address."""
        try:
            parsed = ip_address(address)
        except ValueError:
            raise EgressRefused(f"{address!r} is not a numeric address") from None
        if isinstance(parsed, IPv6Address) and parsed.scope_id is not None:
            raise EgressRefused(f"{address} has a zone id, so it is link-local")
        for candidate in (parsed, *_embedded_v4(parsed)):
            what = self._forbidden(candidate)
            if what is not None:
                carried = "" if candidate is parsed else f" (carries {candidate})"
                raise EgressRefused(
                    f"{address}{carried} is a forbidden address: {what}. "
                    "If this destination is meant to be there, add its range to egress.allow_cidrs"
                )

    def _forbidden(self, address: _Address) -> str | None:
        """Why the address is forbidden, or None."""
        if address in _METADATA:
            exact = any(net.num_addresses == 1 and address in net for net in self._allowed)
            return None if exact else "cloud metadata"
        what = _listed(address)
        if what is None or any(address in net for net in self._allowed):
            return None
        return what


def _listed(address: _Address) -> str | None:
    if isinstance(address, IPv4Address):
        return next((what for net, what in _FORBIDDEN_V4 if address in net), None)
    what = next((what for net, what in _FORBIDDEN_V6 if address in net), None)
    return what or (None if address in _GLOBAL_V6 else "outside global unicast")


def _embedded_v4(address: _Address) -> Iterator[IPv4Address]:
    """The IPv4 addresses a gateway or tunnel would reach through this IPv6 address."""
    if isinstance(address, IPv4Address):
        return
    if address.sixtofour is not None:
        yield address.sixtofour
    if address.teredo is not None:
        yield from address.teredo
    number = int(address)
    top, bottom = number >> 32, IPv4Address(number & 0xFFFF_FFFF)
    last_32_bits_are_v4 = (
        top in (0xFFFF, 0xFFFF_0000, 0x64_FF9B << 64)  # mapped, translated, NAT64
        or number >> 80 == 0x64_FF9B_0001  # local NAT64; a /96 inside the /48 is the usual choice
        or (number >> 32) & 0xFDFF_FFFF == 0x5EFE  # ISATAP interface id 0000:5efe or 0200:5efe
        or (top == 0 and number > 1)  # compatible
    )
    if last_32_bits_are_v4:
        yield bottom


def _network(cidr: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(cidr)
    except ValueError as error:
        raise SettingsError(
            f"egress.allow_cidrs: {cidr!r} is not a network: {error}. Write it like 10.20.0.0/16"
        ) from None
