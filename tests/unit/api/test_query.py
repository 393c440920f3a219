"""Parameters as text: what the client writes into an address is what the app reads from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest

from arke.api import parameters
from arke.api.query import Reader, address, check_names
from arke.api.table import ENDPOINTS, batches, callers, catalog, files, undelivered
from arke.errors import InvalidInput

if TYPE_CHECKING:
    import msgspec

    from arke.api.endpoint import Route

AWKWARD = "a b&c=d?e#f/g%h+ü€\n"


def parsed(route: Route[Any, Any], target: str) -> dict[str, str]:
    """The parameters of an address, as a server takes it apart."""
    parts = urlsplit(target)
    found = dict(parse_qsl(parts.query, keep_blank_values=True))
    pieces = zip(route.path.split("/"), parts.path.split("/"), strict=True)
    found.update((name[1:-1], unquote(value)) for name, value in pieces if name.startswith("{"))
    return found


@pytest.mark.parametrize(
    ("route", "given", "target"),
    [
        (batches.SHOW_BATCH, parameters.OneBatch(3, 423), "/v1/batches/3?destination=423"),
        (undelivered.UNDELIVERED, parameters.AnyDestination(None), "/v1/undelivered"),
        (undelivered.UNDELIVERED, parameters.AnyDestination(0), "/v1/undelivered?destination=0"),
        (catalog.ROLLBACK, parameters.Version(None, dry_run=True), "/v1/catalog/rollback?dry_run=1"),
        (catalog.APPLY, parameters.CatalogFile(name=AWKWARD, folder="/tmp/ü b"), None),
        (callers.CREATE_TOKEN, parameters.TokenWanted("read,ingest", AWKWARD, "90d"), None),
        (callers.CREATE_TOKEN, parameters.TokenWanted("read", "", ""), "/v1/tokens?scope=read&expires="),
        (callers.REVOKE_TOKEN, parameters.OneToken("a/../b?c#d"), "/v1/tokens/a%2F..%2Fb%3Fc%23d"),
        (files.SEND_FILE, parameters.DataFile("f.sync", AWKWARD, check=True), None),
        (callers.AUDIT, parameters.After(7), "/v1/audit?after=7"),
    ],
)
def test_an_address_says_what_was_given(
    route: Route[Any, Any], given: msgspec.Struct, target: str | None
) -> None:
    written = address(route, given)
    assert target is None or written == target
    assert Reader(route.parameters).read(parsed(route, written)) == given


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda one: f"{one.method} {one.path}")
def test_every_parameter_can_be_read(endpoint: Route[Any, Any]) -> None:
    """Numbers, flags and texts are the only kinds there are."""
    names = [*endpoint.query, *(piece[1:-1] for piece in endpoint.path.split("/") if piece.startswith("{"))]
    given = Reader(endpoint.parameters).read(dict.fromkeys(names, "1"))
    assert {getattr(given, name) for name in names} <= {1, "1"}


@pytest.mark.parametrize("text", ["", "-1", "+1", "1_0", "1.0", " 1", "١", "1" * 19])
def test_a_number_is_plain_digits(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"^the batch must be a number"):
        Reader(parameters.OneBatch).read({"number": text, "destination": "1"})


def test_what_is_missing_is_named_with_an_example() -> None:
    with pytest.raises(InvalidInput, match=r"^destination is missing: \?destination=423$"):
        Reader(parameters.OneDestination).read({})


def test_names_that_are_not_known_or_come_twice_are_refused() -> None:
    check_names(["a", "b"], ["a", "b", "c"])
    with pytest.raises(InvalidInput, match=r"it takes a, b$"):
        check_names(["c"], ["a", "b"])
    with pytest.raises(InvalidInput, match=r"it takes none$"):
        check_names(["c"], [])
    with pytest.raises(InvalidInput, match="twice"):
        check_names(["a", "a"], ["a"])
