"""What processes cost, and all that they have started: CPU and memory, read from the kernel."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from arke.bench.processes import tree, tree_cpu_s

if TYPE_CHECKING:
    from collections.abc import Sequence

EVERY_S: Final = 1.0


def cpu_s(pids: Sequence[int]) -> float:
    return sum(map(tree_cpu_s, pids))


def memory_mb(pids: Sequence[int]) -> float:
    """What they have for themselves, and their shares of what they share (PSS)."""
    members = {member for pid in pids for member in tree(pid)}
    return sum(map(_pss_kb, members)) / 1024


def _pss_kb(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:  # it has ended meanwhile
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)


class MostMemory:
    """The most that they were seen to have, looked at once a second within the block."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, name="memory", daemon=True)
        self.mb = 0.0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while True:
            self.mb = max(self.mb, memory_mb(self._pids))
            if self._over.wait(EVERY_S):
                return
