"""`python dying.py FOLDER POINTS`: engines that take events until they are killed, each at another one of the
points.

A point is before and after each commit of the directory and of its shards. In the folder of each, `answered` has
what was answered, and `synced` how much of the directory's log was synced.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from arke.engine.identity import mappings
from arke.storage.committer import ThreadCommitter
from integration.engine.power import come, engine_on, synced_log

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = 7
MOST_PROMISED = 4


class _Death:
    def __init__(self, point: int) -> None:
        self._left = point
        self.awaited = False

    def point(self) -> None:
        if self.awaited:
            self._left -= 1
            if self._left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


def _with_points(death: _Death, run: Callable[..., Any]) -> Callable[..., Any]:
    async def passed(self: ThreadCommitter, write: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        def work(*args: Any, **kwargs: Any) -> Any:
            death.point()
            done = write(*args, **kwargs)
            death.point()
            return done

        return await run(self, work, *args, **kwargs)

    return passed


async def _live(folder: Path, death: _Death) -> None:
    with (folder / "answered").open("a") as answered, (folder / "synced").open("w") as synced:

        def note(size: int) -> None:
            synced.write(f"{size}\n")
            synced.flush()

        async with engine_on(folder / "data", 2) as engine:
            synced_log(engine, note)
            death.awaited = True
            for number in range(NAMES):
                for name in (f"n{number}", f"n{number // 2}"):
                    uuid = await come(engine, name)
                    answered.write(f"{name} {uuid}\n")
                    answered.flush()
                await engine.identity.catch_up()
            death.awaited = False


def main() -> None:
    """In a process for each point, of which this one is the parent: so modules are imported once."""
    run_small, run = ThreadCommitter.run_small, ThreadCommitter.run
    root, points = Path(sys.argv[1]), int(sys.argv[2])
    for point in range(points):
        folder = root / str(point)
        folder.mkdir()
        child = os.fork()
        if child == 0:
            death = _Death(point)
            ThreadCommitter.run_small = _with_points(death, run_small)  # type: ignore[method-assign]
            ThreadCommitter.run = _with_points(death, run)  # type: ignore[method-assign]
            with patch.object(mappings, "MOST_PROMISED", MOST_PROMISED):
                asyncio.run(_live(folder, death))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        (folder / "killed").write_text(str(os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL))


if __name__ == "__main__":
    main()
