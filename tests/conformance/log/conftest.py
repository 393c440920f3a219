"""The logs of the suite, on servers that are started once a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from conformance.log.places import KafkaPlace
from conformance.log.worker import Store
from servers.kafka import Cluster, kafka_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from conformance.log.places import Place


@pytest.fixture(scope="session")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with kafka_cluster(tmp_path_factory.mktemp("kafka") / "cluster") as cluster:
        yield cluster


@pytest.fixture(scope="session")
def kafka(brokers: Cluster) -> KafkaPlace:
    return KafkaPlace(brokers.bootstrap)


@pytest.fixture(params=["kafka"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    found = Store(tmp_path / "store.db")
    yield found
    found.close()
