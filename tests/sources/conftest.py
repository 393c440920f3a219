"""One broker a session; each test has its own topics and groups."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from servers.kafka import Cluster, kafka_cluster

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with kafka_cluster(tmp_path_factory.mktemp("kafka") / "cluster", nodes=1) as cluster:
        yield cluster
