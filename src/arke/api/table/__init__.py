"""Every endpoint of the admin API, one module a subject: routes, the client's calls, the OpenAPI document and the
reference follow.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.api.table import (
    batches,
    callers,
    catalog,
    destinations,
    files,
    history,
    people,
    privacy,
    schema,
    segments,
    sources,
    state,
    undelivered,
)

if TYPE_CHECKING:
    from arke.api.endpoint import AnyEndpoint

ENDPOINTS: Final[tuple[AnyEndpoint, ...]] = (
    state.STATUS,
    state.ATTENTION,
    state.INSTALLATION,
    state.SHARDS,
    history.READ_HISTORY,
    sources.REFUSED_OF_SOURCES,
    segments.LIST_SEGMENTS,
    segments.SHOW_SEGMENT,
    destinations.LIST_DESTINATIONS,
    destinations.SHOW_DESTINATION,
    destinations.LIST_MAPPINGS,
    destinations.PREVIEW,
    destinations.SEND_TEST,
    people.EXPLAIN,
    people.LIVE,
    undelivered.UNDELIVERED,
    undelivered.REFUSALS,
    undelivered.REPLAY,
    batches.LIST_BATCHES,
    batches.RUN_BATCH,
    batches.SHOW_BATCH,
    batches.RESYNC,
    catalog.SHOW,
    catalog.TEXT,
    catalog.LIST_VERSIONS,
    catalog.SHOW_VERSION,
    catalog.DIFF,
    catalog.VALIDATE,
    catalog.ESTIMATE,
    catalog.APPLY,
    catalog.ROLLBACK,
    files.SEND_FILE,
    files.LIST_FILES,
    files.LIST_WAITING,
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
    state.SETTINGS,
    callers.SIGN_IN_LINK,
    state.METRICS,
    state.ALIVE,
    state.READY,
    *schema.described(lambda: ENDPOINTS),
)
