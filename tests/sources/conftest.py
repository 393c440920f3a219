"""Brokers that all tests share; each test has its own topics and groups."""

from __future__ import annotations

import pytest

from servers.kafka import shared


@pytest.fixture(scope="session")
def brokers() -> str:
    return shared()
