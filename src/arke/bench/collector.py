"""The garbage collector as a shard's own process sets it, for benches that run a shard's code themselves."""

from __future__ import annotations

import gc
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

THRESHOLDS = (50_000, 50, 50)


@contextmanager
def tuned_collector() -> Iterator[None]:
    """What exists is left alone and young objects are looked at less often."""
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
