"""The audit."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from arke.api.bodies import NO_BODY
from arke.api.endpoint import Endpoint
from arke.operations.audit import AuditReport


class After(msgspec.Struct, frozen=True):
    """A page of the audit."""

    after: Annotated[int, Meta(description="Only entries with higher numbers.")] = 0


READ: Final = Endpoint(
    method="GET",
    path="/v1/audit",
    scope="admin",
    summary="Who changed what, and who looked at whom.",
    parameters=After,
    body=NO_BODY,
    answer=AuditReport,
    run=lambda on, asked: on.audit.read(asked.given.after),
)
