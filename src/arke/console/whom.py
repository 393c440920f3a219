"""Whom a form is about: a UUID, or an id as DPID:ID, in one field."""

from __future__ import annotations

import msgspec

from arke.console.forms import FormProblems
from arke.domain.ids import is_uuid

HINT = "DPID:ID, for example 12345:abc, or a UUID of 38 digits"


class Whom(msgspec.Struct, frozen=True):
    """Exactly one of both is set."""

    uuid: str | None
    id: str | None


def whom(text: str, field: str = "who") -> Whom:
    """Raises FormProblems for what is neither."""
    if is_uuid(text):
        return Whom(text, None)
    if ":" not in text:
        raise FormProblems({field: f"This is neither: {HINT}."})
    return Whom(None, text)
