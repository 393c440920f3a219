"""Whether a node does what its role says: what load balancers and orchestrators ask."""

from __future__ import annotations

import asyncio
from math import inf
from typing import TYPE_CHECKING, Final

from arke.background import POSTPONED
from arke.clock import SystemClock
from arke.log import Throttled, get_logger

if TYPE_CHECKING:
    from arke.cluster.worker import Worker
    from arke.errors import StoreUnavailable
    from arke.transport.ports import LogWriter

LOOKED_EVERY_S: Final = 2.0
ANSWERED_WITHIN_S: Final = 6.0
"""What has not answered for so long is out of reach."""

log = get_logger("node")


class Health:
    """`writer` where the log is looked after: without it a node that `takes_events` is not ready, and a client of
    Kafka finds out that it is cut off. `worker` where the node owns shards.
    """

    def __init__(
        self, writer: LogWriter | None, worker: Worker | None, *, takes_events: bool = False
    ) -> None:
        self._writer = writer
        self._worker = worker
        self._takes_events = takes_events
        self._directory_at = self._log_at = -inf
        self._problem = ""
        self._is_said = False
        self._say_log = Throttled(log, "log_out_of_reach", SystemClock())

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
            self._say_log(message=str(error))
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
        """Whether the directory answers, and the log where the node takes events."""
        last = min(self._directory_at, self._log_at) if self._takes_events else self._directory_at
        return _now() - last < ANSWERED_WITHIN_S

    def ready(self) -> bool:
        return self.reaches() and (self._worker is None or self._worker.settled)


def _now() -> float:
    return asyncio.get_running_loop().time()
