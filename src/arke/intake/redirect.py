"""Checks the address that an id sync redirects to, and fills in its macros."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import quote, urlsplit

MAX_URL_CHARS: Final = 8_192

_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f\\\"<>^`]")
_MACRO: Final = re.compile(
    r"(?:\$|%24)(?:\{|%7B)(DD_UUID|GDPR|GDPR_CONSENT_[0-9]{1,6})(?:\}|%7D)", re.IGNORECASE | re.ASCII
)


def fill(url: str, *, uuid: str, gdpr: str = "", gdpr_consent: str = "") -> str | None:
    """The Location for a redirect, or None when `url` is not an absolute http(s) address without credentials.

    Macros: `${DD_UUID}`, and the TCF ones `${GDPR}` and `${GDPR_CONSENT_<vendor>}`, in either spelling of
    their brackets (plain or percent-encoded). Values go in percent-encoded.
    """

    def value(match: re.Match[str]) -> str:
        name = match[1].upper()
        if name == "DD_UUID":
            return uuid
        if name == "GDPR":
            return "1" if gdpr == "1" else "0"
        return quote(gdpr_consent, safe="") if gdpr == "1" else ""

    filled = _MACRO.sub(value, url)
    return quote(filled, safe="!#$%&'()*+,/:;=?@[]~{}|-._") if allowed(filled) else None


def allowed(url: str) -> bool:
    """Whether it is an absolute http(s) address without credentials."""
    if len(url) > MAX_URL_CHARS or _FORBIDDEN.search(url) is not None:
        return False
    try:
        parts = urlsplit(url)
        port_ok = parts.port is None or parts.port > 0
    except ValueError:
        return False
    host = parts.hostname or ""
    return (
        parts.scheme in ("http", "https")
        and url[len(parts.scheme) :].startswith("://")
        and bool(host)
        and host.isascii()
        and "@" not in parts.netloc
        and port_ok
    )
