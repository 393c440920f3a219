"""Every endpoint of the admin API: routes, the client's calls, the OpenAPI document and the reference follow."""

from __future__ import annotations

from typing import Any, Final

from arke.api.endpoint import Endpoint, Stream
from arke.api.table import (
    audit,
    batches,
    catalog,
    files,
    people,
    privacy,
    status,
    tokens,
    undelivered,
)

ENDPOINTS: Final[tuple[Endpoint[Any, Any, Any] | Stream[Any, Any, Any], ...]] = (
    status.READ,
    people.EXPLAIN,
    undelivered.EACH,
    undelivered.REPLAY,
    batches.EVERY,
    batches.RUN,
    batches.SHOW,
    batches.RESYNC,
    catalog.ESTIMATE,
    catalog.APPLY,
    catalog.ROLLBACK,
    files.SEND,
    files.SHOW,
    privacy.ACCESS,
    privacy.REQUEST,
    privacy.LIFT,
    privacy.NEWEST,
    privacy.SHOW,
    tokens.EVERY,
    tokens.CREATE,
    tokens.REVOKE,
    audit.READ,
    status.METRICS,
    status.ALIVE,
    status.READY,
)
