"""`arke receiver` and `arke probe`: a reference destination on this machine, and an endpoint that is tried out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import click
from click.exceptions import Exit

from arke.cli.completion import destination_ids
from arke.cli.declared import Argument, Option
from arke.cli.options import DATA, Config, Data, Insecure, Json, Token, Url, client, seconds, whole
from arke.domain.catalog import MAX_ID
from arke.domain.digits import MAX_PORT, whole_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.api.client import Client
    from arke.receiver.probe.target import ProbeTarget
    from arke.settings import Settings

Algorithm = Annotated[str, Option(help="Of keys that name none: sha1, sha256, sha512, md5.")]
Encoding = Annotated[str, Option(help="How signatures are written: base64, hex.")]
Prefix = Annotated[
    str, Option(help="What stands before a signature, as sha256=; {timestamp} in it is a time stamp.")
]
Signs = Annotated[str, Option(help="What is signed, as {timestamp}.{body}.")]
TimestampHeader = Annotated[
    str | None, Option("--timestamp-header", help="The header that carries the time stamp.")
]


def receiver(
    host: Annotated[str, Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, Option(parser=whole(0, MAX_PORT), help="Port; 0 takes any free one.")] = 8443,
    path: Annotated[str, Option(help="Path to print; messages are taken on any.")] = "/segments/aam",
    cert: Annotated[Path | None, Option(help="Certificate chain (PEM).")] = None,
    cert_key: Annotated[
        Path | None, Option("--cert-key", help="The certificate's key (PEM), if not in the same file.")
    ] = None,
    dir: Annotated[
        Path | None,
        Option(help="Where the CA made on the fly is kept (ca.pem). Default: a temporary directory."),
    ] = None,
    key: Annotated[
        list[str] | None,
        Option(
            metavar="REF",
            help="[HEADER:ALG:]env:NAME|file:PATH, repeatable. A signature by one of them is then required.",
        ),
    ] = None,
    algorithm: Algorithm = "sha1",
    encoding: Encoding = "base64",
    prefix: Prefix = "",
    signs: Signs = "{body}",
    timestamp_header: TimestampHeader = None,
    token_client: Annotated[
        str | None,
        Option(
            metavar="REF",
            help="Client credentials (env:NAME|file:PATH), as they follow `Basic `. Serves /oauth2/token "
            "and requires its bearer tokens.",
        ),
    ] = None,
    token_ttl: Annotated[
        float, Option(parser=seconds(0.001, 86_400 * 365), help="Seconds a token lives.")
    ] = 3600.0,
    client_ca: Annotated[Path | None, Option(help="Require client certificates of this CA.")] = None,
    out: Annotated[Path | None, Option(help="Append every request to this file, as NDJSON.")] = None,
    state: Annotated[Path | None, Option(help="Keep the audience state in this SQLite file.")] = None,
    misbehave: Annotated[
        list[str] | None,
        Option(
            metavar="SPEC",
            help="status=500[:N|:p0.1], slow=2s, stall, dribble, reset, close, garbage, huge-body, "
            "endless-headers, redirect=URL, poison=422/ID, throttle=5/s, sloppy, stale-token=403/2s, "
            "tls=expired|wrong-host|unknown-ca|stall, flap=10s/10s, move-dns=127.0.0.2/10s. "
            "Before it `token:` to strike the token endpoint. Repeatable.",
        ),
    ] = None,
    control: Annotated[
        bool, Option("--control", help="Allow POST /control/misbehave from this machine.")
    ] = False,
    fast: Annotated[bool, Option("--fast", help="Answer 200 without looking, for load tests.")] = False,
    json: Json = False,
) -> None:
    """Run a reference destination: HTTPS, verifies, stores, and misbehaves on demand."""
    from arke.errors import ArkeError, SecretUnresolved
    from arke.receiver.command import configured, serve
    from arke.receiver.references import Scheme

    try:
        config = configured(
            host=host,
            port=port,
            path=path,
            directory=dir,
            certificate=cert,
            certificate_key=cert_key,
            keys=key or [],
            algorithm=algorithm,
            scheme=Scheme(encoding=encoding, prefix=prefix, signs=signs, timestamp_header=timestamp_header),
            token_client=token_client,
            token_lifetime_s=token_ttl,
            client_ca=client_ca,
            out=out,
            state_file=state,
            misbehave=misbehave or [],
            control=control,
            fast=fast,
        )
        serve(config, as_json=json)
    except ArkeError as error:
        click.echo(f"arke: {error}", err=True)
        raise Exit(2 if isinstance(error, SecretUnresolved) else error.exit_code) from None


def probe(
    destination: Annotated[
        str,
        Argument(
            metavar="DEST|URL", help="A destination's id, or an https:// URL.", complete=destination_ids
        ),
    ],
    catalog: Annotated[
        Path | None,
        Option(help="A catalog file that lists DEST, instead of the catalog in force.", dir_okay=False),
    ] = None,
    config: Config = None,
    data: Data = DATA,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    ca_file: Annotated[Path | None, Option(help="Trust this CA only (PEM).")] = None,
    client_cert: Annotated[Path | None, Option(help="Client certificate (PEM).")] = None,
    client_key: Annotated[Path | None, Option(help="Its key (PEM).")] = None,
    key: Annotated[
        list[str] | None,
        Option(metavar="REF", help="[HEADER:ALG:]env:NAME|file:PATH to sign with. Repeatable."),
    ] = None,
    header: Annotated[str, Option(help="Signature header of keys that name none.")] = "X-Signature",
    algorithm: Algorithm = "sha1",
    encoding: Encoding = "base64",
    prefix: Prefix = "",
    signs: Signs = "{body}",
    timestamp_header: TimestampHeader = None,
    client_id: Annotated[str | None, Option(help="Client_ID to send.")] = None,
    dpid: Annotated[
        int | None,
        Option(parser=whole(0, MAX_ID), help="User_DPID to send; 0 is the UUID itself."),
    ] = None,
    segment: Annotated[str | None, Option(help="A Segment_ID the destination knows.")] = None,
    oauth_url: Annotated[str | None, Option(help="Token endpoint.")] = None,
    oauth_credentials: Annotated[
        str | None, Option(metavar="REF", help="What follows `Basic `: env:NAME|file:PATH.")
    ] = None,
    allow_cidr: Annotated[
        list[str] | None,
        Option(help="Open a forbidden range, such as 127.0.0.0/8 for this machine. Repeatable."),
    ] = None,
    proxy: Annotated[
        str | None,
        Option(metavar="URL|REF", help="The proxy that everything leaves through, as egress.proxy."),
    ] = None,
    requests: Annotated[int, Option(parser=whole(1, 10_000), help="Messages for the latency figures.")] = 20,
    patience: Annotated[
        float,
        Option(
            parser=seconds(0.1, 60),
            help="Seconds to wait for an answer, to tell late from never.",
        ),
    ] = 10.0,
    burst: Annotated[
        int, Option(parser=whole(0, 1_000), help="Messages at once, over four connections.")
    ] = 20,
    poison: Annotated[
        str | None,
        Option(metavar="ID", help="An id that the endpoint may refuse, to send among good ones."),
    ] = None,
    idle: Annotated[
        float,
        Option(
            parser=seconds(0, 600),
            help="Seconds to leave a connection idle, to see whether it stays.",
        ),
    ] = 0.0,
    json: Json = False,
) -> None:
    """Send sample messages about made-up users to an endpoint and report, check by check, what it makes of them."""
    from arke.errors import ArkeError, Unavailable
    from arke.receiver.probe.command import probe_target, run_probe
    from arke.receiver.probe.conduct import GARBAGE, Manner
    from arke.receiver.references import Scheme
    from arke.settings import find_settings

    known = None
    try:
        if catalog is None and whole_number(destination, MAX_ID, 1) is not None:
            engine = client(data, url, token, config, insecure=insecure)
            known = _in_force(
                destination, engine, find_settings(config), allow_cidr or [], elsewhere=url is not None
            )
        target = probe_target(
            destination,
            catalog=catalog,
            known=known,
            ca_file=ca_file,
            client_cert=client_cert,
            client_key=client_key,
            keys=key or [],
            header=header,
            algorithm=algorithm,
            scheme=Scheme(encoding=encoding, prefix=prefix, signs=signs, timestamp_header=timestamp_header),
            client_id=client_id,
            user_dpid=dpid,
            segment_id=segment,
            oauth_url=oauth_url,
            oauth_credentials=oauth_credentials,
            allow_cidrs=allow_cidr or [],
            proxy=proxy,
        )
        manner = Manner(burst=burst, poison=poison or GARBAGE, idle_s=idle)
        passed = run_probe(target, requests=requests, patience_s=patience, as_json=json, manner=manner)
    except ArkeError as error:
        click.echo(f"arke: {error}", err=True)
        raise Exit(1 if isinstance(error, Unavailable) else 2) from None
    if not passed:
        raise Exit(1)


def _in_force(
    destination: str, engine: Client, settings: Settings, allow_cidrs: Sequence[str], *, elsewhere: bool
) -> ProbeTarget:
    """A destination of the catalog in force, with the way out of the settings. Of an engine `elsewhere` it may
    refer to no other secrets than a catalog from the network may: who applied it has no say in what leaves this
    machine. Raises ArkeError.
    """
    import msgspec

    from arke.api.table.catalog import SHOW
    from arke.catalog.destinations import Checkers
    from arke.catalog.load import parse_catalog
    from arke.delivery.secrets import Confinement
    from arke.errors import InvalidInput
    from arke.receiver.probe.target import target_in

    where = "the catalog in force"
    try:
        facts = engine.ask(SHOW)
    except InvalidInput as error:
        raise InvalidInput(f"{error}; or give --catalog FILE, or an https:// URL") from None
    document = msgspec.json.decode(facts.catalog)
    listed = document.get("destinations", [])
    document["destinations"] = [one for one in listed if str(one["id"]) == destination] or listed
    confined = Confinement(settings.secrets.env_prefix, settings.secrets.folders) if elsewhere else None
    text = msgspec.json.encode(document).decode()
    read = parse_catalog(text, name=where, base_dir=None, checkers=Checkers(confined=confined)).catalog
    cidrs = (*settings.egress.allow_cidrs, *allow_cidrs)
    return msgspec.structs.replace(
        target_in(read, where, destination, allow_cidrs=cidrs), proxy=settings.egress.proxy
    )
