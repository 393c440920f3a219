"""Origins of pages: as settings list them, and as a browser's headers show them. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

from arke.intake.asgi import header

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.intake.asgi import Scope

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
EXAMPLE: Final = "for example https://shop.example.com or shop.example.com"


class Origin(NamedTuple):
    """Scheme, host (lower case, IPv6 in brackets) and port of a page."""

    scheme: str
    host: str
    port: int


def parse_origins(texts: Iterable[str]) -> frozenset[Origin]:
    """The origins that a setting lists. A host without a scheme stands for http and https. Raises ValueError with
    what is wrong and how to write it.
    """
    return frozenset(origin for text in texts for origin in _listed(text))


def _listed(text: str) -> list[Origin]:
    named = [text] if "://" in text else [f"{scheme}://{text}" for scheme in _PORTS]
    found = [origin for one in named if (origin := _origin(one)) is not None]
    if len(found) < len(named):
        raise ValueError(
            f"{text!r} is not an origin: a scheme (http or https), a host and perhaps a port, or a host alone; "
            f"no path, {EXAMPLE}"
        )
    return found


def shown_by(scope: Scope) -> frozenset[Origin]:
    """Where the page that made a browser ask was served from, as far as the browser says: `Origin`, without it
    `Referer`, without both `Sec-Fetch-Site: same-origin` with the host that was asked. Empty: it does not say.
    A page cannot make its visitors' browsers name another one.
    """
    if origin := header(scope, b"origin"):
        return _all(_origin(_text(origin)))
    if referer := header(scope, b"referer"):
        return _all(_origin(_text(referer), of_address=True))
    if header(scope, b"sec-fetch-site") == b"same-origin":
        # Behind a proxy that ends TLS nobody knows the scheme here; it is that of the host's own pages.
        host = _text(header(scope, b"host"))
        return _all(*(_origin(f"{scheme}://{host}") for scheme in _PORTS))
    return frozenset()


def _all(*found: Origin | None) -> frozenset[Origin]:
    return frozenset(origin for origin in found if origin is not None)


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip()


def _origin(text: str, *, of_address: bool = False) -> Origin | None:
    """`of_address`: a path may follow, as in a Referer."""
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError:
        return None
    scheme = parts.scheme.lower()
    if scheme not in _PORTS or parts.username is not None or parts.password is not None:
        return None
    if not of_address and f"{parts.scheme}://{parts.netloc}".lower() != text.lower():
        return None
    host = parts.netloc.rpartition(":")[0] if port is not None else parts.netloc.removesuffix(":")
    host = host.lower()
    if _HOST.fullmatch(host) is None or port == 0:
        return None
    return Origin(scheme, host, port if port is not None else _PORTS[scheme])
