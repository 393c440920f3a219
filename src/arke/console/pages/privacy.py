"""Privacy requests: the newest with their proof, one in full, and new ones."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from arke.console.forms import FormProblems
from arke.console.page import ROOT, Action, Ask, Done, Flash, Missing, Page
from arke.console.whom import whom
from arke.errors import InvalidInput
from arke.operations.privacy import LiftAsk, PrivacyAsk, PrivacyReport

SHOWN: Final = 25
ACCESS_CHARS: Final = 200_000
"""Of what is kept about somebody; the command has all."""
SURE: Final = {"sure": "Tick this to say that it is meant."}


class Before(msgspec.Struct, frozen=True):
    """Older requests than this one."""

    before: Annotated[int | None, Meta(description="Only requests with lower numbers.")] = None


class Privacy(msgspec.Struct, frozen=True):
    """A page of requests. `kept`: what an access request has just found, as JSON."""

    requests: list[PrivacyReport]
    beginning: str
    older: str
    kept: str = ""
    cut: bool = False


async def privacy(ask: Ask[Before]) -> Privacy:
    before = ask.given.before
    found = await ask.on.privacy.newest(before, SHOWN + 1)
    shown = found[:SHOWN]
    detail: Any = ask.flash.detail if ask.flash is not None else None
    kept = detail if isinstance(detail, str) else ""
    return Privacy(
        requests=shown,
        beginning=f"{ROOT}/privacy" if before is not None else "",
        older=f"{ROOT}/privacy?before={shown[-1].number}" if len(found) > SHOWN else "",
        kept=kept[:ACCESS_CHARS],
        cut=len(kept) > ACCESS_CHARS,
    )


class Request(msgspec.Struct, frozen=True):
    """A new request."""

    who: str
    action: str
    sure: bool = False


async def request(ask: Ask[Before], form: Request) -> Done:
    """Opt somebody out, or delete them: durable on return, and it goes on by itself."""
    meant = whom(form.who)
    if not form.sure:
        raise FormProblems(SURE)
    asked = PrivacyAsk(action=form.action, uuid=meant.uuid, id=meant.id)
    (report, *_) = await ask.on.privacy.request(asked, actor=ask.actor)
    return Done(f"/privacy/{report.number}", Flash(f"Request {report.number} is taken, and under way."))


class Access(msgspec.Struct, frozen=True):
    """Whose data are asked for."""

    who: str


async def access(ask: Ask[Before], form: Access) -> Done:
    """Everything that is kept about somebody, shown once."""
    meant = whom(form.who)
    found = await ask.on.privacy.access(PrivacyAsk(uuid=meant.uuid, id=meant.id), actor=ask.actor)
    text = msgspec.json.format(msgspec.json.encode(found)).decode()
    return Done(
        "/privacy#kept", Flash("This is everything that is kept. It is shown this once.", detail=text)
    )


class Lift(msgspec.Struct, frozen=True):
    """Whose suppression is to be lifted: somebody's, or all that a request suppressed."""

    who: str = ""
    request: int | None = None
    sure: bool = False


async def lift(ask: Ask[Before], form: Lift) -> Done:
    if bool(form.who) == (form.request is not None):
        raise FormProblems({"who": "Give either somebody, or the number of a request."})
    if not form.sure:
        raise FormProblems(SURE)
    if form.request is not None:
        wanted = LiftAsk(request=form.request)
    else:
        meant = whom(form.who)
        wanted = LiftAsk(uuid=meant.uuid, id=meant.id)
    report = await ask.on.privacy.lift(wanted, actor=ask.actor)
    still = f"; {report.kept:,} stay suppressed, for another request wants it so" if report.kept else ""
    return Done("/privacy", Flash(f"{report.lifted:,} suppressed entries were lifted{still}."))


PAGE: Final = Page(
    path="/privacy",
    title="Privacy",
    scope="operate",
    template="privacy.html",
    context=privacy,
    parameters=Before,
    group="Audience",
    actions=(
        Action(name="request", label="Begin the request", scope="admin", run=request, form=Request),
        Action(name="access", label="Show everything kept", scope="admin", run=access, form=Access),
        Action(name="lift", label="Lift", scope="admin", run=lift, form=Lift),
    ),
)


class One(msgspec.Struct, frozen=True):
    """Which request."""

    number: Annotated[int, Meta(title="the request")]


async def one_request(ask: Ask[One]) -> PrivacyReport:
    try:
        return await ask.on.privacy.show(ask.given.number)
    except InvalidInput:
        raise Missing(f"There is no privacy request {ask.given.number}.") from None


REQUEST: Final = Page(
    path="/privacy/{number}",
    title="Privacy request",
    scope="operate",
    template="privacy_request.html",
    context=one_request,
    parameters=One,
    under="/privacy",
)
