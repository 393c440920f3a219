"""Structured logs: one JSON line an event on stderr, figures and codes only, never ids or payloads."""

from __future__ import annotations

import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from arke.absent import absent

# It makes pictures of tracebacks with them, for terminals: a quarter of all that a shard's process imports.
with absent("rich", "colorama"):
    import structlog

if TYPE_CHECKING:
    from arke.clock import Clock

QUIET_S: Final = 60.0
"""Between two lines of a kind that anybody can cause."""

LIBRARY_EVERY_S: Final = 60.0
MAX_LIBRARY_PLACES: Final = 1_000


class LibraryLines(logging.Handler):
    """What libraries log, as our lines: who, where and what kind of error, at most once a minute a place.

    Never their words: the HTTP server and asyncio may quote what a stranger sent, with a traceback, as often as he
    likes.
    """

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._logged_at: dict[tuple[str, str, int], float] = {}
        self._unlogged: dict[tuple[str, str, int], int] = {}

    def emit(self, record: logging.LogRecord) -> None:
        place = (record.name, record.module, record.lineno)
        now = time.monotonic()
        times = self._unlogged.pop(place, 0) + 1
        logged_at = self._logged_at.get(place)
        if logged_at is not None and now - logged_at < LIBRARY_EVERY_S:
            self._unlogged[place] = times
            return
        if len(self._logged_at) >= MAX_LIBRARY_PLACES:
            self._logged_at.clear()
        self._logged_at[place] = now
        kind = record.exc_info[0] if record.exc_info else None
        get_logger("library").log(
            record.levelno,
            "a library reports a problem",
            library=record.name,
            place=f"{record.module}:{record.lineno}",
            error=kind.__name__ if kind is not None else None,
            times=times,
        )


def _take_library_lines() -> None:
    root = logging.getLogger()
    if not any(isinstance(handler, LibraryLines) for handler in root.handlers):
        root.addHandler(LibraryLines())


_level = logging.INFO


def configure_logging(level: int = logging.INFO) -> None:
    """Log JSON lines to stderr from `level` on; shards' processes that are started afterwards do as well."""
    global _level
    _level = level
    _take_library_lines()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        # One write a line: the lines of processes that share a file stay whole also where Python does not buffer.
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )


def log_level() -> int:
    """From where on this process logs."""
    return _level


def get_logger(component: str, **facts: Any) -> Any:
    """A logger that names its component on every line."""
    # Bound when it is first used: modules make theirs before the level is known.
    return structlog.get_logger(component=component, **facts)


def kind_and_place(problem: BaseException) -> str:
    """The kind of an error and the place where it was raised, without its text."""
    trace = problem.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_qualname}:{trace.tb_lineno}" if trace is not None else "unknown"
    return f"{type(problem).__name__} in {place}"


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
