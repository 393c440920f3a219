"""What MkDocs is told by the repository itself: the navigation is the list of docs/README.md, heading by heading,
and the documents of the repository's root are pages, too.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from mkdocs.structure.files import File

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files
    from mkdocs.structure.pages import Page

INDEX: Final = "README.md"
OF_THE_ROOT: Final = {
    "README.md": "project/about.md",
    "ARCHITECTURE.md": "project/architecture.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "CHANGELOG.md": "project/changes.md",
    "deploy/README.md": "operations/deploying.md",
}
"""Documents outside of docs/, and where the site has them."""

_LINK: Final = re.compile(
    r"^```.*?^```$|(?P<text>!?\[(?:[^\]`]|`[^`\n]*`)*\])\((?P<link>[^)\s#]+)(?P<anchor>[^)\s]*)\)|`[^`\n]*`",
    re.MULTILINE | re.DOTALL,
)
"""A link, whose text may have code in it; or code by itself, so that nothing in it is taken for a link."""
_HEADING: Final = re.compile(r"^## (.+)$", re.MULTILINE)
_LISTED: Final = re.compile(r"^- \[(.+?)\]\(([^)#]+)\)", re.MULTILINE)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """A part of the navigation for every heading of the index, with the pages that are listed under it."""
    text = (Path(config.docs_dir) / INDEX).read_text(encoding="utf-8")
    _, *parts = _HEADING.split(text)
    titles, lists = parts[::2], parts[1::2]
    parted = {title: _pages(listed) for title, listed in zip(titles, lists, strict=True)}
    config.nav = [{"Documents": INDEX}, *({title: pages} for title, pages in parted.items() if pages)]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Also the documents of the root."""
    for source, place in OF_THE_ROOT.items():
        text = (_root(config) / source).read_text(encoding="utf-8")
        files.append(File.generated(config, place, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """Links lead to where a document is on the site; one to a file that is no page is the text alone."""
    place = page.file.src_uri
    sources = {place: source for source, place in OF_THE_ROOT.items()}
    source = sources.get(place, f"docs/{place}")

    def leads(found: re.Match[str]) -> str:
        text, link, anchor = found.groups()
        if not link or re.match(r"[a-z]+:", link):
            return found[0]
        target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
        on_site = OF_THE_ROOT.get(target, target.removeprefix("docs/"))
        if on_site == target and target.split("/")[0] != "docs":
            return text[1:-1]
        return f"{text}({posixpath.relpath(on_site, posixpath.dirname(place) or '.')}{anchor})"

    return _LINK.sub(leads, markdown)


def _pages(listed: str) -> list[dict[str, str]]:
    found = []
    for title, link in _LISTED.findall(listed):
        target = posixpath.normpath(posixpath.join("docs", link))
        found.append({title.replace("`", ""): OF_THE_ROOT.get(target, target.removeprefix("docs/"))})
    return found


def _root(config: MkDocsConfig) -> Path:
    return Path(config.docs_dir).parent
