"""The bodies and headers of DCS answers: JSON, JSONP, the pixel, cookies. Pure."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.intake.dcs import NOT_A_TARGET

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Entropy
    from arke.domain.event import Accepted
    from arke.intake.dcs import DcsRequest
    from arke.intake.dcs_codes import DcsError
    from arke.intake.settings import IntakeSettings

Header = tuple[bytes, bytes]

PIXEL: Final = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""A transparent GIF of one by one pixel."""

MAX_ERRORS_LISTED: Final = 50
DEVICE_COOKIES: Final = ("demdex", "dextp")

_JSON: Final = b"application/json;charset=utf-8"
_SCRIPT: Final = b"application/javascript;charset=utf-8"
_encode: Final = msgspec.json.Encoder().encode


def transaction_id(entropy: Entropy) -> str:
    """A fresh `tid`: 12 characters, base64 of 64 random bits, as the DCS prints them."""
    return base64.b64encode(entropy.bits(64).to_bytes(8, "big")).decode()


class Shown(msgspec.Struct, frozen=True):
    """What an answer may show of a device: its UUID in a `cookie` and a redirect, its `uuid` in the body, and its
    traits and segments.
    """

    cookie: bool = True
    uuid: bool = True
    memberships: bool = True


def shown(accepted: Accepted, settings: IntakeSettings, *, heard: bool, script: bool) -> Shown:
    """What an answer may show to a caller without a token. `heard` says that the page that asks may be shown
    memberships, `script` that the answer is JSONP, which CORS does not restrict.

    Whoever knows a device's UUID can act as the device: read its memberships, and opt it out. So a UUID that the
    caller did not bring is shown only if it was made for this request.
    """
    only_read = bool(accepted.withheld.ids)  # by `declared_by: token`, which goes before `memberships`
    stranger = accepted.by_id and (settings.memberships != "any" or only_read)
    closed = script and not heard and settings.listeners.some
    return Shown(
        cookie=not stranger,
        uuid=not stranger and not closed,
        memberships=heard and not stranger and settings.memberships != "off",
    )


def accepted_body(
    request: DcsRequest, accepted: Accepted, region: int, tid: str, shown: Shown
) -> dict[str, Any]:
    """The JSON body for an event that was stored. There are no cookie or URL destinations: both lists are empty."""
    body: dict[str, Any] = {"stuff": []}
    if request.wants_dests:
        body["dests"] = []
    if shown.uuid:
        body["uuid"] = accepted.uuid
    body["dcs_region"] = region
    if request.wants_memberships and shown.memberships and accepted.evaluated:
        body["traits"] = accepted.traits
        body["segments"] = accepted.segments
    body["tid"] = tid
    return body


def render(
    request: DcsRequest, body: dict[str, Any], errors: Sequence[DcsError]
) -> tuple[bytes, list[Header]]:
    """Body and headers in the form the caller asked for: JSON, JSONP, or a pixel that tells nothing."""
    headers: list[Header] = []
    if errors:
        body = {**body, "errors": errors[:MAX_ERRORS_LISTED]}
        listed = dict.fromkeys(str(error.code) for error in errors)
        headers.append((b"x-error", ",".join(listed).encode()))
    if not request.json:
        return PIXEL, [(b"content-type", b"image/gif"), *headers]
    text = _encode(body)
    if request.callback is None:
        return text, [(b"content-type", _JSON), *headers]
    # Two characters that JSON allows in strings and older JavaScript does not.
    text = text.replace(b"\xe2\x80\xa8", b"\\u2028").replace(b"\xe2\x80\xa9", b"\\u2029")
    return request.callback.encode() + b"(" + text + b")", [(b"content-type", _SCRIPT), *headers]


def device_cookie(uuid: str, settings: IntakeSettings) -> Header:
    return _cookie("demdex", uuid, settings.cookie_max_age_s, settings)


def opt_out_cookies(settings: IntakeSettings) -> list[Header]:
    return [
        _cookie(name, NOT_A_TARGET, settings.opt_out_cookie_max_age_s, settings) for name in DEVICE_COOKIES
    ]


def _cookie(name: str, value: str, max_age_s: int, settings: IntakeSettings) -> Header:
    domain = f"; Domain={settings.cookie_domain}" if settings.cookie_domain else ""
    text = f"{name}={value}; Path=/{domain}; Max-Age={max_age_s}; Secure; HttpOnly; SameSite=None"
    return b"set-cookie", text.encode("latin-1")
