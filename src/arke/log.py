"""Structured logs: one JSON line an event on stderr, figures and codes only, never ids or payloads."""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from arke.clock import Clock

QUIET_S = 60.0
"""Between two lines of a kind that anybody can cause."""


def configure_logging(level: int = logging.INFO) -> None:
    """Log JSON lines to stderr from `level` on."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def get_logger(component: str, **facts: Any) -> Any:
    """A logger that names its component on every line."""
    return structlog.get_logger().bind(component=component, **facts)


class Throttled:
    """A warning that anybody can cause: a line a minute at most, with how many have gone unsaid since the last."""

    def __init__(self, log: Any, event: str, clock: Clock) -> None:
        self._log = log
        self._event = event
        self._clock = clock
        self._said_at: float | None = None
        self._unsaid = 0

    def __call__(self, **facts: Any) -> None:
        now = self._clock.now()
        if self._said_at is not None and 0 <= now - self._said_at < QUIET_S:
            self._unsaid += 1
            return
        self._log.warning(self._event, unsaid=self._unsaid, **facts)
        self._said_at, self._unsaid = now, 0
