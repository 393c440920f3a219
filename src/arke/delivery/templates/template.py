"""A destination's own body (SPEC section 8): checked when the catalog is, rendered for each message.

Two languages share one interface: the macros of Audience Manager's HTTP formats, and Jinja2 in a sandbox.
What is wrong with a template is found here, before it is used: names that do not exist, loops that
explode, and, by trying the template on made-up messages, what only shows when it is rendered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from arke.delivery.templates.budget import Budget
from arke.delivery.templates.escape import escape_for, is_json
from arke.delivery.templates.jinja import JinjaBody
from arke.delivery.templates.macro_parser import MacroParser
from arke.delivery.templates.message import SAMPLES, TemplateMessage, TemplateUser

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["BodyTemplate", "TemplateLanguage", "TemplateMessage", "TemplateUser", "compile_template"]

TemplateLanguage = Literal["macros", "jinja2"]


class _Body(Protocol):
    def render(self, message: TemplateMessage) -> bytes: ...


class BodyTemplate:
    """A compiled template; safe to share between threads. `warnings` are for whoever applies the catalog."""

    __slots__ = ("_body", "warnings")

    def __init__(self, body: _Body, warnings: Sequence[str]) -> None:
        self._body = body
        self.warnings = tuple(warnings)

    def render(self, message: TemplateMessage) -> bytes:
        """The body: the same bytes for the same message. RuleError past the bounds of template_budget."""
        return self._body.render(message)


class _MacroBody:
    """A macro template: its syntax tree renders itself."""

    def __init__(self, text: str, content_type: str) -> None:
        self._tree = MacroParser(text, escape_for(content_type)).parse()

    def render(self, message: TemplateMessage) -> bytes:
        budget = Budget()
        self._tree.render([message], budget)
        return budget.output()


def compile_template(
    text: str, language: TemplateLanguage, *, content_type: str = "application/json"
) -> BodyTemplate:
    """Check and compile a template. Values are escaped as `content_type` asks (docs/reference/templates.md).

    Raises RuleError with line, column and hint: a name that does not exist, something unbalanced or not
    allowed, or a failure on one of the made-up messages of template_message.
    """
    body: _Body = JinjaBody(text, content_type) if language == "jinja2" else _MacroBody(text, content_type)
    bodies = [body.render(sample) for sample in SAMPLES]
    return BodyTemplate(body, _warnings(bodies, content_type))


def _warnings(bodies: Sequence[bytes], content_type: str) -> list[str]:
    if not is_json(content_type):
        return []
    for body in bodies:
        try:
            msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            return [f"content_type is {content_type}, but the body is not JSON for every message: {error}"]
    return []
