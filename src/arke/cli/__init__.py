"""The `arke` command: its options and its words, and no logic."""

from __future__ import annotations

import errno
import io
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

from arke import __version__
from arke.cli.commands import Commands
from arke.cli.output import Unwritable, ready_output
from arke.cli.shells import DETECTED, install_script, show_script
from arke.errors import ArkeError
from arke.garbage import collect_seldom

WIDEST: Final = 110
"""Characters of a line of help."""


@click.group(
    name="arke",
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDEST},
)
@click.version_option(__version__, message="arke %(version)s", help="Print the version.")
@click.option(
    "--install-completion",
    metavar="[SHELL]",
    is_flag=False,
    flag_value=DETECTED,
    expose_value=False,
    is_eager=True,
    callback=install_script,
    help="Have Tab complete in this shell, or the one named: bash, zsh, fish or powershell.",
)
@click.option(
    "--show-completion",
    metavar="[SHELL]",
    is_flag=False,
    flag_value=DETECTED,
    expose_value=False,
    is_eager=True,
    callback=show_script,
    help="Print what does so instead, for a file of your own.",
)
def app() -> None:
    """Real-time outbound audience transfers: tell destinations who is in which segment, within moments.

    Exit codes: 0 fine, 1 the work failed, 2 wrong use or invalid input. `arke COMMAND --help` has examples.
    """


_NAMED_WRONGLY: Final = frozenset(
    {errno.EACCES, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.ENOENT, errno.ENOTDIR, errno.EPERM}
)
"""What a system says of a path that is not there, or not for this user."""
_USED_UP: Final = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOSPC})
"""What it says when it has no more files, processes, memory or room."""


def main() -> None:
    """Run a command. Exit codes: 0 fine, 1 the work failed, 2 wrong use or invalid input."""
    _ready_streams()
    collect_seldom()
    if _logs():
        import logging

        from arke.log import configure_logging

        configure_logging(logging.WARNING)
    try:
        try:
            app()
        finally:
            sys.stdout.flush()
    except ArkeError as error:
        _complain(error)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _drop_output()
        sys.stderr.close()
        sys.exit(1)
    except Unwritable as error:
        _drop_output()
        sys.stderr.write(f"arke: the output cannot be written: {str(error.strerror).lower()}\n")
        sys.exit(1)
    except OSError as error:
        _drop_output()
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
    ready_output()
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8" if "--json" in sys.argv else None, errors="backslashreplace")


def _drop_output() -> None:
    """What could not be written is not tried again as the process ends: that would have its own exit code."""
    with suppress(OSError, ValueError):  # a test's output has no number
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _logs() -> bool:
    """Not so `check`, help, the version and what Tab offers: they are there sooner without the library for it."""
    asks = "_ARKE_COMPLETE" in os.environ or not {"-h", "--help", "--version"}.isdisjoint(sys.argv)
    return not asks and sys.argv[1:2] != ["check"]


def _complain(error: ArkeError) -> None:
    sys.stderr.write(f"arke: {error}\n")
