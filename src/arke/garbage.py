"""Cycles of objects: processes that make many objects and hardly any cycles look for them seldom, since everything
waits meanwhile. A node of a cluster that looks as often as Python does by itself may lose its leases by it, and an
engine spends a twelfth of its time on it.
"""

from __future__ import annotations

import gc
from typing import Final

THRESHOLDS: Final = (50_000, 50, 50)


def collect_seldom() -> None:
    gc.set_threshold(*THRESHOLDS)


def keep_what_is_there() -> None:
    """What has been made so far stays until the end: it is not looked at again."""
    gc.freeze()
