"""Origins of pages: reads them from settings and from headers, and decides what a page may read. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from arke.intake.asgi import header

if TYPE_CHECKING:
    from collections.abc import Iterable

    from arke.doors.answers import Header
    from arke.intake.asgi import Scope

_PORTS: Final = {"http": 80, "https": 443}
_HOST: Final = re.compile(r"[a-z0-9_](?:[a-z0-9_.-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_OWN: Final = (b"same-origin", b"none")
ANY: Final = "*"
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
    if len(found) < len(named) or text.lower() == "null":  # what a browser says of pages without one
        raise ValueError(
            f"{text!r} is not an origin: a scheme (http or https), a host and perhaps a port, or a host alone; "
            f"no path, {EXAMPLE}"
        )
    return found


class Listeners(msgspec.Struct, frozen=True):
    """The pages that may read memberships: those `listed`, or any. Where some are listed, others read nothing."""

    listed: frozenset[Origin] = frozenset()
    any: bool = False

    @property
    def some(self) -> bool:
        """Whether pages are listed, so that others may read nothing."""
        return bool(self.listed) and not self.any


def listeners(texts: Iterable[str]) -> Listeners:
    """The pages that a setting lists; `*` stands for any. Raises ValueError as `parse_origins` does."""
    named = list(texts)
    return Listeners(parse_origins(text for text in named if text != ANY), ANY in named)


def cors(scope: Scope, heard_by: Listeners) -> list[Header]:
    """The CORS headers of an answer. Any page may call, with its visitor's cookie, as it may the DCS; where
    origins are listed, only those may read the answer.
    """
    origin = header(scope, b"origin")
    if (
        not origin or not origin.isascii()
    ):  # no browser has such an origin, and no answer repeats what is none
        return []
    if heard_by.some and _origin(_text(origin)) not in heard_by.listed:
        return [(b"vary", b"Origin")]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"Retry-After, X-Error, X-TID"),
        (b"vary", b"Origin"),
    ]


def may_hear(scope: Scope, heard_by: Listeners, *, script: bool) -> bool:
    """Whether the caller may read memberships: a page of these origins, one of our own, or no page of another
    site. `script` says that the answer is JSONP, which any page can run without CORS, so that an unknown page
    counts as another site's.
    """
    if heard_by.any or header(scope, b"sec-fetch-site") in _OWN:
        return True
    if header(scope, b"origin") or script:
        return bool(shown_by(scope) & heard_by.listed)
    return True  # without an Origin no browser lets another site's page read JSON


def shown_by(scope: Scope) -> frozenset[Origin]:
    """The origin of the page that made the browser ask, as the browser says: from `Origin`, else `Referer`, else
    `Sec-Fetch-Site: same-origin` with the host that was asked. Empty where it does not say. A page cannot make
    its visitors' browsers name another one.
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
    """The origin that a text spells. With `of_address` a path may follow, as in a Referer."""
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
