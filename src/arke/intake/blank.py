"""Empty answers for what tags ask for beside events: a site whose tags were pointed here gets no error page."""

from __future__ import annotations

from typing import Final, NamedTuple

from arke.doors.answers import Header
from arke.intake.answers import PIXEL
from arke.intake.asgi import STANDING_HEADERS

_PAGE: Final = b'<!doctype html><html lang="en"><head><title>-</title></head><body></body></html>'
_POLICY: Final = b"content-security-policy"


class Blank(NamedTuple):
    """What is answered, as what."""

    kind: bytes
    body: bytes
    standing: tuple[Header, ...] = STANDING_HEADERS


_FRAMED: Final = (
    *(header for header in STANDING_HEADERS if header[0] != _POLICY),
    (_POLICY, b"default-src 'none'"),
)
"""Tags put the page into an invisible frame of their site's own."""

_IFRAME: Final = Blank(b"text/html;charset=utf-8", _PAGE, _FRAMED)

BLANKS: Final = {
    "/dest4.html": _IFRAME,  # where visitor id libraries fire id syncs, the older ones
    "/dest5.html": _IFRAME,
    "/demconf.jpg": Blank(b"image/gif", PIXEL),  # the second step of an id sync, while cookies are tried
}
"""The answers by path."""
