"""A count of all users of a destination ends, whatever it meets, and may then be begun again."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from arke.engine.reconciliation import Reconciliation
from arke.errors import InvalidInput
from patience import eventually

if TYPE_CHECKING:
    from arke.clock import Clock
    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards


class Failing:
    """Shards of which none can answer."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __len__(self) -> int:
        return 2

    async def ask_all(self, _: object) -> list[Any]:
        raise self._error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (KeyError(7), "the engine failed on this count; it is logged"),
        (InvalidInput("no destination 7 in the catalog by now"), "no destination 7 in the catalog by now"),
    ],
)
async def test_one_that_failed_is_over(error: Exception, said: str) -> None:
    catalog = cast("LiveCatalog", SimpleNamespace(version=1, has_destination=lambda _: True))
    clock = cast("Clock", SimpleNamespace(now=lambda: 100.0))
    counts = Reconciliation(catalog, cast("Shards", Failing(error)), clock)
    first = counts.begin(7)
    await eventually(lambda: not first.running, "the count to end")
    assert (first.error, first.complete) == (said, False)
    assert counts.begin(7) is not first
    await counts.stop()
