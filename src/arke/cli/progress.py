"""A bar on stderr for whoever waits at a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

from arke.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich import progress as bars

BAR: Final = 20
"""Characters of the bar."""


class LongWork:
    """A work that takes a while, shown as long as it is entered. Where nobody looks (no terminal, or `quiet`: a
    program reads what comes) nothing is written, nor loaded.
    """

    def __init__(
        self, stage: str, *, quiet: bool = False, done: float = 0, total: float | None = None
    ) -> None:
        self._shown = not quiet and sys.stderr.isatty()
        self._stage = stage
        self._done = done
        self._total = total
        self._bar: tuple[bars.Progress, bars.TaskID] | None = None

    def __enter__(self) -> Self:
        if self._shown:
            bar = _bar()
            self._bar = bar, bar.add_task(self._stage, completed=int(self._done), total=self._total)
            bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar[0].stop()
            self._bar = None

    @contextmanager
    def put_away(self) -> Iterator[None]:
        """While results are printed."""
        self.__exit__()
        try:
            yield
        finally:
            self.__enter__()

    def tell(self, stage: str, done: float = 0, total: float | None = None) -> None:
        """What is done now, and how much of it; without `total` nobody knows how much there is."""
        self._stage, self._done, self._total = stage, done, total or None
        if self._bar is not None:
            bar, task = self._bar
            bar.update(task, description=stage, completed=min(done, total or done), total=self._total)


def following_bytes(work: LongWork) -> Progress:
    """What copies files says by this how far it is."""
    return Progress(lambda now: work.tell(f"{now.done / 1e6:,.0f} MB: {now.stage}", now.done, now.total))


def following_rows(work: LongWork) -> Progress:
    """The same for what copies rows."""
    return Progress(lambda now: work.tell(f"{now.done:,} rows: {now.stage}", now.done, now.total))


def _bar() -> bars.Progress:
    """One that leaves no trace when it ends. What is printed meanwhile goes where it was sent, never to stderr."""
    from rich import progress as bars
    from rich.console import Console
    from rich.table import Column

    return bars.Progress(
        bars.SpinnerColumn(),
        bars.BarColumn(bar_width=BAR),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
        expand=True,  # the text alone is cut where a terminal is narrow
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
