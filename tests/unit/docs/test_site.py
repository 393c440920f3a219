"""The documentation as a site: built strictly, without a network, and whole.

MkDocs itself complains about links, anchors and pages that nobody lists; here is what it would not notice.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urljoin, urlsplit

import pytest
from markdown_it import MarkdownIt

from unit.docs.pages import ROOT

HERE: Final = "http://site.test/"
LOADS: Final = {
    ("script", "src"),
    ("img", "src"),
    ("link", "href"),
    ("iframe", "src"),
    ("source", "src"),
    ("object", "data"),
    ("form", "action"),
}
SHOWN: Final = ("h2", "h3", "li", "table", "tr", "pre", "img")
"""What a page has as often on the site as where repositories are shown."""


class Seen(HTMLParser):
    """What a built page loads, links to, and names; and how many of which elements its text has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.loads: set[str] = set()
        self.links: set[str] = set()
        self.names: set[str] = set()
        self.inline: list[str] = []
        self.counts: dict[str, int] = {}
        self._article = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "article":
            self._article = True
        for name, value in given.items():
            if (tag, name) in LOADS and not (
                tag == "link" and given.get("rel") in {"canonical", "next", "prev"}
            ):
                self.loads.add(value)
        if tag == "a" and "href" in given:
            self.links.add(given["href"])
        self.names |= {given[name] for name in ("id", "name") if name in given}
        if self._article:
            self.counts[tag] = self.counts.get(tag, 0) + 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._article = False


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("site") / "site"
    done = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, "build", "--strict", "--quiet", "--site-dir", str(out)],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    return out


NO_NETWORK: Final = """
import socket, sys
def refuse(*_):
    raise OSError("no network here")
socket.socket.connect = socket.getaddrinfo = refuse
from mkdocs.__main__ import cli
cli(sys.argv[1:], prog_name="mkdocs")
"""


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Seen]:
    """Every page of the site, by its address."""
    found = {}
    for path in site.rglob("*.html"):
        address = HERE + path.relative_to(site).as_posix().removesuffix("index.html")
        found[address] = Seen(path.read_text(encoding="utf-8"))
    assert len(found) > len(list((ROOT / "docs").rglob("*.md")))
    return found


def test_nothing_is_asked_of_anybody_else(pages: dict[str, Seen], site: Path) -> None:
    for address, seen in pages.items():
        for load in seen.loads:
            assert urljoin(address, load).startswith(HERE), f"{address} loads {load}"
    for sheet in site.rglob("*.css"):
        for url in re.findall(r"url\(([^)]+)\)|@import ([^;]+)", sheet.read_text(encoding="utf-8")):
            assert not re.match(r"[\"']?(https?:)?//", "".join(url)), f"{sheet.name} loads {url}"


def test_every_link_and_anchor_of_the_site_leads_somewhere(pages: dict[str, Seen], site: Path) -> None:
    for address, seen in pages.items():
        if address.endswith("404.html"):
            continue
        for link in {*seen.links, *seen.loads}:
            target = urlsplit(urljoin(address, link))
            if not target.geturl().startswith(HERE):
                continue
            place = target._replace(fragment="", query="").geturl()
            if place in pages:
                name = unquote(target.fragment)
                assert not name or name in pages[place].names, f"{address} links to {link}"
            else:
                assert (site / unquote(target.path).lstrip("/")).is_file(), f"{address} links to {link}"


@pytest.mark.parametrize("path", sorted((ROOT / "docs").rglob("*.md")), ids=lambda one: str(one.stem))
def test_a_page_shows_what_the_repository_shows(path: Path, pages: dict[str, Seen]) -> None:
    """The site's Markdown is another dialect than that of repositories: a list without a blank line before it would
    silently become plain text.
    """
    place = path.relative_to(ROOT / "docs").with_suffix("").as_posix()
    address = HERE if place == "README" else f"{HERE}{place}/"
    shown = MarkdownIt("commonmark").enable("table").render(path.read_text(encoding="utf-8"))
    counts = Seen(f"<article>{shown}</article>").counts
    assert {tag: pages[address].counts.get(tag, 0) for tag in SHOWN} == {
        tag: counts.get(tag, 0) for tag in SHOWN
    }


def test_the_search_knows_every_page(pages: dict[str, Seen], site: Path) -> None:
    """It runs in the browser, over an index that comes from the same server."""
    index = json.loads((site / "search/search_index.json").read_text(encoding="utf-8"))
    known = {HERE + one["location"].partition("#")[0] for one in index["docs"]}
    assert pages.keys() - known == {f"{HERE}404.html"}
    assert any("cursor" in one["text"] for one in index["docs"])


def test_the_navigation_is_the_index(site: Path) -> None:
    text = (site / "index.html").read_text(encoding="utf-8")
    tabs = re.findall(r'md-tabs__link">\s*([^<]+?)\s*<', text)
    headings = re.findall(r"^## (.+)$", (ROOT / "docs/README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert tabs == ["Documents", *headings]
