"""For how long a server may say nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from arke.storage.postgres import connection
from arke.storage.postgres.connection import Server

if TYPE_CHECKING:
    from collections.abc import Generator

NOTHING, SOMETHING = 0, 1


class Waiting:
    """A connection whose server is waited for, and its clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, asked: int | None) -> None:
        """`asked`: how many statements went out together."""
        self._now = 100.0
        monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: self._now))
        kind: Any = connection._Bounded
        self.it = kind.__new__(kind)
        self.it.answers_within_s = 40.0
        self.it.pgconn = SimpleNamespace(finish=lambda: None, status=psycopg.pq.ConnStatus.BAD)
        self.it._pipeline = None if asked is None else SimpleNamespace(result_queue=[None] * asked)
        self._steps = self.it._within(self._rows())
        next(self._steps)

    @staticmethod
    def _rows() -> Generator[str, int, None]:
        while True:
            yield "more"

    def after(self, seconds: float, ready: int) -> None:
        self._now += seconds
        self._steps.send(ready)


def test_a_server_that_keeps_sending_is_not_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch, None)
    for _ in range(10):
        waiting.after(39.0, NOTHING)
        waiting.after(0.5, SOMETHING)
    waiting.after(40.0, NOTHING)
    assert not waiting.it.given_up
    with pytest.raises(psycopg.OperationalError, match=r"has not answered for 40 s$"):
        waiting.after(0.1, NOTHING)
    assert waiting.it.given_up


def test_statements_that_go_out_together_have_the_time_of_each(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch, 3)
    waiting.after(120.0, NOTHING)
    with pytest.raises(psycopg.OperationalError, match=r"has not answered for 40 s a statement$"):
        waiting.after(0.1, NOTHING)


def test_what_was_answered_counts_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = Waiting(monkeypatch, 3)
    waiting.after(100.0, SOMETHING)
    waiting.it._pipeline.result_queue.clear()
    with pytest.raises(psycopg.OperationalError, match=r"has not answered for 40 s$"):
        waiting.after(40.1, NOTHING)


def test_who_is_patient_has_no_end() -> None:
    assert Server("host=nowhere").patient().answers_within_s == float("inf")


@pytest.mark.parametrize(
    ("said", "by_settings"),
    [
        ("FATAL:  server login has been failing, cached error: connect failed (server_login_retry)", False),
        ("FATAL:  pgbouncer cannot connect to server", False),
        ("FATAL:  query_wait_timeout", False),
        ("FATAL:  client_login_timeout (server down)", False),
        ("FATAL:  the database system is starting up", False),
        ('FATAL:  database "x" does not exist', True),
        ("FATAL:  no such database: x", True),
    ],
)
def test_what_goes_by_itself_is_no_mistake_in_the_settings(said: str, *, by_settings: bool) -> None:
    error = psycopg.OperationalError(f'connection to server at "10.0.0.1", port 6432 failed: {said}')
    assert connection._not_connected("PostgreSQL", error).by_settings is by_settings
