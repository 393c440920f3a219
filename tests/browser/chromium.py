"""Debian's Chromium, driven as somebody drives it; whatever a page does that it should not is kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

from patience import PATIENCE_S
from servers.process import install, missing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, BrowserContext, Locator, Page

HERE: Final = Path(__file__).parent
PATIENCE_MS: Final = PATIENCE_S * 1_000
FLAGS: Final = (
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PACKAGES: Final = ("package.json", "package-lock.json")
RULES: Final = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
CHECK: Final = """async (rules) => {
    const found = await axe.run(document, {runOnly: {type: "tag", values: rules}});
    return found.violations.map(one => one.id + ": " + one.help + " in " + one.nodes.map(
        node => node.target.join(" ") + " (" + node.failureSummary + ")").join("; "));
}"""


@cache
def program() -> str:
    """Where Chromium is; the test is skipped, or fails in CI, where there is none to be had."""
    if not shutil.which("chromium"):
        install("chromium")
    return shutil.which("chromium") or missing("Chromium (Debian's package chromium)")


@cache
def axe() -> str:
    """The source of axe-core, of the version in the lock file, from npm and kept in the user's cache."""
    lock = (HERE / "package-lock.json").read_bytes()
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "arke-tests" / "npm"
    script = folder / "node_modules" / "axe-core" / "axe.min.js"
    kept = folder / "package-lock.json"
    if not (script.exists() and kept.read_bytes() == lock):
        _fetch(folder)
    return script.read_text()


def _fetch(folder: Path) -> None:
    if not shutil.which("npm"):
        install("npm")
    npm = shutil.which("npm") or missing("npm")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        for name in PACKAGES:
            shutil.copy(HERE / name, scratch)
        command = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
        done = subprocess.run(command, cwd=scratch, capture_output=True, text=True)
        if done.returncode:
            missing(f"axe-core (npm: {done.stderr[-300:].strip()})")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(scratch, folder)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser of its own, on a profile of its own."""
    sandbox = os.geteuid() != 0
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program(), args=[*FLAGS], chromium_sandbox=sandbox, timeout=PATIENCE_MS
        )
        try:
            yield browser
        finally:
            browser.close()


class Watched:
    """One page. `faults` are errors in its console, scripts that failed, and requests to other hosts."""

    def __init__(self, context: BrowserContext, address: str) -> None:
        self.faults: list[str] = []
        context.set_default_timeout(PATIENCE_MS)
        self.page: Page = context.new_page()
        self._address = address
        self.page.on("console", self._said)
        self.page.on("pageerror", lambda error: self.faults.append(f"script: {error}"))
        self.page.on("request", self._asked)
        self.page.on("requestfailed", self._failed)

    def _said(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.faults.append(f"{message.type}: {message.text}")

    def _asked(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme != "data" and parts.netloc != self._address:
            self.faults.append(f"asks elsewhere: {request.url}")

    def _failed(self, request: Any) -> None:
        # What is left behind with a page is broken off by the browser.
        if request.failure != "net::ERR_ABORTED":
            self.faults.append(f"failed: {request.url}: {request.failure}")

    def open(self, target: str) -> int:
        """Go to a page; its status."""
        reply = self.page.goto(f"http://{self._address}{target}", wait_until="load")
        return reply.status if reply is not None else 0

    def follow(self, link: Locator) -> None:
        """Click what leads to another page, and wait for all of that."""
        with self.page.expect_navigation(wait_until="load"):
            link.click()

    def violations(self) -> list[str]:
        """What axe-core finds."""
        self.page.evaluate(axe())
        found: list[str] = self.page.evaluate(CHECK, [*RULES])
        return found

    def overflow(self) -> int:
        """By how many pixels the page is wider than the window."""
        wide: int = self.page.evaluate(
            "document.scrollingElement.scrollWidth - document.scrollingElement.clientWidth"
        )
        return wide
