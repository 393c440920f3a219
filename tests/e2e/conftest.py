"""Destinations that several files of tests speak to: each file has its own pair."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.receiver_thread import ReceiverThread

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def well() -> Iterator[ReceiverThread]:
    with ReceiverThread() as receiver:
        yield receiver


@pytest.fixture(scope="module")
def failing() -> Iterator[ReceiverThread]:
    with ReceiverThread() as receiver:
        yield receiver
