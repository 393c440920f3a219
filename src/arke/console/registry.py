"""Every page of the console, in the order of the navigation: routes, scopes, tests and the docs follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arke.console.pages import (
    catalog,
    catalog_edit,
    live,
    overview,
    privacy,
    segment,
    segments,
    system,
    users,
)

if TYPE_CHECKING:
    from arke.console.page import Feed, Fragment, Page

PAGES: Final[tuple[Page[Any, Any], ...]] = (
    overview.PAGE,
    segments.PAGE,
    segment.PAGE,
    users.PAGE,
    live.PAGE,
    privacy.PAGE,
    privacy.REQUEST,
    catalog.PAGE,
    catalog_edit.PAGE,
    catalog.DIFF,
    catalog.VERSION,
    system.PAGE,
)
FRAGMENTS: Final[tuple[Fragment[Any, Any, Any], ...]] = (segment.FRAGMENT, catalog_edit.CHECK)
FEEDS: Final[tuple[Feed[Any, Any], ...]] = (live.FEED,)
