"""Resolving a dotted name of a macro template to its source; unknown names end here, with a hint."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from arke.delivery.templates.macro_nodes import Frame, Source
from arke.delivery.templates.macros import FIELDS, GET_ONLY, LITERALS, find_field, suggest
from arke.domain.catalog import MAX_ID
from arke.domain.digits import whole_number
from arke.errors import RuleError

if TYPE_CHECKING:
    from collections.abc import Callable

    from arke.delivery.templates.macros import Field, ItemKind, Value


class Scope(msgspec.Struct, frozen=True):
    """The variables of the lists being walked, outermost first; the n-th lives in slot n + 1 of the frame."""

    variables: tuple[tuple[str, ItemKind], ...] = ()

    @property
    def in_list(self) -> bool:
        return bool(self.variables)

    def inside(self, variable: str, kind: ItemKind) -> Scope:
        return Scope((*self.variables, (variable, kind)))

    def find(self, name: str) -> tuple[int, ItemKind] | None:
        """Slot and kind of the innermost variable of this name."""
        for index in range(len(self.variables) - 1, -1, -1):
            if self.variables[index][0] == name:
                return index + 1, self.variables[index][1]
        return None


def resolve(scope: Scope, path: str) -> Source:
    """Where the value of `path` comes from. Raises RuleError without a place; the parser knows it."""
    name, *rest = path.split(".")
    found = scope.find(name)
    if found is None:
        return _macro(scope, path, name, rest)
    slot, kind = found
    if not rest:
        return _item(path, slot, kind)
    field = find_field(kind, rest[0])
    if field is None:
        remedy = suggest(rest[0], _names(kind)) if FIELDS[kind] else f"write <{name}>"
        raise RuleError(f"a {kind} has no field {rest[0]}", hint=remedy)
    if len(rest) == 1:
        return Source(path, _getter(field, slot), field.items)
    if len(rest) == 2 and field.keyed is not None:
        number = whole_number(rest[1], MAX_ID)
        if number is not None:
            return Source(path, _entry_getter(field.keyed, slot, number), None)
    hint = f"write <{name}.{field.name}.20914>, with the DPID's number" if field.keyed else None
    raise RuleError(f"{name}.{field.name} has nothing called {'.'.join(rest[1:])}", hint=hint)


def _macro(scope: Scope, path: str, name: str, rest: list[str]) -> Source:
    field = find_field("message", name)
    if field is not None and not rest:
        return Source(path, _getter(field, 0), field.items)
    if field is not None:
        raise RuleError(
            f"{field.name} has no fields of its own", hint=f"write <{field.name}:{{x|<x.field>}}>"
        )
    if name.upper() in GET_ONLY:
        raise RuleError(f"{name} is for GET destinations only; Arke sends POST", hint=GET_ONLY[name.upper()])
    known = [*(variable for variable, _ in scope.variables), *_names("message"), *LITERALS]
    raise RuleError(f"there is no macro {name}", hint=suggest(name, known))


def _item(path: str, slot: int, kind: ItemKind) -> Source:
    if kind != "text":
        names = ", ".join(_names(kind))
        raise RuleError(
            f"{path} is a whole {kind}", hint=f"say which field: <{path}.field> with one of {names}"
        )
    return Source(path, lambda frame: cast("str", frame[slot]), None)


def _getter(field: Field, slot: int) -> Callable[[Frame], Value]:
    get = field.get
    return lambda frame: get(frame[0], frame[slot])


def _entry_getter(keyed: Callable[[Any, int], str], slot: int, key: int) -> Callable[[Frame], Value]:
    return lambda frame: keyed(frame[slot], key)


def _names(kind: ItemKind) -> list[str]:
    return [field.name for field in FIELDS[kind].values()]
