"""The commands by name: where each is, what it is for in a line. It is imported when it is called."""

from __future__ import annotations

from importlib import import_module
from typing import Any, Final, NamedTuple

import click
from click.exceptions import Exit

from arke.cli.declared import command


class Entry(NamedTuple):
    """`module` is one of this package; `found` is a function, or a Subject."""

    module: str
    found: str
    line: str


COMMANDS: Final = {
    "demo": Entry("trials", "demo", "Watch Arke do its job on this machine, from event to message."),
    "up": Entry("engine", "up", "Run the engine: intake, evaluation, delivery, admin API."),
    "console": Entry("console", "console", "Print a link to the console that signs in once."),
    "check": Entry("catalog", "check", "Validate a catalog: every problem, its place, how to mend it."),
    "apply": Entry("catalog", "apply", "Show what a catalog changes, and switch to it."),
    "import": Entry("imports", "import_app", "Make a catalog of another system's configuration."),
    "onboard": Entry("onboard", "onboard", "Load files, and show what became of their lines."),
    "estimate": Entry("catalog", "estimate", "Say how many stored profiles a segment rule would hold now."),
    "explain": Entry("explain", "explain", "Say why a user is (not) in each segment, and what was sent."),
    "reconcile": Entry("reconcile", "reconcile", "Put every user of a segment into exactly one bucket."),
    "batch": Entry("deliveries", "batch_app", "Batches: run one now; what ran and what is due."),
    "resync": Entry("deliveries", "resync", "Send a destination the full current state."),
    "undelivered": Entry(
        "deliveries", "undelivered_app", "What destinations should know and have not acknowledged."
    ),
    "privacy": Entry("privacy", "privacy_app", "Access, deletion and opt-out, with proof."),
    "receiver": Entry("receiver", "receiver", "Run a reference destination, which misbehaves on demand."),
    "probe": Entry("receiver", "probe", "Send an endpoint samples, and say what it makes of them."),
    "simulate": Entry("trials", "simulate", "Run a script of events and write what would be sent."),
    "token": Entry("token", "token_app", "API tokens for the intake and the admin API."),
    "source": Entry("sources", "source_app", "Topics of Kafka that events are read from (intake.kafka)."),
    "status": Entry("engine", "status", "Show the health and figures of an engine."),
    "doctor": Entry("doctor", "doctor", "Look at all an engine needs here; say what is wrong first."),
    "bench": Entry("trials", "bench", "Measure what this machine does with Arke on it, as ratios."),
    "backup": Entry("upkeep", "backup", "Back a data directory up, also while its engine runs."),
    "restore": Entry("upkeep", "restore", "Make an empty data directory what a backup has."),
    "reshard": Entry("upkeep", "reshard", "Write a stopped data directory anew in other shards."),
    "cluster": Entry("cluster", "cluster_app", "Many nodes over one PostgreSQL and one log of events."),
}


def load(name: str) -> click.Command:
    """The command, or the group of commands."""
    entry = COMMANDS[name]
    found = getattr(import_module(f"arke.cli.{entry.module}"), entry.found)
    return found if isinstance(found, click.Command) else command(found, name)


class Commands(click.Group):
    """Shows the lines of the table, and loads the command that is called."""

    def __init__(self, *given: Any, **options: Any) -> None:
        super().__init__(*given, **options)
        self.commands = {name: click.Command(name, help=entry.line) for name, entry in COMMANDS.items()}
        self._loaded: set[str] = set()

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """In the table's order."""
        return [*COMMANDS]

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Exit(130) from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if name in COMMANDS and name not in self._loaded:
            self.commands[name] = load(name)
            self._loaded.add(name)
        return super().resolve_command(ctx, args)
