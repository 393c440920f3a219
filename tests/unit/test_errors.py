"""An error that crosses a process boundary is the same error on the other side."""

from __future__ import annotations

import importlib
import pkgutil
from itertools import groupby
from typing import Any

import msgspec
import pytest

import arke
from arke.errors import (
    ArkeError,
    CatalogError,
    InvalidInput,
    Overloaded,
    RuleError,
    Unauthorized,
    Unavailable,
    rebuild,
)
from arke.receiver.message import MessageError
from arke.shard.protocol import Refusal

MADE: dict[str, ArkeError] = {
    "bad_rule": RuleError("no such word", line=2, column=7, hint="write AND"),
    "bad_catalog": CatalogError(["c.yaml:1:1: empty", "c.yaml:2:1: no such key"]),
    "overloaded": Overloaded("full", retry_after_s=60),
    "bad_message": MessageError("Users[1]", "is no object"),
}
"""Those whose constructors take more than texts."""


def tree() -> list[type[ArkeError]]:
    for module in pkgutil.walk_packages(arke.__path__, "arke."):
        if not module.name.startswith("arke.__main__"):
            importlib.import_module(module.name)
    found: list[type[ArkeError]] = [ArkeError]
    for kind in found:
        found += kind.__subclasses__()
    return found


def made(kind: type[ArkeError]) -> ArkeError:
    """One of this class whose details differ from the defaults."""
    if kind.code in MADE:
        return MADE[kind.code]
    if issubclass(kind, Unauthorized):
        return kind("not this one", forbidden=True)
    texts = [f"{name} of it" for name in kind.carried if name != "status"]
    statuses = [418] if "status" in kind.carried else []
    make: Any = kind
    error: ArkeError = make(*statuses, *texts, "it did not work")
    return error


def test_every_code_names_one_class() -> None:
    codes = sorted(kind.code for kind in tree())
    assert [code for code, same in groupby(codes) if len(list(same)) > 1] == []


@pytest.mark.parametrize("kind", tree())
def test_an_error_is_rebuilt_from_what_a_refusal_carries(kind: type[ArkeError]) -> None:
    error = made(kind)
    refusal = msgspec.msgpack.decode(msgspec.msgpack.encode(Refusal.of(error)), type=Refusal)
    again = rebuild(refusal.code, refusal.message, refusal.details)
    assert type(again) is kind
    assert str(again) == str(error)
    assert again.details() == error.details()
    assert again.status == error.status
    assert set(kind.carried) == set(vars(error)), "what is set on an error goes with it"


@pytest.mark.parametrize("kind", tree())
def test_details_that_are_missing_have_defaults(kind: type[ArkeError]) -> None:
    error = rebuild(kind.code, "it did not work", {})
    assert type(error) is kind
    assert set(error.details()) == set(kind.carried)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput),
        (401, Unauthorized),
        (403, Unauthorized),
        (429, Overloaded),
        (404, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
        (None, Unavailable),
    ],
)
def test_an_unknown_code_goes_by_the_status(status: int | None, kind: type[ArkeError]) -> None:
    error = rebuild("made_by_a_proxy", "not here", {"status": status, "odd": 1}, status)
    assert type(error) is kind
    assert str(error) == "not here"
    assert not hasattr(error, "odd")
