"""Whether a node does what its role says: what load balancers and orchestrators ask."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Final

from arke.background import POSTPONED
from arke.log import get_logger

if TYPE_CHECKING:
    from arke.cluster.worker import Worker
    from arke.errors import StoreUnavailable
    from arke.transport.ports import LogWriter

LOOKED_EVERY_S: Final = 2.0
ANSWERED_WITHIN_S: Final = 6.0
"""What has not answered for so long is out of reach."""

log = get_logger("node")


class Health:
    """`writer` where the node takes events, `worker` where it owns shards."""

    def __init__(self, writer: LogWriter | None, worker: Worker | None) -> None:
        self._writer = writer
        self._worker = worker
        self._directory_at = self._log_at = -inf
        self._problem = ""
        self._is_said = False

    def directory_answered(self) -> None:
        """Just now."""
        self._directory_at = _now()
        self._problem = ""

    def directory_failed(self, error: StoreUnavailable) -> None:
        """Just now."""
        self._problem = str(error)

    async def look(self) -> None:
        """Whether the directory still answers, and the log."""
        self._say_directory()
        if self._writer is None:
            return
        try:
            await self._writer.check()
        except POSTPONED as error:
            log.warning("log_out_of_reach", message=str(error))
        else:
            self._log_at = _now()

    def _say_directory(self) -> None:
        """When it has come to be out of reach, and when it answers again."""
        silent_s = _now() - self._directory_at
        is_out = ANSWERED_WITHIN_S <= silent_s < inf  # a node that starts has asked nothing yet
        if is_out and not self._is_said:
            problem = self._problem or f"it has not answered for {silent_s:.0f} s"
            log.warning("directory_out_of_reach", message=problem)
        elif self._is_said and not is_out:
            log.info("directory_answers")
        self._is_said = is_out

    def reaches(self) -> bool:
        """Whether the directory answers, and the log where the node writes to it."""
        last = self._directory_at if self._writer is None else min(self._directory_at, self._log_at)
        return _now() - last < ANSWERED_WITHIN_S

    def ready(self) -> bool:
        return self.reaches() and (self._worker is None or self._worker.settled)


def _now() -> float:
    return asyncio.get_running_loop().time()
