"""Bodies: the standard message, or what a destination's own template makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.delivery.templates.message import TemplateMessage, TemplateUser
from arke.delivery.templates.template import BodyTemplate, compile_template
from arke.domain.message_body import encode_message

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.domain.catalog import Destination
    from arke.telling.records import Telling


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
