"""What may stand behind the `?` of an admin route. What is not known is refused, never taken for the default."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

PARAMETERS: Final[dict[tuple[str, str], tuple[str, ...]]] = {
    ("GET", "/v1/explain"): ("uuid", "id"),
    ("GET", "/v1/undelivered"): ("destination",),
    ("POST", "/v1/undelivered/replay"): ("destination",),
    ("POST", "/v1/batches"): ("destination",),
    ("GET", "/v1/batches/{number}"): ("destination",),
    ("POST", "/v1/resync"): ("destination",),
    ("POST", "/v1/estimate"): ("sample",),
    ("POST", "/v1/catalog"): ("dry_run", "name", "folder"),
    ("POST", "/v1/catalog/rollback"): ("version", "dry_run"),
    ("GET", "/v1/privacy/requests"): ("before",),
    ("POST", "/v1/onboard"): ("name", "columns", "check"),
    ("POST", "/v1/tokens"): ("scope", "name", "expires"),
    ("GET", "/v1/audit"): ("after",),
}
"""What a route may be asked with; another name is most likely a slip, and the default the wider one."""


def check_parameters(request: Request, known: Sequence[str]) -> None:
    """Raise InvalidInput for a parameter that the route does not have, or that comes twice."""
    given = [name for name, _ in request.query_params.multi_items()]
    if any(name not in known for name in given):
        which = f"it takes {', '.join(known)}" if known else "it takes none"
        raise InvalidInput(f"this route does not know one of these parameters: {which}")
    if len(given) != len(set(given)):
        raise InvalidInput("a parameter is given twice")


def flag(request: Request, name: str) -> bool:
    """Whether it is asked for. Raises InvalidInput for what is neither yes nor no: to take it for no would do what
    somebody only wanted to look at.
    """
    given = request.query_params.get(name)
    if given in (None, "0", "false", "no"):
        return False
    if given in ("1", "true", "yes"):
        return True
    raise InvalidInput(f"{name} is 1 or 0 (also true, false, yes, no)")
