"""Checks the address that a request is redirected to, and fills in its macros."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

from arke.intake.consent import gdpr_applies

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MAX_URL_CHARS: Final = 8_192

_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f\\\"<>^`]")
_ID_MACRO: Final = r"(?:\$|%24)(?:\{|%7B)(DD_UUID|GDPR|GDPR_CONSENT_[0-9]{1,6})(?:\}|%7D)"
_CLICK_MACRO: Final = r"%(?![0-9A-F]{2})([A-Z_][A-Z0-9_.-]{0,127})%"
"""`%d_creative%`. What begins with two hexadecimal digits is an escape, unless a parameter is called so."""
_LIKE_AN_ESCAPE: Final = re.compile(r"[0-9A-F]{2}[A-Z0-9_.-]*", re.IGNORECASE | re.ASCII)
_MACRO: Final = re.compile(_ID_MACRO, re.IGNORECASE | re.ASCII)
_MACROS: Final = re.compile(f"{_ID_MACRO}|{_CLICK_MACRO}", re.IGNORECASE | re.ASCII)
_MACROS_OF: Final = {"d_id": "d_dpid"}
"""Parameters whose macro Audience Manager calls otherwise."""

_UNENCODED: Final = re.compile(r"[ \"<>^`]")
"""What the address of a click may hold once it is decoded, though no address does. In a host it stays refused."""
_CLICK: Final = b"d_rd="
_ENCODED_TWICE: Final = re.compile(r"https?%3A(?:%2F%2F|//)", re.IGNORECASE)


def fill(
    url: str,
    *,
    uuid: str,
    gdpr: str = "",
    gdpr_consent: str = "",
    parameters: Mapping[str, Sequence[str]] | None = None,
) -> str | None:
    """The Location for a redirect, or None when `url` is not an absolute http(s) address without credentials.

    Macros: `${DD_UUID}`, and the TCF ones `${GDPR}` and `${GDPR_CONSENT_<vendor>}`, in either spelling of
    their brackets (plain or percent-encoded); with `parameters` also `%name%`: the first value of that parameter,
    and nothing where there is none. Values go in percent-encoded.
    """
    applies = "1" if gdpr == "1" else "0"
    consent = gdpr_consent if gdpr == "1" else ""

    def value(match: re.Match[str]) -> str:
        name = (match[1] or "").upper()
        if name == "DD_UUID":
            return uuid
        if name == "GDPR":
            return applies
        return quote(consent if name else own(match[match.lastindex or 0]), safe="")

    def own(name: str) -> str:
        if name.lower() == "gdpr_applies":
            return applies
        if name.lower() == "gdpr_consent":
            return consent
        given = parameters or {}
        values = given.get(name) or given.get(_MACROS_OF.get(name, "")) or [""]
        return values[0]

    filled = (_MACRO if parameters is None else _macros(parameters)).sub(value, url)
    return quote(filled, safe="!#$%&'()*+,/:;=?@[]~{}|-._") if allowed(filled) else None


def _macros(parameters: Mapping[str, Sequence[str]]) -> re.Pattern[str]:
    """What is filled in for these parameters: `%campaign%` too where `campaign` is among them."""
    like_escapes = [re.escape(name) for name in parameters if _LIKE_AN_ESCAPE.fullmatch(name) is not None]
    if not like_escapes:
        return _MACROS
    return re.compile(f"{_MACROS.pattern}|%((?-i:{'|'.join(like_escapes)}))%", _MACROS.flags)


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
        and "%" not in parts.netloc  # browsers decode escapes in a host, and what comes of it is another one
        and port_ok
    )


class Click(NamedTuple):
    """A click pixel's address, and the other parameters of its call, for the macros in it."""

    address: str
    parameters: Mapping[str, list[str]]

    def location(self, uuid: str = "") -> str | None:
        """Where the click goes on to; None where that is no address to be redirected to."""
        return fill(
            self.address,
            uuid=uuid,
            gdpr="1" if gdpr_applies(self.parameters) else "0",
            gdpr_consent=self.parameters.get("gdpr_consent", [""])[0],
            parameters=self.parameters,
        )


def click(raw: bytes) -> tuple[bytes, Click | None]:
    """Take `d_rd` out of the parameters of a call: what is left of them, and the click, if it is one.

    Somebody clicked, and is to arrive whatever else is wrong with the call: so escapes are read leniently here, and
    a plus stays one. An address that was encoded twice is decoded twice; what was encoded in one that was not as a
    whole is encoded again.
    """
    if _CLICK not in raw:
        return raw, None
    parts = raw.split(b"&")
    found = [part for part in parts if part.startswith(_CLICK)]
    if not found:
        return raw, None
    rest = [part for part in parts if not part.startswith(_CLICK)]
    address = _decoded(found[0].removeprefix(_CLICK))
    if _ENCODED_TWICE.match(address):
        address = _decoded(address.encode())
    address = _UNENCODED.sub(lambda found: quote(found[0]), address.strip())
    return b"&".join(rest), Click(address, _parameters(rest))


def _parameters(parts: list[bytes]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for part in parts:
        name, _, text = part.partition(b"=")
        found.setdefault(_decoded(name), []).append(_decoded(text.replace(b"+", b" ")))
    return found


def _decoded(raw: bytes) -> str:
    return unquote_to_bytes(raw).decode("utf-8", "replace")
