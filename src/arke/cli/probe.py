"""`arke probe`: check that a destination's endpoint takes Arke's messages."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from arke.cli.options import seconds, whole
from arke.domain.catalog import MAX_ID


def probe(
    destination: Annotated[
        str,
        typer.Argument(metavar="DEST|URL", help="A destination's id (with --catalog), or an https:// URL."),
    ],
    catalog: Annotated[Path | None, typer.Option(help="The catalog that lists DEST.")] = None,
    ca_file: Annotated[Path | None, typer.Option(help="Trust this CA only (PEM).")] = None,
    client_cert: Annotated[Path | None, typer.Option(help="Client certificate (PEM).")] = None,
    client_key: Annotated[Path | None, typer.Option(help="Its key (PEM).")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(metavar="REF", help="[HEADER:ALG:]env:NAME|file:PATH to sign with. Repeatable."),
    ] = None,
    header: Annotated[str, typer.Option(help="Signature header of keys that name none.")] = "X-Signature",
    algorithm: Annotated[str, typer.Option(help="Of keys that name none: sha1, sha256, md5.")] = "sha1",
    client_id: Annotated[str | None, typer.Option(help="Client_ID to send.")] = None,
    dpid: Annotated[
        int | None,
        typer.Option(parser=whole(0, MAX_ID), help="User_DPID to send; 0 is the UUID itself."),
    ] = None,
    segment: Annotated[str | None, typer.Option(help="A Segment_ID the destination knows.")] = None,
    oauth_url: Annotated[str | None, typer.Option(help="Token endpoint.")] = None,
    oauth_credentials: Annotated[
        str | None, typer.Option(metavar="REF", help="What follows `Basic `: env:NAME|file:PATH.")
    ] = None,
    allow_cidr: Annotated[
        list[str] | None,
        typer.Option(help="Open a forbidden range, such as 127.0.0.0/8 for this machine. Repeatable."),
    ] = None,
    requests: Annotated[
        int, typer.Option(parser=whole(1, 10_000), help="Messages for the latency figures.")
    ] = 20,
    patience: Annotated[
        float,
        typer.Option(parser=seconds(0.1, 60), help="seconds to wait for an answer, to tell late from never."),
    ] = 10.0,
    json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Send well-formed sample messages to an endpoint and report, check by check, what it makes of them."""
    from arke.errors import ArkeError
    from arke.receiver.probe.command import probe_target, run_probe

    try:
        target = probe_target(
            destination,
            catalog=catalog,
            ca_file=ca_file,
            client_cert=client_cert,
            client_key=client_key,
            keys=key or [],
            header=header,
            algorithm=algorithm,
            client_id=client_id,
            user_dpid=dpid,
            segment_id=segment,
            oauth_url=oauth_url,
            oauth_credentials=oauth_credentials,
            allow_cidrs=allow_cidr or [],
        )
        passed = run_probe(target, requests=requests, patience_s=patience, as_json=json)
    except ArkeError as error:
        typer.echo(f"arke: {error}", err=True)
        raise typer.Exit(2) from None
    if not passed:
        raise typer.Exit(1)
