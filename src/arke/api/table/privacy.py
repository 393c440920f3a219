"""The endpoints about access, deletion and opt-out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.api.endpoint import NO_BODY, Asked, Endpoint, JsonBody, Listing, Nothing
from arke.api.parameters import Before, OneRequest
from arke.errors import NotFound
from arke.operations.paging import number_in
from arke.operations.privacy import MAX_ASK_BYTES, Access, LiftAsk, LiftReport, PrivacyAsk, PrivacyReport

if TYPE_CHECKING:
    from arke.operations.paging import Page
    from arke.operations.subjects import Operations

MAX_LIFT_BYTES = 8 * 1024
ACCESS: Final = Endpoint(
    method="POST",
    path="/v1/privacy/access",
    scope="admin",
    summary="Everything kept about somebody.",
    parameters=Nothing,
    body=JsonBody("privacy request", MAX_ASK_BYTES, kind=PrivacyAsk),
    answer=list[Access],
    run=lambda on, asked: on.privacy.access(asked.body, actor=asked.actor),
)
REQUEST_PRIVACY: Final = Endpoint(
    method="POST",
    path="/v1/privacy/requests",
    scope="admin",
    summary="Opt somebody out, or delete them.",
    parameters=Nothing,
    body=JsonBody("privacy request", MAX_ASK_BYTES, kind=PrivacyAsk),
    answer=list[PrivacyReport],
    status=202,
    run=lambda on, asked: on.privacy.request(asked.body, actor=asked.actor),
)
LIFT: Final = Endpoint(
    method="POST",
    path="/v1/privacy/lift",
    scope="admin",
    summary="Lift a suppression.",
    parameters=Nothing,
    body=JsonBody("lift", MAX_LIFT_BYTES, kind=LiftAsk),
    answer=LiftReport,
    raises=(NotFound,),
    run=lambda on, asked: on.privacy.lift(asked.body, actor=asked.actor),
)


async def _requests(on: Operations, asked: Asked[Before, None]) -> Page[PrivacyReport]:
    given = asked.given
    return await on.privacy.page(number_in(given.cursor) or given.before, given.limit)


LIST_REQUESTS: Final = Listing(
    method="GET",
    path="/v1/privacy/requests",
    scope="operate",
    summary="The newest privacy requests with their proof.",
    parameters=Before,
    body=NO_BODY,
    answer=PrivacyReport,
    run=_requests,
)
SHOW_REQUEST: Final = Endpoint(
    method="GET",
    path="/v1/privacy/requests/{number}",
    scope="operate",
    summary="One privacy request with its proof.",
    parameters=OneRequest,
    body=NO_BODY,
    answer=PrivacyReport,
    raises=(NotFound,),
    run=lambda on, asked: on.privacy.show(asked.given.number),
)
