"""Pages as HTML: templates over what a page's context has, in the frame that all of them share."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke import __version__
from arke.console import charts, wording
from arke.console.forms import ANTI_FORGERY
from arke.console.page import ROOT
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import jinja2

    from arke.console.page import Ask, Page
    from arke.console.static_files import StaticFiles

GROUPS: Final = ("", "Delivery", "Audience", "Data", "Engine")
"""Of the navigation, in their order."""


class NavEntry(msgspec.Struct, frozen=True):
    """A line of the navigation."""

    href: str
    title: str
    here: bool


class NavGroup(msgspec.Struct, frozen=True):
    """Lines under a heading."""

    title: str
    entries: list[NavEntry]


class Frame(msgspec.Struct, frozen=True):
    """What is around a page. `person` says who is signed in, `scopes` with what."""

    title: str
    groups: list[NavGroup]
    person: str
    scopes: str
    anti_forgery: str
    version: str = __version__


class Failure(msgspec.Struct, frozen=True):
    """What an error page says: `hint` is what to do about it, `command` what to type."""

    title: str
    text: str
    hint: str = ""
    command: str = ""
    status: int = 500
    again_s: int | None = None


class SignInForm(msgspec.Struct, frozen=True):
    """What the page says to whoever is not signed in. `next_page` is where they wanted to go, `unsent` the texts of
    a form that came after its session had ended.
    """

    next_page: str
    problem: str = ""
    unsent: list[str] = []


class Renderer:
    """Makes HTML of pages, and of what went wrong."""

    def __init__(self, pages: Sequence[Page[Any, Any]], static: StaticFiles) -> None:
        self._pages = pages
        self._static = static

    @cached_property
    def _templates(self) -> jinja2.Environment:
        import jinja2  # with the first page: an engine starts without

        templates = jinja2.Environment(
            loader=jinja2.PackageLoader("arke.console", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.globals |= {
            "root": ROOT,
            "static": self._static.address,
            "anti_forgery_field": ANTI_FORGERY,
            "chart": charts,
            "many": many,
        }
        templates.filters |= {
            "count": wording.count,
            "milliseconds": wording.milliseconds,
            "moment": wording.moment,
            "sentence": wording.sentence,
            "share": wording.share,
            "short": wording.short,
            "span": wording.span,
        }
        return templates

    def page(self, page: Page[Any, Any], ask: Ask[Any], context: Any) -> str:
        frame = self._frame(ask, page.title, page.entry)
        return self._render(page.template, c=context, ask=ask, frame=frame, page=page)

    def part(self, template: str, ask: Ask[Any], context: Any) -> str:
        """A fragment, without the frame."""
        return self._render(template, c=context, ask=ask)

    def failure(self, failure: Failure, ask: Ask[Any] | None) -> str:
        """`ask` None: nobody is signed in."""
        frame = self._frame(ask, failure.title, "") if ask is not None else None
        return self._render("failure.html", failure=failure, ask=ask, frame=frame)

    def sign_in(self, form: SignInForm) -> str:
        return self._render("sign_in.html", form=form)

    def opening(self, here: str) -> str:
        """A page that goes to where it is, this time from here."""
        return self._render("opening.html", here=here)

    def _render(self, template: str, **given: Any) -> str:
        return self._templates.get_template(template).render(**given)

    def _frame(self, ask: Ask[Any], title: str, entry: str) -> Frame:
        token = ask.session.token
        return Frame(
            title=title,
            groups=[
                NavGroup(group, found) for group in GROUPS if (found := [*self._entries(ask, group, entry)])
            ],
            person="this machine" if token is None else token.name or token.id,
            scopes=", ".join(ask.session.scopes),
            anti_forgery=ask.session.anti_forgery,
        )

    def _entries(self, ask: Ask[Any], group: str, here: str) -> Iterator[NavEntry]:
        """Those that whoever asks may see."""
        for page in self._pages:
            if page.group == group and ask.session.allows(page.scope):
                yield NavEntry(ROOT + page.path, page.title, page.path == here)
