"""One starter for all shards' processes of a test run: each test's own would import everything again."""

from __future__ import annotations

import atexit
import functools

from arke.transport.starting import Starter


@functools.cache
def starter() -> Starter:
    made = Starter()
    atexit.register(made.close)
    return made
