"""`arke doctor`: what is wrong with this installation."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from click.exceptions import Exit

from arke.cli.options import DATA, Config, Data, Json

if TYPE_CHECKING:
    from arke.doctor.finding import Examination, Finding

SIGNS = {"wrong": "WRONG", "doubtful": "look ", "fine": "ok   "}


def doctor(data: Data = DATA, config: Config = None, json: Json = False) -> None:
    """Look at everything that an engine needs here, and say what is wrong first.

    No message is sent. Exit code 1 if something is wrong.
    """
    import msgspec

    from arke.doctor.examination import examine_installation

    found = examine_installation(data, config)
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
    else:
        _show(found)
    if found.wrong:
        raise Exit(1)


def _show(found: Examination) -> None:
    sys.stdout.write("".join(_line(one) for one in found.findings))
    sys.stdout.write(
        f"{found.wrong} wrong, {found.doubtful} to look at, "
        f"{len(found.findings) - found.wrong - found.doubtful} fine\n"
    )


def _line(one: Finding) -> str:
    do = f"\n                    -> {one.do}" if one.do else ""
    return f"{SIGNS[one.state]} {one.subject:<13} {one.what}{do}\n"
