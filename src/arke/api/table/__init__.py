"""Every endpoint of the admin API, one module a subject: routes, the client's calls, the OpenAPI document and the
reference follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arke.api.table import (
    batches,
    callers,
    catalog,
    files,
    people,
    privacy,
    reconciliation,
    sizes,
    sources,
    state,
    undelivered,
)

if TYPE_CHECKING:
    from arke.api.endpoint import Endpoint, Stream

ENDPOINTS: Final[tuple[Endpoint[Any, Any, Any] | Stream[Any, Any, Any], ...]] = (
    state.STATUS,
    sources.REFUSED_OF_SOURCES,
    people.EXPLAIN,
    sizes.SIZES,
    reconciliation.STATEMENT,
    reconciliation.COUNT,
    reconciliation.SHOW_COUNT,
    reconciliation.SAMPLES,
    reconciliation.FUNNEL,
    reconciliation.OVERLAP,
    undelivered.UNDELIVERED,
    undelivered.REFUSALS,
    undelivered.REPLAY,
    batches.LIST_BATCHES,
    batches.RUN_BATCH,
    batches.SHOW_BATCH,
    batches.RESYNC,
    catalog.ESTIMATE,
    catalog.APPLY,
    catalog.ROLLBACK,
    files.SEND_FILE,
    files.SHOW_FILE,
    privacy.ACCESS,
    privacy.REQUEST_PRIVACY,
    privacy.LIFT,
    privacy.LIST_REQUESTS,
    privacy.SHOW_REQUEST,
    callers.LIST_TOKENS,
    callers.CREATE_TOKEN,
    callers.REVOKE_TOKEN,
    callers.AUDIT,
    state.METRICS,
    state.ALIVE,
    state.READY,
)
