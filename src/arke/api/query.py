"""Parameters as text: read from a request, and written into an address. What is not known is refused, never taken
for the default.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote, urlencode

import msgspec
from msgspec import inspect

from arke.domain.digits import whole_number
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.api.endpoint import P, Route


def check_names(given: Sequence[str], known: Sequence[str]) -> None:
    """Raise InvalidInput for a parameter that the endpoint does not have, or that comes twice."""
    if any(name not in known for name in given):
        which = f"it takes {', '.join(known)}" if known else "it takes none"
        raise InvalidInput(f"this route does not know one of these parameters: {which}")
    if len(given) != len(set(given)):
        raise InvalidInput("a parameter is given twice")


class Reader:
    """Reads the parameters of one kind."""

    def __init__(self, kind: type[msgspec.Struct]) -> None:
        self._kind = kind
        described = cast("inspect.StructType", inspect.type_info(kind))
        self._fields = [(field, *_plain(field.type)) for field in described.fields]

    def read(self, given: Mapping[str, str]) -> Any:
        """A struct of the kind, of parameters by name. Raises InvalidInput."""
        found: dict[str, object] = {}
        for field, plain, meta in self._fields:
            text = given.get(field.name)
            if text is None:
                if field.required:
                    (example,) = meta["examples"]
                    raise InvalidInput(f"{field.name} is missing: ?{field.name}={example}")
            elif isinstance(plain, inspect.IntType):
                found[field.name] = _number(meta.get("title", field.name), text, plain)
            elif isinstance(plain, inspect.BoolType):
                found[field.name] = _flag(field.name, text)
            else:
                found[field.name] = text
        return self._kind(**found)


def _plain(kind: inspect.Type) -> tuple[inspect.Type, dict[str, Any]]:
    """A field's type without None, and what is noted about it."""
    meta: dict[str, Any] = {}
    if isinstance(kind, inspect.Metadata):
        meta = kind.extra_json_schema or {}
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        (kind,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
    return kind, meta


def _number(name: str, text: str, kind: inspect.IntType) -> int:
    number = whole_number(text)
    if number is None:
        raise InvalidInput(f"{name} must be a number: digits, and no more than 18 of them")
    least = 0 if kind.ge is None else kind.ge
    if number < least or (kind.le is not None and number > kind.le):
        bounds = f"at least {least:,}" if kind.le is None else f"{least:,} to {kind.le:,}"
        raise InvalidInput(f"{name} must be {bounds}")
    return number


def _flag(name: str, text: str) -> bool:
    """Whether it is asked for. Raises InvalidInput for what is neither yes nor no: to take it for no would do what
    somebody only wanted to look at.
    """
    if text in ("0", "false", "no"):
        return False
    if text in ("1", "true", "yes"):
        return True
    raise InvalidInput(f"{name} is 1 or 0 (also true, false, yes, no)")


def address(route: Route[P, Any], given: P) -> str:
    """The path and query that ask an endpoint for this. What has its default is left out."""
    path, query = route.path, {}
    for field in msgspec.structs.fields(given):
        value = getattr(given, field.name)
        if field.name not in route.query:
            path = path.replace(f"{{{field.name}}}", quote(str(value), safe=""))
        elif value != field.default:
            query[field.name] = int(value) if isinstance(value, bool) else value
    return f"{path}?{urlencode(query)}" if query else path
