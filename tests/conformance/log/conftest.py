"""The logs of the suite, on servers that all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.log.places import KafkaPlace, PostgresPlace
from conformance.log.worker import Store
from servers.kafka import shared
from servers.postgres import KINDS, fresh_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conformance.log.places import Place


@pytest.fixture(scope="session")
def bootstrap() -> str:
    """Where Kafka is: three brokers that are not to be killed."""
    return shared()


@pytest.fixture
def kafka(bootstrap: str) -> KafkaPlace:
    return KafkaPlace(bootstrap)


@pytest.fixture(params=KINDS)
def postgres(request: pytest.FixtureRequest) -> Iterator[PostgresPlace]:
    for dsn in fresh_schema(request.param):
        yield PostgresPlace(dsn)


@pytest.fixture(params=["kafka", *KINDS])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    yield from _place(request)


@pytest.fixture(params=["kafka", KINDS[-1]])
def each_log(request: pytest.FixtureRequest) -> Iterator[Place]:
    """As `place`, for what takes long: one PostgreSQL is like the other there."""
    yield from _place(request)


def _place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "kafka":
        found: Place = request.getfixturevalue("kafka")
        yield found
    else:
        for dsn in fresh_schema(request.param):
            yield PostgresPlace(dsn)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "store.db")
    yield found
    found.close()
