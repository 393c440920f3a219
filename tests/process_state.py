"""What a process has once, and whatever runs within a test, or within a fixture of many tests, changes for all that
come after: the log, the mask of new files, the environment, who hears signals, and how often cycles are looked for.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

import structlog
from structlog._config import BoundLoggerLazyProxy

from arke import log

if TYPE_CHECKING:
    from collections.abc import Iterator

HEARD: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGPIPE)


@contextmanager
def process_restored() -> Iterator[None]:
    """Whatever is changed meanwhile is as it was before."""
    with ExitStack() as stack:
        stack.callback(os.umask, os.umask(0o022))
        stack.callback(gc.set_threshold, *gc.get_threshold())
        stack.enter_context(_environment_restored())
        stack.enter_context(_signals_restored())
        stack.enter_context(logging_restored())
        yield


@contextmanager
def _environment_restored() -> Iterator[None]:
    before = {**os.environ}
    try:
        yield
    finally:
        for name in os.environ.keys() - before:
            del os.environ[name]
        os.environ.update({name: value for name, value in before.items() if os.environ.get(name) != value})


@contextmanager
def _signals_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in HEARD}
    try:
        yield
    finally:
        for number, handler in before.items():
            if signal.getsignal(number) is not handler:
                signal.signal(number, handler)


@contextmanager
def logging_restored() -> Iterator[None]:
    """Who takes what libraries say, structlog's configuration, and from which level on we log."""
    root = logging.getLogger()
    taking, level, before = [*root.handlers], log._level, structlog.get_config()
    try:
        yield
    finally:
        for handler in [one for one in root.handlers if isinstance(one, log.LibraryLines)]:
            if handler not in taking:
                root.removeHandler(handler)
        log._level = level
        if structlog.get_config()["processors"] is not before["processors"]:
            structlog.configure(**before)
            _forget_bound_loggers()


def _forget_bound_loggers() -> None:
    """Loggers of modules that were used under the other configuration keep it, and its stream, otherwise."""
    for name, module in [*sys.modules.items()]:
        if name.partition(".")[0] == "arke":
            for value in [*vars(module).values()]:
                if isinstance(value, BoundLoggerLazyProxy):
                    vars(value).pop("bind", None)
