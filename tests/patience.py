"""How long a test waits for something to happen: one bound for all of them, and two ways to wait.

The bound says only that a test which waits for ever is to fail. How long something may take is never tested
with it: a machine that has other work is ten times as slow as one that has none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

PATIENCE_S: Final = 300.0
_LOOK_EVERY_S = 0.01


def wait_until(done: Callable[[], object], what: str) -> None:
    """Poll until `done` is true; after the bound the test fails with `what` was waited for. As long as a look takes
    nobody looks: what is waited for needs the machine, too.
    """
    end = time.monotonic() + PATIENCE_S
    while True:
        looked = time.monotonic()
        if done():
            return
        now = time.monotonic()
        assert now < end, f"waited {PATIENCE_S:g} s for {what}"
        time.sleep(max(_LOOK_EVERY_S, now - looked))


async def eventually(done: Callable[[], object], what: str) -> None:
    """The same on an event loop, which goes on meanwhile; `done` may have to be awaited. On virtual time the bound
    is a virtual one.
    """
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await _true(done()):
                await asyncio.sleep(_LOOK_EVERY_S)
    except TimeoutError:
        raise AssertionError(f"waited {PATIENCE_S:g} s for {what}") from None


async def _true(answer: object) -> bool:
    return bool(await answer if isinstance(answer, Awaitable) else answer)
