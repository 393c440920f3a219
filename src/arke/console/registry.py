"""Every page of the console, in the order of the navigation: routes, scopes, tests and the docs follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arke.console.pages import (
    audit,
    batches,
    catalog,
    catalog_edit,
    destination,
    destinations,
    files,
    live,
    overview,
    privacy,
    reconciliation,
    segment,
    segments,
    system,
    tokens,
    trial,
    undelivered,
    users,
)

if TYPE_CHECKING:
    from arke.console.page import Feed, Fragment, Page

PAGES: Final[tuple[Page[Any, Any], ...]] = (
    overview.PAGE,
    destinations.PAGE,
    destination.PAGE,
    reconciliation.PAGE,
    trial.PAGE,
    batches.PAGE,
    undelivered.PAGE,
    segments.PAGE,
    segment.PAGE,
    users.PAGE,
    live.PAGE,
    privacy.PAGE,
    privacy.REQUEST,
    files.PAGE,
    files.FILE,
    files.UPLOADED,
    catalog.PAGE,
    catalog_edit.PAGE,
    catalog.DIFF,
    catalog.VERSION,
    system.PAGE,
    tokens.PAGE,
    audit.PAGE,
)
FRAGMENTS: Final[tuple[Fragment[Any, Any, Any], ...]] = (segment.FRAGMENT, catalog_edit.CHECK)
FEEDS: Final[tuple[Feed[Any, Any], ...]] = (live.FEED,)
