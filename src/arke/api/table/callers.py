"""The endpoints about who may call, and what was done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.api.endpoint import NO_BODY, Asked, Endpoint, Listing, Nothing
from arke.api.parameters import After, OneToken, PagedWide, TokenWanted
from arke.errors import NotFound
from arke.operations.callers import AuditReport, NewToken, Revoked, TokenFacts
from arke.operations.paging import number_in, page_of
from arke.operations.sign_in import SignInLink

if TYPE_CHECKING:
    from arke.operations.paging import Page
    from arke.operations.subjects import Operations


async def _tokens(on: Operations, asked: Asked[PagedWide, None]) -> Page[TokenFacts]:
    found = await on.tokens.every()
    return page_of(found, lambda one: one.id, asked.given.cursor, asked.given.limit)


async def _audit(on: Operations, asked: Asked[After, None]) -> AuditReport:
    given = asked.given
    return await on.audit.read(number_in(given.cursor) or given.after, given.limit)


LIST_TOKENS: Final = Listing(
    method="GET",
    path="/v1/tokens",
    scope="admin",
    summary="List tokens, without their secrets.",
    parameters=PagedWide,
    body=NO_BODY,
    answer=TokenFacts,
    run=_tokens,
)


CREATE_TOKEN: Final = Endpoint(
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


REVOKE_TOKEN: Final = Endpoint(
    method="DELETE",
    path="/v1/tokens/{id}",
    scope="admin",
    summary="Make a token useless, at once and for good.",
    parameters=OneToken,
    body=NO_BODY,
    answer=Revoked,
    raises=(NotFound,),
    run=lambda on, asked: on.tokens.revoke(asked.given.id, actor=asked.actor),
)


SIGN_IN_LINK: Final = Endpoint(
    method="POST",
    path="/v1/console/links",
    scope="read",
    summary="Make a link to the console that signs in once, with what the token may do.",
    parameters=Nothing,
    body=NO_BODY,
    answer=SignInLink,
    status=201,
    run=lambda on, asked: on.sign_in.link(actor=asked.actor),
)


AUDIT: Final = Endpoint(
    method="GET",
    path="/v1/audit",
    scope="admin",
    summary="Who changed what, and who looked at whom.",
    parameters=After,
    body=NO_BODY,
    answer=AuditReport,
    next=lambda answer: answer.next,
    run=_audit,
)
