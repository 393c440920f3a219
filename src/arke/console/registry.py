"""Every page of the console, in the order of the navigation: routes, scopes, tests and the docs follow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from arke.console.pages import audit, batches, overview, system, tokens, undelivered

if TYPE_CHECKING:
    from arke.console.page import Feed, Fragment, Page

PAGES: Final[tuple[Page[Any, Any], ...]] = (
    overview.PAGE,
    batches.PAGE,
    undelivered.PAGE,
    system.PAGE,
    tokens.PAGE,
    audit.PAGE,
)
FRAGMENTS: Final[tuple[Fragment[Any, Any, Any], ...]] = ()
FEEDS: Final[tuple[Feed[Any, Any], ...]] = ()
