"""Forms that come back: fields read into a struct, and what is wrong with each said beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar, cast
from urllib.parse import parse_qs

import msgspec
from msgspec import inspect

from arke.domain.digits import whole_number
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

F = TypeVar("F")

MAX_FIELDS: Final = 256
ANTI_FORGERY: Final = "anti_forgery"
"""The field that says that a form was shown to whoever sends it."""
URL_ENCODED: Final = "application/x-www-form-urlencoded"

Form = dict[str, list[str]]
"""Each field's values, in the order in which they came."""


class NoForm(msgspec.Struct, frozen=True):
    """A button: nothing is entered."""


class Entries(msgspec.Struct, frozen=True):
    """A form as it was entered, when it is shown again. `problems` by field; `problem` is of the whole of it."""

    action: str
    values: Form
    problem: str = ""
    problems: dict[str, str] = {}

    def value(self, field: str, default: str = "") -> str:
        return self.values.get(field, [default])[0]


class FormProblems(Exception):
    """What is wrong with a form, by field. No ArkeError: nobody but the console knows of fields."""

    def __init__(self, problems: Mapping[str, str], message: str = "See the marked fields.") -> None:
        super().__init__(message)
        self.problems = dict(problems)


async def read_form(parts: AsyncIterator[bytes], media: str, max_bytes: int) -> Form:
    """A form's body. Raises InvalidInput."""
    if media.partition(";")[0].strip().lower() != URL_ENCODED:
        raise InvalidInput(f"a form is sent as {URL_ENCODED}")
    body = bytearray()
    async for part in parts:
        body += part
        if len(body) > max_bytes:
            raise InvalidInput(f"this form may have {max_bytes:,} bytes")
    try:
        return parse_qs(
            body.decode("ascii"),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=MAX_FIELDS,
        )
    except ValueError:  # of characters, too
        raise InvalidInput("this form is not well-formed: see that its fields are text in UTF-8") from None


def read_fields(kind: type[F], form: Form) -> F:
    """A struct of the kind: text is stripped at its ends, a box that is not ticked is False, an empty field has its
    default. Raises FormProblems.
    """
    described = cast("inspect.StructType", inspect.type_info(kind))
    found: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for field in described.fields:
        values = [text.replace("\r\n", "\n").strip() for text in form.get(field.name, [])]
        text = values[0] if values else ""
        plain = _plain(field.type)
        if isinstance(plain, inspect.ListType):
            found[field.name] = [one for one in values if one]
        elif isinstance(plain, inspect.BoolType):
            found[field.name] = text in ("1", "on", "true", "yes")
        elif not text:
            if field.required:
                problems[field.name] = "This is needed."
        elif isinstance(plain, inspect.IntType):
            found[field.name] = whole_number(text.replace(",", ""))
            if found[field.name] is None:
                problems[field.name] = "A whole number, in plain digits."
        else:
            found[field.name] = text
    if problems:
        raise FormProblems(problems)
    return kind(**found)


def _plain(kind: inspect.Type) -> inspect.Type:
    """A field's type without None and notes."""
    if isinstance(kind, inspect.Metadata):
        kind = kind.type
    if isinstance(kind, inspect.UnionType):
        (kind,) = (one for one in kind.types if not isinstance(one, inspect.NoneType))
    return kind
