"""What a person sees: a live table on a terminal, plain lines elsewhere, nothing for `--json`; then the report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from arke.demo.keyboard import key_or
from arke.demo.report import print_report

if TYPE_CHECKING:
    import asyncio
    from types import TracebackType

    from rich.console import Console

    from arke.demo.run import Opened
    from arke.demo.summary import Summary
    from arke.demo.traffic import Tally
    from arke.operations.status import Status

LINE_EVERY: Final = 8
"""Ticks between two plain lines."""


class Silence:
    """Shows nothing."""

    def __enter__(self) -> Silence:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return

    def opened(self, opened: Opened) -> None:
        """Said nowhere."""

    def stage(self, text: str) -> None:
        """Said nowhere."""

    def tick(self, tally: Tally, status: Status) -> None:
        """Said nowhere."""

    async def concluded(self, summary: Summary, stop: asyncio.Event) -> None:
        """Said nowhere."""


class Lines(Silence):
    """One line a stage, and one every few seconds in between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._ticks = 0

    def opened(self, opened: Opened) -> None:
        self._console.print(_doors(opened), soft_wrap=True)

    def stage(self, text: str) -> None:
        self._console.print(f"* {text}", highlight=False)

    def tick(self, tally: Tally, status: Status) -> None:
        if self._ticks % LINE_EVERY == 0:
            owed = sum(row.owed for row in status.destinations)
            messages = sum(row.messages for row in status.destinations)
            acknowledged = sum(row.acknowledged for row in status.destinations)
            self._console.print(
                f"  {tally.sent:,} events sent, {tally.accepted:,} accepted, "
                f"{tally.rejected.total():,} rejected; {status.changes:,} membership changes; "
                f"{messages:,} messages, {acknowledged:,} acknowledged; {owed:,} devices owed",
                highlight=False,
                soft_wrap=True,
            )
        self._ticks += 1

    async def concluded(self, summary: Summary, stop: asyncio.Event) -> None:  # noqa: ARG002 - ends by itself
        print_report(self._console, summary)


class Screen(Lines):
    """A table that is redrawn in place."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(console=console, refresh_per_second=4)

    def __enter__(self) -> Screen:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def tick(self, tally: Tally, status: Status) -> None:
        self._live.update(Group(_events(tally, status), _lanes(status)), refresh=True)

    async def concluded(self, summary: Summary, stop: asyncio.Event) -> None:
        self._live.stop()
        await super().concluded(summary, stop)


class Held(Screen):
    """Stays when all is said, so that there is time to look at the console."""

    def opened(self, opened: Opened) -> None:
        super().opened(opened)
        self._opened = opened

    async def concluded(self, summary: Summary, stop: asyncio.Event) -> None:
        await super().concluded(summary, stop)
        self._console.print(_invitation(self._opened), soft_wrap=True)
        stop.clear()  # whatever ended the traffic
        await key_or(stop)


def _invitation(opened: Opened) -> Text:
    text = Text("\nEverything still runs. The console has it all:\n\n")
    text.append(f"  {opened.console}\n\n", style="bold")
    text.append(f"The link signs in once; another one: arke console --data {opened.data}\n")
    return text.append("Press any key to end the demo.", style="bold green")


def _doors(opened: Opened) -> Text:
    text = Text("\n")
    rows = [
        ("visitors' events", f"{opened.intake}/event, /ibs: and /v1/events"),
        ("console", f"{opened.console}   (signs in once)"),
        ("admin API", f"{opened.admin}/v1/status, /metrics, ... (with a token: arke token create)"),
        ("look inside", f"arke status --data {opened.data}   (in another terminal, while this runs)"),
        ("catalog", str(opened.catalog)),
        *opened.others.items(),
        *opened.destinations.items(),
    ]
    for label, value in rows:
        text.append(f"  {label:<18}", style="bold")
        text.append(f"{value}\n")
    text.append(f"  {opened.planned_events:,} events are planned; Ctrl-C ends the traffic early\n")
    return text


def _events(tally: Tally, status: Status) -> Text:
    return Text(
        f"events: {tally.sent:,} sent, {tally.accepted:,} accepted, {tally.rejected.total():,} rejected   "
        f"devices: {status.profiles:,}   membership changes: {status.changes:,}"
    )


def _lanes(status: Status) -> Table:
    table = Table("destination", box=SIMPLE_HEAD)
    for heading in ("messages", "acknowledged", "retries", "owed", "waiting", "p50 ms", "p99 ms"):
        table.add_column(heading, justify="right")
    for row in status.destinations:
        table.add_row(
            row.name,
            f"{row.messages:,}",
            f"{row.acknowledged:,}",
            f"{row.retries:,}",
            f"{row.owed:,}",
            f"{row.backlog:,}",
            "" if row.p50_ms is None else f"{row.p50_ms:,.0f}",
            "" if row.p99_ms is None else f"{row.p99_ms:,.0f}",
        )
    return table
