"""The filters of Jinja2 body templates. Each charges the rendering's budget for what it is about to do.

A value can be small in memory and huge when walked (a list that holds another list twice, and so on), so
whatever walks a value weighs it first, element by element, as far as the budget lasts.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NoReturn, cast

from jinja2 import Undefined, pass_context

from arke.delivery.templates.output import MAX_OUTPUT_BYTES, Budget, form_text
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from jinja2.runtime import Context

CHARS_A_STEP = 16
"""Characters handled for one step of work."""
MAX_INTEGER = 2**53
"""The largest whole number every JSON reader takes exactly."""
BUDGET = "_budget"
"""The variable that holds the rendering's budget; a template cannot write names that begin with _."""


MAX_RANGE = 10_000
"""The longest range."""


class ReadyText(str):
    """Text that goes into the body as it is."""

    __slots__ = ()


class JsonText(str):
    """Text that is JSON already: it goes into a JSON body as it is, and is escaped in any other."""

    __slots__ = ()


def budget_of(context: Context) -> Budget:
    return cast("Budget", context[BUDGET])


def weigh(budget: Budget, value: object) -> None:
    """Charge one step for every element of a value, nested ones included, and for the length of its texts."""
    if isinstance(value, str):
        budget.charge(1 + len(value) // CHARS_A_STEP)
    elif isinstance(value, dict):
        budget.charge(1)
        for key, item in value.items():
            weigh(budget, key)
            weigh(budget, item)
    elif isinstance(value, list | tuple):
        budget.charge(1)
        for item in value:
            weigh(budget, item)


def whole_number(value: object, what: str) -> int:
    """The value if it is a whole number (no boolean) in range."""
    if isinstance(value, Undefined):
        str(value)  # raises, as any use of an undefined value does
    if type(value) is not int:
        raise RuleError(f"{what} needs whole numbers", hint="turn a text into a number with | int")
    if abs(value) > MAX_INTEGER:
        raise RuleError(f"{what} gives a number beyond 2^53", hint="numbers that large belong in a text")
    return value


def _text(value: object, what: str) -> str:
    if isinstance(value, str | Undefined) or type(value) is int:
        return str(value)
    raise RuleError(f"{what} needs a text", hint="turn other values into JSON with | tojson")


def _bounded(budget: Budget, length: int) -> None:
    """Charge for a text of `length` characters before it is made."""
    if length > MAX_OUTPUT_BYTES:
        raise RuleError(
            "a text grows beyond the limit of a whole body", hint="write the parts one after the other"
        )
    budget.charge(length // CHARS_A_STEP)


def _joined(context: Context, texts: list[str], separator: str) -> str:
    length = sum(map(len, texts)) + len(separator) * max(len(texts) - 1, 0)
    _bounded(budget_of(context), length)
    return separator.join(texts)


def _undefined_in_json(value: object) -> NoReturn:
    str(value)
    raise TypeError


@pass_context
def tojson(context: Context, value: object, indent: int | None = None) -> JsonText:
    weigh(budget_of(context), value)
    if indent is not None and not 0 <= indent <= 8:
        raise RuleError("indent is out of bounds", hint="write 0 to 8, or leave it out")
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(
        value,
        ensure_ascii=False,
        separators=separators,
        indent=indent,
        default=_undefined_in_json,
        allow_nan=False,
    )
    return JsonText(text)


@pass_context
def safe(_: Context, value: object) -> ReadyText:
    return ReadyText(_text(value, "safe"))


@pass_context
def join(context: Context, value: Sequence[object], d: str = "", attribute: str | None = None) -> str:
    budget_of(context).charge(len(value))
    if attribute is not None:
        value = [_attribute(context, item, attribute) for item in value]
    return _joined(context, [_text(item, "join") for item in value], _text(d, "join"))


@pass_context
def length(_: Context, value: Sequence[object]) -> int:
    return len(value)


@pass_context
def default(_: Context, value: object, default_value: object = "", boolean: bool = False) -> object:
    return default_value if isinstance(value, Undefined) or (boolean and not value) else value


@pass_context
def upper(context: Context, value: object) -> str:
    return _converted(context, value, "upper", str.upper)


@pass_context
def lower(context: Context, value: object) -> str:
    return _converted(context, value, "lower", str.lower)


@pass_context
def trim(context: Context, value: object) -> str:
    return _converted(context, value, "trim", str.strip)


@pass_context
def string(context: Context, value: object) -> str:
    return _converted(context, value, "string", str)


@pass_context
def urlencode(context: Context, value: object) -> ReadyText:
    return ReadyText(_converted(context, value, "urlencode", form_text))


def _converted(context: Context, value: object, what: str, convert: Callable[[str], str]) -> str:
    text = _text(value, what)
    _bounded(budget_of(context), len(text))
    return convert(text)


@pass_context
def replace(context: Context, value: object, old: str, new: str) -> str:
    text, old, new = _text(value, "replace"), _text(old, "replace"), _text(new, "replace")
    budget = budget_of(context)
    _bounded(budget, len(text))
    _bounded(budget, len(text) + text.count(old) * len(new))
    return text.replace(old, new)


@pass_context
def to_int(context: Context, value: object, default: int = 0) -> int:
    text = _text(value, "int").strip()
    budget_of(context).charge(1)
    digits = text.removeprefix("-")
    known = len(digits) <= 16 and digits.isascii() and digits.isdigit()
    return whole_number(int(text) if known else default, "int")


@pass_context
def first(context: Context, value: Sequence[object]) -> object:
    return value[0] if value else context.environment.undefined("an empty list has no first item")


@pass_context
def last(context: Context, value: Sequence[object]) -> object:
    return value[-1] if value else context.environment.undefined("an empty list has no last item")


@pass_context
def items(context: Context, value: dict[str, object]) -> list[tuple[str, object]]:
    budget_of(context).charge(len(value))
    return list(value.items())


@pass_context
def map_attribute(context: Context, value: Sequence[object], attribute: str) -> list[object]:
    budget_of(context).charge(len(value))
    return [_attribute(context, item, attribute) for item in value]


@pass_context
def selectattr(context: Context, value: Sequence[object], attribute: str, *test: object) -> list[object]:
    return [item for item, chosen in _tested(context, value, attribute, test) if chosen]


@pass_context
def rejectattr(context: Context, value: Sequence[object], attribute: str, *test: object) -> list[object]:
    return [item for item, chosen in _tested(context, value, attribute, test) if not chosen]


def _tested(
    context: Context, value: Sequence[object], attribute: str, test: tuple[object, ...]
) -> list[tuple[object, bool]]:
    budget = budget_of(context)
    budget.charge(len(value))
    if test and (len(test) != 2 or test[0] not in {"equalto", "eq", "=="}):
        raise RuleError(
            "selectattr and rejectattr test truth or equality", hint='write selectattr("status", "eq", 1)'
        )
    chosen = []
    for item in value:
        actual = _attribute(context, item, attribute)
        if test:
            weigh(budget, actual)
            weigh(budget, test[1])
        chosen.append((item, actual == test[1] if test else bool(actual)))
    return chosen


def _attribute(context: Context, item: object, attribute: str) -> object:
    return context.environment.getitem(item, attribute)


@pass_context
def _loop(context: Context, value: Sequence[Any], weight: int) -> Sequence[Any]:
    """Around what a `for` walks: the whole loop is charged before its first turn."""
    budget_of(context).charge(len(value) * weight)
    return value


@pass_context
def _weighed(context: Context, value: object) -> object:
    """Around both sides of a comparison, and around what a slice copies."""
    weigh(budget_of(context), value)
    return value


@pass_context
def _concat(context: Context, values: list[object]) -> str:
    """In place of the `~` operator."""
    return _joined(context, [_text(value, "~") for value in values], "")


@pass_context
def _range(context: Context, arguments: list[object]) -> list[int]:
    """In place of a call of `range`; a list, so that whatever walks or compares it weighs it."""
    numbers = range(*(whole_number(argument, "range") for argument in arguments))
    if len(numbers) > MAX_RANGE:
        raise RuleError(f"a range of more than {MAX_RANGE:,}", hint="loop over the users and their segments")
    budget_of(context).charge(len(numbers))
    return list(numbers)


Filter = Any
FILTERS: dict[str, Filter] = {
    "d": default, "default": default, "first": first, "int": to_int, "items":
    items, "join": join, "last": last, "length": length, "count": length, "lower": lower, "map":
    map_attribute, "rejectattr": rejectattr, "replace": replace, "safe": safe, "selectattr": selectattr,
    "string": string, "tojson": tojson, "trim": trim, "upper": upper, "urlencode": urlencode,
}  # fmt: skip
HIDDEN: dict[str, Filter] = {"_loop": _loop, "_weighed": _weighed, "_concat": _concat, "_range": _range}
