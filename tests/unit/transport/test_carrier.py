"""What a sender hears of events whose transaction failed: nobody knows, or they are not in the log."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest
from psycopg.errors import AdminShutdown, ConnectionFailure, DiskFull, ProtocolViolation, UndefinedTable

from arke.errors import ShardDown, StoreUnavailable
from arke.transport.postgres.carrier import PostgresCarrier

if TYPE_CHECKING:
    from arke.storage.postgres.connection import Connection, Session
    from arke.transport.packing import Packed


class Failing:
    """A connection whose statement ends like this."""

    def __init__(self, error: psycopg.Error, *, closed: bool) -> None:
        self._error = error
        self.closed = closed

    def execute(self, *_: object, **__: object) -> Any:
        raise self._error


def heard(error: psycopg.Error, *, closed: bool = False) -> type[Exception]:
    carrier = PostgresCarrier(cast("Session", SimpleNamespace(warned=False)))
    message = cast("Packed", SimpleNamespace(shard=0, body=lambda: b""))
    with pytest.raises((ShardDown, StoreUnavailable)) as raised:
        carrier._append(cast("Connection", Failing(error, closed=closed)), [message])
    return raised.type


@pytest.mark.parametrize(
    "error",
    [
        psycopg.OperationalError("the connection is lost"),
        AdminShutdown("terminating connection"),
        ProtocolViolation("server conn crashed?"),  # a pooler's, of a server that may have committed
        ConnectionFailure("connection failure"),
    ],
)
def test_nobody_knows_what_a_server_did_that_went_away(error: psycopg.Error) -> None:
    assert heard(error) is ShardDown


def test_nobody_knows_what_was_done_over_a_connection_that_is_closed() -> None:
    assert heard(DiskFull("no room"), closed=True) is ShardDown


@pytest.mark.parametrize("error", [DiskFull("no room"), UndefinedTable("no log")])
def test_what_a_server_refused_is_not_in_the_log(error: psycopg.Error) -> None:
    """Its sender may send it again, and it counts once."""
    assert heard(error) is StoreUnavailable
