"""The name that a sender gives an event, so that sending it again changes nothing. Pure."""

from __future__ import annotations

from arke.domain.event import MAX_EVENT_ID_CHARS
from arke.errors import EventError


def event_id(value: str | int) -> str:
    """The name as text. Raises `EventError`: one that cannot be kept would count twice in silence."""
    text = str(value)
    if not (0 < len(text) <= MAX_EVENT_ID_CHARS and text.isprintable()):
        raise EventError(
            "bad_event_id", f"event_id must be 1 to {MAX_EVENT_ID_CHARS} characters, none a control character"
        )
    return text
