"""Which pages may read an answer, and which are told memberships. Pure: a request's headers say who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from arke.intake.asgi import header

if TYPE_CHECKING:
    from collections.abc import Collection

    from arke.intake.asgi import Header, Scope

ANY: Final = "*"
_OWN: Final = (b"same-origin", b"none")


def cors(scope: Scope, origins: Collection[str]) -> list[Header]:
    """Any page may call, with its visitor's cookie: that is what the DCS is for. Where origins are named, only
    those may read the answer.
    """
    origin = header(scope, b"origin")
    if not origin:
        return []
    if origins and ANY not in origins and origin.decode("latin-1") not in origins:
        return [(b"vary", b"Origin")]
    return [
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", b"X-Error, X-TID"),
        (b"vary", b"Origin"),
    ]


def may_hear(scope: Scope, origins: Collection[str], *, script: bool) -> bool:
    """Whether whoever asks may be told memberships: a page of these origins, our own, or no page of another
    site at all. `script`: the answer is one (JSONP), which any page can run without asking first; so there it
    must be known which page that is.
    """
    if ANY in origins or header(scope, b"sec-fetch-site") in _OWN:
        return True
    asking = header(scope, b"origin").decode("latin-1")
    if asking:
        return asking in origins
    # Without an Origin no browser lets another site's page read JSON.
    return not script or _origin_of(header(scope, b"referer").decode("latin-1")) in origins


def _origin_of(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return f"{parts.scheme}://{parts.netloc}".lower()
