"""One device or person: what they hold, where they are in and why, what every destination was told of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final
from urllib.parse import quote

import msgspec
from msgspec import Meta

from arke.console.forms import FormProblems
from arke.console.page import Action, Ask, Done, Flash, Page
from arke.domain.ids import is_uuid
from arke.errors import InvalidInput
from arke.operations.explain import DestinationFacts, Explanation, Part
from arke.operations.outgoing import Preview, PreviewAsk
from arke.operations.privacy import PrivacyAsk

if TYPE_CHECKING:
    from arke.operations.timeline import Moment

SEGMENTS_SHOWN: Final = 50
MOMENTS_SHOWN: Final = 40
OLDER_SHOWN: Final = 200
CONCERNED: Final = frozenset({"told", "owed", "pending", "no_partner_id", "not_sampled"})
"""States in which a destination has something to do with a user, or something stands in the way."""


class Who(msgspec.Struct, frozen=True):
    """Who is looked for: by a UUID, or by an id (`DPID:ID`; a UUID is taken here, too)."""

    id: Annotated[str | None, Meta(description="DPID:ID, or a UUID.")] = None
    uuid: Annotated[str | None, Meta(description="38 decimal digits.")] = None
    after: Annotated[int, Meta(ge=0, le=1_000_000, description="Go on after so many segments.")] = 0

    @property
    def asked(self) -> str:
        return (self.uuid or self.id or "").strip()


class Users(msgspec.Struct, frozen=True):
    """What the page shows: `found` with a page of segments, those that the device is in first; `after` goes on.
    `told` are the destinations that know of it or should, the `others` have nothing to hear.
    """

    asked: str
    found: Explanation | None = None
    problem: str = ""
    after: int | None = None
    told: list[DestinationFacts] = []
    others: list[DestinationFacts] = []
    moments: list[Moment] = []
    older: list[Moment] = []
    preview: Preview | None = None


async def users(ask: Ask[Who]) -> Users:
    """Every look is audited."""
    asked = ask.given.asked or (ask.form.value("uuid") if ask.form is not None else "")
    if not asked:
        return Users("")
    try:
        found = await _explained(ask, asked)
    except InvalidInput as error:
        return Users(asked, problem=f"{error}")
    previewed: Any = ask.flash.detail if ask.flash is not None else None
    end = ask.given.after + SEGMENTS_SHOWN
    moments = found.timeline.moments
    return Users(
        asked=asked,
        found=found,
        told=[one for one in found.destinations if one.ids or one.state in CONCERNED],
        others=[one for one in found.destinations if not one.ids and one.state not in CONCERNED],
        after=end if end < found.concerned else None,
        moments=moments[:MOMENTS_SHOWN],
        older=moments[MOMENTS_SHOWN:OLDER_SHOWN],
        preview=previewed if isinstance(previewed, Preview) and found.known else None,
    )


async def _explained(ask: Ask[Who], asked: str) -> Explanation:
    part = Part(ask.given.after, SEGMENTS_SHOWN)
    if is_uuid(asked):
        return await ask.on.people.explain(asked, None, part=part, actor=ask.actor)
    if ":" not in asked:
        raise InvalidInput("this is neither a UUID of 38 digits nor DPID:ID, for example 12345:abc")
    return await ask.on.people.explain(None, asked, part=part, actor=ask.actor)


def _address(key: str) -> str:
    """The page about a device, or about a person's home."""
    return f"/users?uuid={key}" if is_uuid(key) else f"/users?id={quote(key, safe='')}"


class Request(msgspec.Struct, frozen=True):
    """A privacy request about whom the page shows. `sure`: it was meant."""

    uuid: str
    action: str
    sure: bool = False


class Wanted(msgspec.Struct, frozen=True):
    """Which destination's message about whom the page shows is to be seen."""

    uuid: str
    destination: int


async def preview(ask: Ask[Who], form: Wanted) -> Done:
    """What it would be sent now, to the byte."""
    by_uuid = is_uuid(form.uuid)
    asked = PreviewAsk(uuid=form.uuid if by_uuid else None, id=None if by_uuid else form.uuid)
    found = await ask.on.previews.preview(
        form.destination, asked, actor=ask.actor, from_afar=ask.session.token is not None
    )
    text = f"This is what destination {form.destination} would be sent now. Nothing was sent."
    return Done(f"{_address(form.uuid)}#preview", Flash(text, detail=found))


async def request(ask: Ask[Who], form: Request) -> Done:
    if not form.sure:
        raise FormProblems({"sure": "Tick this to say that it is meant: it cannot be undone."})
    by_uuid = is_uuid(form.uuid)
    asked = PrivacyAsk(
        action=form.action, uuid=form.uuid if by_uuid else None, id=None if by_uuid else form.uuid
    )
    (report, *_) = await ask.on.privacy.request(asked, actor=ask.actor)
    return Done(f"/privacy/{report.number}", Flash(f"Request {report.number} is under way."))


PAGE: Final = Page(
    path="/users",
    title="Users",
    scope="operate",
    template="users.html",
    context=users,
    parameters=Who,
    group="Audience",
    actions=(
        Action(name="preview", label="Preview", scope="operate", run=preview, form=Wanted),
        Action(name="request", label="Begin the request", scope="admin", run=request, form=Request),
    ),
)
