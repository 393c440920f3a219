"""`arke token`: API tokens."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from typing import Annotated

from arke.cli.declared import Argument, Option, Subject
from arke.cli.options import DATA, Config, Data, Insecure, Json, Token, Url, client

token_app = Subject("token", "API tokens for the intake and the admin API.")


@token_app.named("create")
def create(
    scope: Annotated[
        str,
        Option("--scope", help="ingest, browser, metrics, read, operate, admin; comma separated."),
    ],
    expires: Annotated[
        str | None,
        Option("--expires", help="For example 90d. Default: never."),
    ] = None,
    name: Annotated[str, Option("--name", help="What it is for.")] = "",
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Make a token. Its secret is printed once and stored nowhere."""
    import msgspec

    from arke.errors import ArkeError, InvalidInput

    if getattr(sys.stdout, "name", None) == os.devnull:  # put there for an output that was closed
        raise InvalidInput("the output is closed: nobody would see the secret, so no token was made")
    engine = client(data, url, token, config, insecure=insecure)
    made = engine.create_token(scope, name, expires)
    try:
        sys.stdout.write((msgspec.json.encode(made).decode() if json else made.secret) + "\n")
        sys.stdout.flush()
    except OSError:
        try:
            engine.revoke_token(made.id)  # nobody has its secret
        except (ArkeError, OSError) as error:
            sys.stderr.write(f"arke: token {made.id} is to be revoked, which failed now: {error}\n")
        raise
    if not json:
        sys.stderr.write(f"token {made.id} with scope {', '.join(made.scopes)}; this is its only showing\n")


@token_app.named("list")
def list_tokens(
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """List tokens, without their secrets."""
    import msgspec

    for facts in client(data, url, token, config, insecure=insecure).list_tokens():
        if json:
            sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
            continue
        state = "revoked" if facts.revoked else "live"
        until = "never expires" if facts.expires is None else f"expires {_day(facts.expires)}"
        scopes = ",".join(facts.scopes)
        sys.stdout.write(f"{facts.id} {state} {scopes} created {_day(facts.created)}, {until} {facts.name}\n")


@token_app.named("revoke")
def revoke(
    token_id: Annotated[str, Argument(metavar="ID", help="The token's id, as `arke token list` has it.")],
    data: Data = DATA,
    config: Config = None,
    url: Url = None,
    token: Token = None,
    insecure: Insecure = False,
    json: Json = False,
) -> None:
    """Make a token useless, at once and for good."""
    import msgspec

    client(data, url, token, config, insecure=insecure).revoke_token(token_id)
    if json:
        sys.stdout.write(msgspec.json.encode({"id": token_id, "revoked": True}).decode() + "\n")
    else:
        sys.stdout.write(f"token {token_id} is revoked\n")


def _day(ts: int) -> str:
    return datetime.fromtimestamp(ts, UTC).date().isoformat()
