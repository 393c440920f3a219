"""Every page of the console in a real browser: nothing fails, nothing leaves the host, everybody can read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from arke.console.page import ROOT
from arke.console.registry import PAGES
from browser.chromium import PATIENCE_MS, Watched
from browser.conftest import FINE, World
from e2e.catalogs import DPID, IN_MARKET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext

WINDOWS: Final = {"wide": (1280, 900), "phone": (320, 640)}
GIVEN: Final = {"destination": str(FINE), "segment": str(IN_MARKET), "number": "1", "version": "1"}
"""What stands for a parameter in the path of a page."""
MAY_NOT_BE_THERE: Final = (f"{ROOT}/privacy/1", f"{ROOT}/files/1", f"{ROOT}/files/sent/1")
"""A request that nobody has made yet, and files that nobody has sent."""
CROWDED: Final = """() => [
    ...[...document.querySelectorAll("svg:has(.label) text")].filter(
        one => one.getBoundingClientRect().height < 10),
    ...[...document.querySelectorAll(".mark, .top button")].filter(one => one.getClientRects().length > 1
        || one.getBoundingClientRect().height > 48),
].map(one => one.textContent)"""
"""What is too small to be read, or broken into lines."""
QUERIES: Final = {"/users": f"?id={DPID}:p1"}


def targets() -> list[str]:
    """Every page that can be looked at without anything having been done, and what a search finds."""
    found = []
    for page in PAGES:
        path = page.path
        for name, value in GIVEN.items():
            path = path.replace(f"{{{name}}}", value)
        if "{" in path:
            owner = path.split("/")[1]
            path = path.replace(
                "{id}", {"destinations": str(FINE), "segments": str(IN_MARKET)}.get(owner, "1")
            )
        found.append(f"{ROOT}{path}" if path != "/" else f"{ROOT}/")
        if page.path in QUERIES:
            found.append(f"{ROOT}{path}{QUERIES[page.path]}")
    return found


def context_of(browser: Browser, world: World, scheme: Any, window: str, **more: Any) -> BrowserContext:
    """A context that has signed in."""
    width, height = WINDOWS[window]
    context = browser.new_context(
        color_scheme=scheme, viewport={"width": width, "height": height}, reduced_motion="reduce", **more
    )
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(f"http://{world.address}{world.link()}")
    page.close()
    return context


@pytest.fixture(
    scope="module",
    params=[("light", "wide"), ("dark", "wide"), ("light", "phone"), ("dark", "phone")],
    ids="-".join,
)
def context(browser: Browser, world: World, request: pytest.FixtureRequest) -> Iterator[BrowserContext]:
    scheme, window = request.param
    context = context_of(browser, world, scheme, window)
    yield context
    context.close()


@pytest.fixture(scope="module")
def without_scripts(browser: Browser, world: World) -> Iterator[BrowserContext]:
    context = context_of(browser, world, "light", "wide", java_script_enabled=False)
    yield context
    context.close()


@pytest.mark.parametrize("target", targets())
def test_a_page_is_sound(context: BrowserContext, world: World, target: str) -> None:
    watched = Watched(context, world.address)
    status = watched.open(target)
    assert status == 200 or (status == 404 and target in MAY_NOT_BE_THERE)
    assert watched.page.locator("h1").count() == 1
    assert watched.violations() == []
    assert watched.overflow() <= 0
    assert watched.page.evaluate(CROWDED) == []
    assert faults(watched, status) == []
    watched.page.close()


def faults(watched: Watched, status: int) -> list[str]:
    """A page that is not there is said by the browser, too."""
    return [one for one in watched.faults if status == 200 or "404 (Not Found)" not in one]


@pytest.mark.parametrize("target", targets())
def test_a_page_says_the_same_without_scripts(
    without_scripts: BrowserContext, world: World, target: str
) -> None:
    watched = Watched(without_scripts, world.address)
    status = watched.open(target)
    assert watched.page.locator("main").inner_text().strip()
    assert faults(watched, status) == []
    watched.page.close()


@pytest.mark.parametrize("target", [one for one in targets() if "?" not in one and "/1" not in one])
def test_a_page_is_reached_by_the_keyboard(context: BrowserContext, world: World, target: str) -> None:
    """The first stop leads past the navigation; every stop can be seen."""
    watched = Watched(context, world.address)
    watched.open(target)
    watched.page.keyboard.press("Tab")
    first = watched.page.evaluate("document.activeElement.getAttribute('href')")
    assert first is not None
    assert first.startswith("#")
    for _ in range(12):
        watched.page.keyboard.press("Tab")
        seen = watched.page.evaluate(
            """() => {
                const one = document.activeElement;
                if (one === document.body) return true;
                const box = one.getBoundingClientRect(), style = getComputedStyle(one);
                return box.width > 0 && (style.outlineStyle !== "none" || style.boxShadow !== "none");
            }"""
        )
        assert seen, watched.page.evaluate("document.activeElement.outerHTML")
    watched.page.close()


def test_signing_in_by_a_token(browser: Browser, world: World) -> None:
    context = browser.new_context()
    watched = Watched(context, world.address)
    watched.open(f"{ROOT}/")
    token = world.engine.client().create_token("read", "a reader", None).secret
    watched.page.locator("input[name=token]").fill(token)
    watched.page.locator("form button").click()
    watched.page.wait_for_url(f"**{ROOT}/")
    assert "a reader" in watched.page.locator("body").inner_text()
    assert token not in watched.page.url
    context.close()
