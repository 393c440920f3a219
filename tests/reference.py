"""What something costs, in seconds of CPU of a machine at full speed, whatever this one is doing meanwhile.

A machine's clock may be at a third of its best, and other work takes caches away. So what is found dear is
compared with a plain piece of work that is done right before and right after.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

SOON_S: Final = 5.0
"""What is refused soon takes a fraction of this, and what an attack makes of it without the refusal many times as
much: nothing in between is told from the noise of a machine.
"""
FULL_SPEED_S: Final = 0.016
"""What the plain piece of work takes at full speed."""
_STEPS: Final = 100_000
_TRIES: Final = 4


def ends_soon(work: Callable[[], object]) -> bool:
    """Whether one of some tries does: what disturbs one makes it dearer, never cheaper. All threads of this
    process count.
    """
    return _cpu_s(work) < SOON_S or any(_at_full_speed_s(work) < SOON_S for _ in range(_TRIES))


def _at_full_speed_s(work: Callable[[], object]) -> float:
    before_s = _cpu_s(_plain_work)
    spent_s = _cpu_s(work)
    return spent_s * FULL_SPEED_S / max(before_s, _cpu_s(_plain_work))


def _cpu_s(work: Callable[[], object]) -> float:
    started_s = time.process_time()
    work()
    return time.process_time() - started_s


def _plain_work() -> None:
    """Counting words: numbers, texts, a dictionary and calls, as programs are made of."""
    counts: dict[str, int] = {}
    for number in range(_STEPS):
        word = str(number % 1_000)
        counts[word] = counts.get(word, 0) + 1
