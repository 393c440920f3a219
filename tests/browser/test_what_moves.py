"""What moves by itself: the live page and answers while somebody types."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.console.page import ROOT
from browser.chromium import Watched
from browser.test_pages import context_of
from e2e.catalogs import IN_MARKET, visit
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from browser.conftest import World


@pytest.fixture(scope="module")
def watched(browser: Browser, world: World) -> Iterator[Watched]:
    context = context_of(browser, world, "light", "wide")
    yield Watched(context, world.address)
    context.close()


def test_what_passes_comes_by_itself(watched: Watched, world: World) -> None:
    """Newest first, and a kind that nobody wants to see is hidden."""
    assert watched.open(f"{ROOT}/live") == 200
    visitors = iter(range(5_000, 9_000))

    def seen() -> bool:
        world.engine.accept(visit(next(visitors), "camera"))
        watched.page.wait_for_timeout(200)
        return watched.page.locator("#live > li.event").count() > 0

    wait_until(seen, "an event to pass")
    wait_until(  # of the first round nothing is known to compare with
        lambda: "events" in watched.page.locator("#rates").inner_text(), "the rates of a second round"
    )
    watched.page.locator("#show-event").uncheck()
    assert not watched.page.locator("#live > li.event").first.is_visible()
    assert watched.faults == []


def test_who_is_refused_what_passes_is_told_so(browser: Browser, world: World) -> None:
    context = context_of(browser, world, "light", "wide")
    refused = Watched(context, world.address)
    refused.page.route("**/live/feed", lambda route: route.fulfill(status=429))
    assert refused.open(f"{ROOT}/live") == 200
    wait_until(lambda: "Reload the page" in refused.page.locator("#live").inner_text(), "a word about it")
    context.close()


def test_a_rule_is_estimated_and_a_catalog_checked_while_somebody_types(watched: Watched) -> None:
    assert watched.open(f"{ROOT}/segments/{IN_MARKET}") == 200
    watched.page.locator("textarea[name=rule]").fill("1001T")
    held = watched.page.locator("#held .estimate")
    held.wait_for()
    assert "profiles now" in held.inner_text()
    assert watched.open(f"{ROOT}/catalog/edit") == 200
    field = watched.page.locator("textarea[name=text]")
    field.fill(field.input_value().replace("rule: 1000T", "rule: 1000T AND AND", 1))
    problem = watched.page.locator("#found a[data-line]").first
    problem.wait_for()
    problem.click()
    assert watched.page.evaluate("document.activeElement.name") == "text"
    assert watched.page.evaluate("document.activeElement.selectionStart") > 0
    assert watched.faults == []
