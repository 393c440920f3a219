"""Bodies: the standard message, or what a destination's own template makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

import msgspec

from arke.delivery.templates.macro_parser import MacroParser
from arke.delivery.templates.message import SAMPLES, TemplateMessage, TemplateUser
from arke.delivery.templates.output import Budget, escape_for, is_json
from arke.domain.message_body import encode_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.catalog import Destination
    from arke.telling.records import Telling

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
    body = _jinja(text, content_type) if language == "jinja2" else _MacroBody(text, content_type)
    bodies = [body.render(sample) for sample in SAMPLES]
    return BodyTemplate(body, _warnings(bodies, content_type))


def _jinja(text: str, content_type: str) -> _Body:
    # A tenth of a second, in every process that starts: only where a destination has such a template.
    from arke.delivery.templates.jinja import JinjaBody

    return JinjaBody(text, content_type)


def _warnings(bodies: Sequence[bytes], content_type: str) -> list[str]:
    if not is_json(content_type):
        return []
    for body in bodies:
        try:
            msgspec.json.decode(body)
        except msgspec.DecodeError as error:
            return [f"content_type is {content_type}, but the body is not JSON for every message: {error}"]
    return []


class BodyBuilder:
    """Builds message bodies; templates are compiled once per text."""

    def __init__(self) -> None:
        self._templates: dict[tuple[str, str, str], BodyTemplate] = {}

    def build(
        self,
        destination: Destination,
        dpid: int,
        found: Sequence[Telling],
        encoded: Sequence[bytes],
        at: float,
    ) -> bytes:
        """The body of one message. `encoded` are the users as standard JSON, `at` the time of the request."""
        if destination.template is None:
            return encode_message(
                encoded,
                process_ts=at,
                dpid=dpid,
                client_id=destination.client_id,
                destination_id=destination.id,
            )
        message = TemplateMessage(
            process_ts=at,
            dpid=dpid,
            client_id=destination.client_id,
            destination_id=destination.id,
            users=tuple(
                TemplateUser(entry=telling.entry, partner_ids=telling.partner_ids, seen_ts=telling.seen_ts)
                for telling in found
            ),
            generated_ts=max(
                (state.verified_ts for telling in found for state in telling.entry.segments), default=None
            ),
        )
        return self._template(destination.template, destination).render(message)

    def _template(self, text: str, destination: Destination) -> BodyTemplate:
        key = (text, destination.template_language, destination.content_type)
        known = self._templates.get(key)
        if known is None:
            known = compile_template(
                text, destination.template_language, content_type=destination.content_type
            )
            self._templates[key] = known
        return known
