"""What keeps the console to those who are signed in: headers of every answer, the session's cookie, and where a
form may come from.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from arke.console.page import ROOT

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

CONTENT_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
HEADERS: Final = {
    "Content-Security-Policy": CONTENT_POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    # With `no-referrer` browsers would not say where a form comes from, either.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}


def cookie_name(request: Request) -> str:
    """Cookies know no ports: two engines on one machine would sign each other's people out."""
    server = request.scope.get("server")
    return f"arke_{server[1]}" if server is not None and server[1] is not None else "arke"


def set_cookie(response: Response, request: Request, secret: str) -> None:
    """For as long as the browser runs: when a session ends is the engine's to say."""
    response.set_cookie(
        cookie_name(request),
        secret,
        path=ROOT,
        httponly=True,
        samesite="strict",
        secure=request.scope["scheme"] == "https",
    )


def forget_cookie(response: Response, request: Request) -> None:
    response.delete_cookie(
        cookie_name(request),
        path=ROOT,
        httponly=True,
        samesite="strict",
        secure=request.scope["scheme"] == "https",
    )


def from_elsewhere(request: Request) -> bool:
    """Whether a POST was sent by a page of another origin. A client that says nothing of it is no browser."""
    site = request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return True
    origin = request.headers.get("origin")
    return origin is not None and _host(origin) != request.headers.get("host", "").strip().lower()


def led_here(request: Request) -> bool:
    """Whether a link of another site did, so that the browser kept its cookie back."""
    return request.headers.get("sec-fetch-site") == "cross-site"


def is_prefetch(request: Request) -> bool:
    """Whether nobody has opened the address yet."""
    purpose = request.headers.get("sec-purpose", request.headers.get("purpose", ""))
    return "prefetch" in purpose or "preview" in purpose or request.method == "HEAD"


def _host(origin: str) -> str | None:
    """Host and port; `null`, and what is no origin, has none. A proxy may speak TLS for us, so that the scheme says
    nothing.
    """
    try:
        return urlsplit(origin).netloc.lower() or None
    except ValueError:
        return None
