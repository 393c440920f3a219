"""API tokens."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from arke.api.bodies import NO_BODY
from arke.api.endpoint import Endpoint, Nothing
from arke.operations.tokens import NewToken, Revoked, TokenFacts


class TokenWanted(msgspec.Struct, frozen=True):
    """A token to be made."""

    scope: Annotated[str, Meta(description="Scopes, comma separated.", examples=["ingest,operate"])] = ""
    name: Annotated[str, Meta(description="What it is for.")] = ""
    expires: Annotated[str | None, Meta(description="Its lifetime; default: for ever.", examples=["90d"])] = (
        None
    )


class OneToken(msgspec.Struct, frozen=True):
    """A token that exists."""

    id: Annotated[str, Meta(description="The token's id.")]


EVERY: Final = Endpoint(
    method="GET",
    path="/v1/tokens",
    scope="admin",
    summary="List tokens, without their secrets.",
    parameters=Nothing,
    body=NO_BODY,
    answer=list[TokenFacts],
    run=lambda on, _: on.tokens.every(),
)
CREATE: Final = Endpoint(
    method="POST",
    path="/v1/tokens",
    scope="admin",
    summary="Make a token; its secret is shown this once.",
    parameters=TokenWanted,
    body=NO_BODY,
    answer=NewToken,
    status=201,
    run=lambda on, asked: on.tokens.create(
        asked.given.scope, asked.given.name, asked.given.expires, actor=asked.actor
    ),
)
REVOKE: Final = Endpoint(
    method="DELETE",
    path="/v1/tokens/{id}",
    scope="admin",
    summary="Make a token useless, at once and for good.",
    parameters=OneToken,
    body=NO_BODY,
    answer=Revoked,
    run=lambda on, asked: on.tokens.revoke(asked.given.id, actor=asked.actor),
)
