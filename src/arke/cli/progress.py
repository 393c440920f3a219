"""A bar on stderr for whoever waits at a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.progress import Progress, TaskID

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
        self._bar: tuple[Progress, TaskID] | None = None

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


def _bar() -> Progress:
    """One that leaves no trace when it ends. What is printed meanwhile goes where it was sent, never to stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn
    from rich.table import Column

    return Progress(
        SpinnerColumn(),
        BarColumn(bar_width=BAR),
        TaskProgressColumn(),
        TextColumn("{task.description}", markup=False, table_column=Column(ratio=1, no_wrap=True)),
        expand=True,  # the text alone is cut where a terminal is narrow
        console=Console(stderr=True),
        transient=True,
        redirect_stdout=False,
    )
