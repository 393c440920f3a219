"""`arke estimate`: how many stored profiles a rule would hold."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from arke.cli.options import DATA, Config, Data, Insecure, Json, Token, Url, client, whole

if TYPE_CHECKING:
    from arke.operations.catalog import Estimate


def estimate(
    rule: Annotated[str, typer.Argument(metavar="RULE", help="A segment rule, as a catalog has it.")],
    sample: Annotated[
        int | None,
        typer.Option(
            "--sample",
            parser=whole(1, 1_000_000_000),
            metavar="N",
            help="Look at no more than N profiles. [default: 100000]",
        ),
    ] = None,
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Say how many stored profiles a segment rule would hold now, over the traits of the catalog in force."""
    import msgspec

    found = client(data, url, token, config, insecure=insecure).estimate(rule, sample)
    if json:
        sys.stdout.write(msgspec.json.encode(found).decode() + "\n")
        return
    for warning in found.warnings:
        sys.stderr.write(f"warning: {warning}\n")
    sys.stdout.write(f"{_sentence(found)}\n")


def _sentence(found: Estimate) -> str:
    share = f" ({found.estimate / found.stored:.2%})" if found.stored else ""
    stored = f"{found.stored:,} stored profiles{share}"
    if found.exact:
        return f"{found.estimate:,} of {stored}: exact, every one was looked at"
    return (
        f"about {found.estimate:,} of {stored}: {found.low:,} to {found.high:,} with 95% confidence, "
        f"from a random sample of {found.looked_at:,}"
    )
