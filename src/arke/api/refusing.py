"""What an endpoint may refuse, by status and code: its own, what any may, and what the door refuses before it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.api.endpoint import NO_BODY
from arke.errors import (
    FORBIDDEN,
    ArkeError,
    InvalidInput,
    NotFound,
    ShardDown,
    ShardFailed,
    ShardMoved,
    StoreUnavailable,
    Unauthorized,
    Unavailable,
)

if TYPE_CHECKING:
    from arke.api.endpoint import AnyEndpoint

REASONS: Final = {
    400: "What was given is wrong.",
    401: "A token is missing, or of no use.",
    403: "The token lacks the scope.",
    404: "There is no such thing.",
    408: "The request comes in too slowly.",
    409: "Something else was done meanwhile.",
    412: "Another catalog is in force.",
    421: "The door does not answer to this name.",
    429: "There is too much at once: try again later.",
    431: "The head of the request is too large.",
    500: "The engine failed on this request, and has logged where.",
    503: "It cannot be done now.",
}
DOOR_REFUSALS: Final = {
    400: ("bad_request", "bad_host", "bad_target"),
    408: ("head_too_slow",),
    421: ("unknown_host",),
    429: ("too_many_waiting", "too_many_connections", "too_many_requests"),
    431: ("head_too_large",),
    500: ("internal",),
    503: ("overloaded", "stopping"),
}
"""See docs/reference/errors.md, "What a door refuses"."""
OF_BODIES: Final = {408: ("body_too_slow",)}
_ANYWHERE: Final = (Unavailable, StoreUnavailable, ShardDown, ShardMoved, ShardFailed)


def refused_by(route: AnyEndpoint) -> dict[int, set[str]]:
    """The codes of each status."""
    found: dict[int, set[str]] = {status: set(codes) for status, codes in DOOR_REFUSALS.items()}
    kinds: list[type[ArkeError]] = [InvalidInput, *route.raises]
    if route.scope is not None:
        kinds += _ANYWHERE
        for status in (Unauthorized.status, FORBIDDEN):
            found.setdefault(status, set()).add(Unauthorized.code)
    if "{" in route.path:
        kinds.append(NotFound)
    for kind in kinds:
        found.setdefault(kind.status, set()).add(kind.code)
    if route.body is not NO_BODY:
        for status, codes in OF_BODIES.items():
            found.setdefault(status, set()).update(codes)
    return found
