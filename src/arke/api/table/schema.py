"""The endpoints that describe the API: one document for programs, and pages for people."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Final

import msgspec

from arke.api.endpoint import NO_BODY, Asked, Endpoint, Nothing
from arke.api.parameters import OneSubject
from arke.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from arke.api.endpoint import AnyEndpoint
    from arke.operations.subjects import Operations

HTML: Final = "text/html; charset=utf-8"
CSS: Final = "text/css; charset=utf-8"
PAGE_HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}


def _tag(body: bytes) -> str:
    return hashlib.blake2b(body, digest_size=8).hexdigest()


def described(endpoints: Callable[[], Sequence[AnyEndpoint]]) -> tuple[AnyEndpoint, ...]:
    """The endpoints that say what these are."""

    @cache
    def document() -> bytes:
        from arke.api.openapi import openapi

        return msgspec.json.encode(openapi(endpoints()))

    @cache
    def page(subject: str | None) -> bytes:
        from arke.api.pages import overview, subject_page

        told = msgspec.json.decode(document())
        html = overview(told) if subject is None else subject_page(told, subject)
        if html is None:
            raise NotFound(f"there is no subject {subject!r}: /schema lists them")
        return html.encode()

    async def openapi_json(_: Operations, __: Asked[Nothing, None]) -> msgspec.Raw:
        return msgspec.Raw(document())

    async def front(_: Operations, __: Asked[Nothing, None]) -> bytes:
        return page(None)

    async def style(_: Operations, __: Asked[Nothing, None]) -> bytes:
        from arke.api.pages import stylesheet

        return stylesheet()

    async def one(_: Operations, asked: Asked[OneSubject, None]) -> bytes:
        return page(asked.given.subject)

    return (
        Endpoint(
            method="GET",
            path="/schema/openapi.json",
            scope=None,
            summary="This API as an OpenAPI 3.1 document.",
            parameters=Nothing,
            body=NO_BODY,
            answer=msgspec.Raw,
            tag=lambda answer: _tag(bytes(answer)),
            run=openapi_json,
        ),
        Endpoint(
            method="GET",
            path="/schema",
            scope=None,
            summary="This API as a page for people.",
            parameters=Nothing,
            body=NO_BODY,
            answer=bytes,
            media=HTML,
            encoded=bytes,
            tag=_tag,
            headers=PAGE_HEADERS,
            run=front,
        ),
        Endpoint(
            method="GET",
            path="/schema/schema.css",
            scope=None,
            summary="How those pages look.",
            parameters=Nothing,
            body=NO_BODY,
            answer=bytes,
            media=CSS,
            encoded=bytes,
            tag=_tag,
            run=style,
        ),
        Endpoint(
            method="GET",
            path="/schema/{subject}",
            scope=None,
            summary="The endpoints of one subject as a page.",
            parameters=OneSubject,
            body=NO_BODY,
            answer=bytes,
            media=HTML,
            encoded=bytes,
            raises=(NotFound,),
            tag=_tag,
            headers=PAGE_HEADERS,
            run=one,
        ),
    )
