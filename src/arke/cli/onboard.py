"""`arke onboard`: load data files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from click.exceptions import Exit

from arke.cli.declared import Argument, Option
from arke.cli.options import DATA, Config, Data, Insecure, Json, Token, Url, client
from arke.cli.progress import LongWork

if TYPE_CHECKING:
    from arke.operations.jobs import Receipt


def onboard(
    files: Annotated[
        list[Path], Argument(metavar="FILE...", help="Onboarding, id-sync, CSV or Parquet files.")
    ],
    columns: Annotated[
        Path | None,
        Option("--columns", help="How the columns of tables are read. Default: FILE.columns.yaml."),
    ] = None,
    max_refused: Annotated[
        str,
        Option("--max-refused", help="Exit code 1 if more of a file's lines are refused: 5%, or 100."),
    ] = "50%",
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Load files, in the order of the times in their names, and show what became of their lines."""
    from arke.onboarding.allowance import parse_allowance
    from arke.onboarding.columns_file import outgoing

    allowance = parse_allowance(max_refused, "--max-refused")
    sent = outgoing(files, columns)
    failed = False
    engine = client(data, url, token, config, insecure=insecure)
    with LongWork("loading", quiet=json) as work:

        def tell(name: str, lines: int, total: int) -> None:
            work.tell(f"{name}: {lines:,}{f' of {total:,}' if total else ''} lines", lines, total)

        for receipt in engine.onboard(sent, tell):
            with work.put_away():
                _show(receipt, json=json)
                too_many = receipt.beyond(allowance)
                if too_many:
                    sys.stderr.write(f"{receipt.file}: {too_many} (--max-refused)\n")
            failed = failed or bool(too_many) or receipt.state != "done"
    if failed:
        raise Exit(1)


def _show(receipt: Receipt, *, json: bool) -> None:
    import msgspec

    if json:
        sys.stdout.write(msgspec.json.encode(receipt).decode() + "\n")
        return
    for line in receipt.lines():
        sys.stdout.write(f"{line}\n")
