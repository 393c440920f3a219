"""The `arke` command: its options and its words, and no logic."""

from __future__ import annotations

import errno
import io
import logging
import os
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from arke import __version__
from arke.cli.catalog import apply, check, estimate
from arke.cli.cluster import cluster_app
from arke.cli.console import console
from arke.cli.deliveries import batch_app, resync, undelivered_app
from arke.cli.doctor import doctor
from arke.cli.engine import status, up
from arke.cli.examples import show_examples
from arke.cli.explain import explain
from arke.cli.imports import import_app
from arke.cli.onboard import onboard
from arke.cli.privacy import privacy_app
from arke.cli.receiver import probe, receiver
from arke.cli.reconcile import reconcile
from arke.cli.sources import source_app
from arke.cli.token import token_app
from arke.cli.trials import bench, demo, simulate
from arke.cli.upkeep import backup, reshard, restore
from arke.errors import ArkeError

WIDEST: Final = 110
"""Characters of a line of help."""

app = typer.Typer(
    name="arke",
    no_args_is_help=True,
    rich_markup_mode=None,  # plain text: at once there, readable where a terminal is narrow, brackets as written
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"arke {__version__}\n")
        raise typer.Exit


@app.callback()
def arke(
    *,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_show_version, is_eager=True)
    ] = False,
) -> None:
    """Real-time outbound audience transfers: tell destinations who is in which segment, within moments.

    Exit codes: 0 fine, 1 the work failed, 2 wrong use or invalid input. `arke COMMAND --help` has examples.
    """


app.command()(demo)
app.command()(up)
app.command()(console)
app.command()(check)
app.command()(apply)
app.add_typer(import_app, name="import")
app.command()(onboard)
app.command()(estimate)
app.command()(explain)
app.command()(reconcile)
app.add_typer(batch_app, name="batch")
app.command()(resync)
app.add_typer(undelivered_app, name="undelivered")
app.add_typer(privacy_app, name="privacy")
app.command()(receiver)
app.command()(probe)
app.command()(simulate)
app.add_typer(token_app, name="token")
app.add_typer(source_app, name="source")
app.command()(status)
app.command()(doctor)
app.command()(bench)
app.command()(backup)
app.command()(restore)
app.command()(reshard)
app.add_typer(cluster_app, name="cluster")
show_examples(app)


_NAMED_WRONGLY: Final = frozenset(
    {errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EPERM}
)
"""What a system says of a path that is not there, or not for this user."""
_USED_UP: Final = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC})
"""What it says when it has no more files, processes, memory or room."""


def main() -> None:
    """Run a command. Exit codes: 0 fine, 1 the work failed, 2 wrong use or invalid input."""
    _ready_streams()
    if not _only_asks():
        from arke.log import configure_logging

        configure_logging(logging.WARNING)
    try:
        app()
    except ArkeError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno in _USED_UP:
            sys.stderr.write(
                f"arke: {str(error.strerror).lower()}: `arke doctor` says what this machine has\n"
            )
            sys.exit(1)
        if error.filename is None:
            raise
        sys.stderr.write(f"arke: {error.filename}: {error.strerror}\n")
        sys.exit(2 if error.errno in _NAMED_WRONGLY else 1)
    except UnicodeEncodeError as error:
        stray = error.object[error.start : error.end]
        word = next((word for word in sys.argv if stray in word), None)
        if word is None:
            raise
        sys.stderr.write(f"arke: {word}: this is not UTF-8\n")
        sys.exit(2)


def _ready_streams() -> None:
    """Whoever started this may have closed input, output or both: they lead nowhere then. Otherwise the next file
    or socket would get their number, and the event loop ends the process over that. What the encoding of a
    terminal does not have is written as an escape, and JSON in UTF-8 whatever the terminal.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            mode = "r" if name == "stdin" else "w"
            stream = Path(os.devnull).open(mode, encoding="utf-8")  # noqa: SIM115 - open until the process ends
            os.set_inheritable(stream.fileno(), True)
            setattr(sys, name, stream)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8" if "--json" in sys.argv else None, errors="backslashreplace")


def _only_asks() -> bool:
    """For help, or what Tab offers: that logs nothing, and is there sooner without the library for it."""
    return "_ARKE_COMPLETE" in os.environ or not {"-h", "--help"}.isdisjoint(sys.argv)


def _complain(error: ArkeError) -> None:
    sys.stderr.write(f"arke: {error}\n")
