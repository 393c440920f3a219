"""The console as an ASGI app: every request is checked against the registry of pages before anything is done.

Who is asked for: a session, the scope of the page, and of whatever changes something that a form of ours sent it.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from arke.api.endpoint import Nothing
from arke.api.query import Reader
from arke.console import wording
from arke.console.forms import ANTI_FORGERY, Entries, FormProblems, read_fields, read_form
from arke.console.multipart import FormWithFile
from arke.console.page import ROOT, Ask, Done, Flash, Missing, Upload
from arke.console.registry import FEEDS, FRAGMENTS, PAGES
from arke.console.rendering import Failure, Renderer, SignInForm
from arke.console.security import (
    HEADERS,
    cookie_name,
    forget_cookie,
    from_elsewhere,
    is_prefetch,
    led_here,
    set_cookie,
)
from arke.console.static_files import StaticFiles
from arke.errors import ArkeError, InvalidInput, Unauthorized, Unavailable
from arke.log import get_logger, kind_and_place
from arke.operations.sign_in import SIGN_IN

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from arke.clock import Clock
    from arke.console.forms import Form
    from arke.console.page import Action, Feed, Fragment, Page
    from arke.operations.sign_in import Session
    from arke.operations.subjects import Operations

log = get_logger("console")

FLASH: Final = "flash"
"""Under this a session keeps what the next page shows once."""
SIGN_IN_BYTES: Final = 16 * 1024
UNSENT_BYTES: Final = 128 * 1024
"""Of a form whose session has ended: anybody may send one."""
INCIDENT_BYTES: Final = 4


def with_console(api: ASGIApp, console: ASGIApp) -> ASGIApp:
    """What the admin port serves: the console under its root, everything else the API; `/` leads to the console."""

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path == "/" and scope["method"] in ("GET", "HEAD"):
            await RedirectResponse(f"{ROOT}/", 303, HEADERS)(scope, receive, send)
        elif path == ROOT or path.startswith(f"{ROOT}/"):
            # Starlette puts its own object where the doors look for the path of a route.
            inner = dict(scope)
            try:
                await console(inner, receive, send)
            finally:
                scope["route"] = getattr(inner.get("route"), "path", f"{ROOT}/")
        else:
            await api(scope, receive, send)

    return app


def console_app(operations: Operations, clock: Clock) -> ASGIApp:
    """The pages over these operations."""
    desk = _Desk(operations, clock)
    routes = [
        Route(SIGN_IN, desk.sign_in, methods=["GET", "POST"]),
        Route(f"{ROOT}/sign-out", partial(desk.signed_in, desk.sign_out), methods=["POST"]),
        Route(ROOT, _to_root, methods=["GET"]),
        *(
            Route(ROOT + one.path, partial(desk.signed_in, partial(desk.stream, one, Reader(one.parameters))))
            for one in FEEDS
        ),
        *(
            Route(
                ROOT + one.path,
                partial(desk.signed_in, partial(desk.fragment, one, Reader(one.parameters))),
                methods=["POST"],
            )
            for one in FRAGMENTS
        ),
    ]
    for page in PAGES:
        reader = Reader(page.parameters)
        routes.append(Route(ROOT + page.path, partial(desk.signed_in, partial(desk.show, page, reader))))
        routes += [
            Route(
                f"{ROOT}{page.path.rstrip('/')}/{action.name}",
                partial(desk.signed_in, partial(desk.act, page, action, reader)),
                methods=["POST"],
            )
            for action in page.actions
        ]
    app = Starlette(routes=routes, exception_handlers={404: desk.nowhere, 405: desk.nowhere})
    app.router.redirect_slashes = False
    return app


async def _to_root(_: Request) -> Response:
    return RedirectResponse(f"{ROOT}/", 303, HEADERS)


class _Desk:
    """Answers requests: finds out whose they are, has the work done, and shows what came of it."""

    def __init__(self, operations: Operations, clock: Clock) -> None:
        self._operations = operations
        self._clock = clock
        self._static = StaticFiles()
        self._renderer = Renderer(PAGES, self._static)

    # -- who asks

    async def signed_in(
        self, handle: Callable[[Request, Session], Awaitable[Response]], request: Request
    ) -> Response:
        """Whatever goes wrong becomes a page."""
        session = None
        try:
            if request.method == "POST" and from_elsewhere(request):
                return self._failure(_ELSEWHERE, None)
            session = await self._session(request)
            if session is None:
                return await self._who_are_you(request)
            return await handle(request, session)
        except ClientDisconnect:
            raise
        except Missing as missing:
            return self._failure(Failure("Not found", str(missing), status=404), session)
        except ArkeError as error:
            return self._failure(_failure_of(error), session)
        except Exception as error:  # noqa: BLE001 - whoever looks gets a number, and the log has the same
            return self._failure(_incident(error), session)

    async def _session(self, request: Request) -> Session | None:
        secret = request.cookies.get(cookie_name(request))
        return await self._operations.sign_in.find(secret) if secret else None

    async def _who_are_you(self, request: Request) -> Response:
        if request.method == "GET" and led_here(request):
            # The cookie stayed behind because a link of another site led here: once more, from here.
            return _html(self._renderer.opening(_address(request)))
        if request.method == "GET":
            return _html(self._renderer.sign_in(SignInForm(_address(request))), 401)
        return _html(self._renderer.sign_in(SignInForm(f"{ROOT}/", unsent=await _texts(request))), 401)

    async def sign_in(self, request: Request) -> Response:
        try:
            code = request.query_params.get("link")
            if request.method == "POST":
                return await self._open_with_token(request)
            if code is None or is_prefetch(request):
                return _html(self._renderer.sign_in(SignInForm(f"{ROOT}/")))
            secret, _ = await self._operations.sign_in.open_link(code)
            return self._welcome(request, secret, f"{ROOT}/")
        except Unauthorized as error:
            return _html(self._renderer.sign_in(SignInForm(f"{ROOT}/", str(error))), error.status)
        except ArkeError as error:
            return self._failure(_failure_of(error), None)

    async def _open_with_token(self, request: Request) -> Response:
        if from_elsewhere(request):
            return self._failure(_ELSEWHERE, None)
        form = await _read(request, SIGN_IN_BYTES)
        next_page = _own_page(form.get("next_page", [""])[0])
        try:
            secret, _ = await self._operations.sign_in.open_token(form.get("token", [""])[0].strip())
        except Unauthorized as error:
            problem = _NO_SCOPE if error.forbidden else _NO_TOKEN
            return _html(self._renderer.sign_in(SignInForm(next_page, problem)), error.status)
        return self._welcome(request, secret, next_page)

    def _welcome(self, request: Request, secret: str, to: str) -> Response:
        response = RedirectResponse(to, 303, HEADERS)
        set_cookie(response, request, secret)
        return response

    async def sign_out(self, request: Request, session: Session) -> Response:
        if (refused := self._forged(await _read(request, SIGN_IN_BYTES), session)) is not None:
            return refused
        await self._operations.sign_in.end(request.cookies[cookie_name(request)])
        response = RedirectResponse(SIGN_IN, 303, HEADERS)
        forget_cookie(response, request)
        return response

    # -- what is asked

    async def show(
        self, page: Page[Any, Any], reader: Reader, request: Request, session: Session
    ) -> Response:
        if not session.allows(page.scope):
            return self._failure(_lacking(page.scope, session), session)
        flash = session.kept.pop(FLASH, None) if request.method == "GET" else None
        ask = self._ask(reader, request, session, flash=flash)
        return await self._page(page, ask)

    async def act(
        self,
        page: Page[Any, Any],
        action: Action[Any, Any],
        reader: Reader,
        request: Request,
        session: Session,
    ) -> Response:
        """Do it, and lead to where its outcome is seen; what is wrong with the form is shown in the form."""
        if not (session.allows(page.scope) and session.allows(action.scope)):
            return self._failure(_lacking(action.scope, session), session)
        upload = _with_file(request) if isinstance(action, Upload) else None
        form = await _fields_of(request, action.max_bytes, upload)
        if (refused := self._forged(form, session)) is not None:
            return refused
        ask = self._ask(reader, request, session)
        try:
            done = await _carried_out(action, ask, form, upload)
        except (ArkeError, FormProblems) as error:
            problems, status = _form_state(error)
            entries = Entries(action.name, form, str(error), problems)
            return await self._page(page, self._ask(reader, request, session, form=entries), status)
        session.kept[FLASH] = done.flash
        return RedirectResponse(ROOT + done.to, 303, HEADERS)

    async def fragment(
        self, fragment: Fragment[Any, Any, Any], reader: Reader, request: Request, session: Session
    ) -> Response:
        if not session.allows(fragment.scope):
            return self._failure(_lacking(fragment.scope, session), session)
        form = await _read(request, fragment.max_bytes)
        if (refused := self._forged(form, session)) is not None:
            return refused
        ask = self._ask(reader, request, session)
        try:
            context = await fragment.run(ask, read_fields(fragment.form, form))
        except (ArkeError, FormProblems) as error:
            return _html(self._renderer.part("problem.html", ask, error), _form_state(error)[1])
        return _html(self._renderer.part(fragment.template, ask, context))

    async def stream(
        self, feed: Feed[Any, Any], reader: Reader, request: Request, session: Session
    ) -> Response:
        if not session.allows(feed.scope):
            return self._failure(_lacking(feed.scope, session), session)
        ask = self._ask(reader, request, session)
        found = feed.run(ask)
        # Asked before the status line is sent: a feed that has no room for another says so.
        first = await anext(found, None)

        async def events() -> AsyncIterator[str]:
            yield self._told(feed, ask, first)
            async for one in found:
                if await self._session(request) is None:
                    return
                yield self._told(feed, ask, one)

        return StreamingResponse(events(), media_type="text/event-stream", headers=HEADERS)

    def _told(self, feed: Feed[Any, Any], ask: Ask[Any], one: Any) -> str:
        return ":\n\n" if one is None else _event(self._renderer.part(feed.template, ask, one))

    def _ask(
        self,
        reader: Reader,
        request: Request,
        session: Session,
        *,
        form: Entries | None = None,
        flash: Flash | None = None,
    ) -> Ask[Any]:
        try:
            given = reader.read({**request.query_params, **request.path_params})
        except InvalidInput:
            if not request.path_params:
                raise
            raise Missing("There is no such thing: its address has no number where one should be.") from None
        return Ask(self._operations, given, session, self._clock.now(), form, flash)

    async def _page(self, page: Page[Any, Any], ask: Ask[Any], status: int = 200) -> Response:
        return _html(self._renderer.page(page, ask, await page.context(ask)), status)

    # -- what is refused

    def _forged(self, form: Form, session: Session) -> Response | None:
        """The refusal of a form that nobody was shown."""
        if session.is_its_own(form.get(ANTI_FORGERY, [""])[0]):
            return None
        return self._failure(_FORGED, session)

    async def nowhere(self, request: Request, _: Exception) -> Response:
        """What no route answers: a file, a path that ends in `/`, or a wrong address."""
        if request.method in ("GET", "HEAD") and (file := self._static.answer(request)) is not None:
            return file
        return await self.signed_in(_no_page, request)

    def _failure(self, failure: Failure, session: Session | None) -> Response:
        ask = Ask(self._operations, Nothing(), session, self._clock.now()) if session is not None else None
        response = _html(self._renderer.failure(failure, ask), failure.status)
        if failure.again_s is not None:
            response.headers["Retry-After"] = str(failure.again_s)
        return response


def _with_file(request: Request) -> FormWithFile | None:
    """None: it is a form without one. Raises InvalidInput."""
    media = request.headers.get("content-type", "")
    return FormWithFile(request.stream(), media) if media.startswith("multipart/") else None


async def _fields_of(request: Request, max_bytes: int, upload: FormWithFile | None) -> Form:
    """Raises InvalidInput."""
    if upload is None:
        return await _read(request, max_bytes)
    await upload.read_fields()
    return upload.fields


async def _carried_out(
    action: Action[Any, Any], ask: Ask[Any], form: Form, upload: FormWithFile | None
) -> Done:
    """Raises what the action raises, and FormProblems."""
    fields = read_fields(action.form, form)
    if upload is not None and isinstance(action, Upload):
        return await action.take(ask, fields, upload.name, upload.file())
    return await action.run(ask, fields)


async def _no_page(_: Request, __: Session) -> Response:
    raise Missing("The console has no such page, or it moved. The navigation lists those there are.")


_ELSEWHERE: Final = Failure(
    "Not from here",
    "This form was sent by a page of another site, or under a name that is not the console's: nothing was done.",
    "Open the console and use its own form. Behind a proxy, see that it hands the Host header on as it came.",
    status=403,
)
_FORGED: Final = Failure(
    "Nothing was done",
    "The form is not one that this session was shown: it is from before the last sign-in, or was made elsewhere.",
    "Go back, reload the page, and send it again.",
    status=403,
)
_NO_TOKEN: Final = "This token is unknown, expired or revoked."  # noqa: S105 - a sentence
_NO_SCOPE: Final = "This token is for other things: the console takes scope read, operate or admin."


def _form_state(error: ArkeError | FormProblems) -> tuple[dict[str, str], int]:
    """What is wrong with which field, and the status that says so."""
    return (error.problems, 400) if isinstance(error, FormProblems) else ({}, error.status)


def _lacking(scope: str, session: Session) -> Failure:
    own = ", ".join(session.scopes)
    return Failure(
        "Not with this token",
        f"This needs the scope {scope}. You are signed in with {own}.",
        "Whoever administers this engine makes a token of that scope:",
        f"arke token create --scope {scope}",
        status=403,
    )


def _failure_of(error: ArkeError) -> Failure:
    if isinstance(error, Unavailable):
        hint = "This page tries again by itself."
        return Failure("Not just now", wording.sentence(str(error)), hint, status=503, again_s=3)
    return Failure("That did not work", wording.sentence(str(error)), status=error.status)


def _incident(error: Exception) -> Failure:
    """A defect. Its words may quote what somebody entered, so only kind and place are logged."""
    number = secrets.token_hex(INCIDENT_BYTES)
    log.error("page failed", incident=number, what=kind_and_place(error))
    return Failure(
        "The engine failed on this page",
        f"Incident {number}: the log has a line with this number that says where.",
        "Try again; if it stays so, report it with that line.",
    )


async def _read(request: Request, max_bytes: int) -> Form:
    return await read_form(request.stream(), request.headers.get("content-type", ""), max_bytes)


async def _texts(request: Request) -> list[str]:
    """What a form has that takes long to type again: texts of several lines."""
    try:
        form = await _read(request, UNSENT_BYTES)
    except InvalidInput:
        return []
    return [text for texts in form.values() for text in texts if "\n" in text.strip()]


def _address(request: Request) -> str:
    query = request.url.query
    return f"{request.url.path}?{query}" if query else request.url.path


def _own_page(text: str) -> str:
    """Where a form says to go on, if that is a page of ours."""
    plain = text.isascii() and text.isprintable() and "\\" not in text and "//" not in text
    return text if plain and text.startswith(f"{ROOT}/") else f"{ROOT}/"


def _html(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, HEADERS)


def _event(text: str) -> str:
    """A server-sent event: each line of it is marked."""
    return "".join(f"data: {line}\n" for line in text.splitlines()) + "\n"
