"""Access, deletion and opt-out."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from arke.api.bodies import NO_BODY, JsonBody
from arke.api.endpoint import Endpoint, Nothing
from arke.operations.privacy import MAX_ASK_BYTES, Access, LiftAsk, LiftReport, PrivacyAsk, PrivacyReport

MAX_LIFT_BYTES = 8 * 1024


class Before(msgspec.Struct, frozen=True):
    """A page of privacy requests."""

    before: Annotated[int | None, Meta(description="Only requests with lower numbers.")] = None


class OneRequest(msgspec.Struct, frozen=True):
    """A privacy request."""

    number: Annotated[int, Meta(title="the privacy request", description="The request's number.")]


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
REQUEST: Final = Endpoint(
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
    run=lambda on, asked: on.privacy.lift(asked.body, actor=asked.actor),
)
NEWEST: Final = Endpoint(
    method="GET",
    path="/v1/privacy/requests",
    scope="operate",
    summary="The newest privacy requests with their proof.",
    parameters=Before,
    body=NO_BODY,
    answer=list[PrivacyReport],
    run=lambda on, asked: on.privacy.newest(asked.given.before),
)
SHOW: Final = Endpoint(
    method="GET",
    path="/v1/privacy/requests/{number}",
    scope="operate",
    summary="One privacy request with its proof.",
    parameters=OneRequest,
    body=NO_BODY,
    answer=PrivacyReport,
    run=lambda on, asked: on.privacy.show(asked.given.number),
)
