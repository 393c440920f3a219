"""Decides by which names a door may be called, so that no page reaches it by a name of its own (DNS rebinding)."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from arke.doors.visitors import plain_address

if TYPE_CHECKING:
    from collections.abc import Iterable

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
