"""The syntax tree of a macro template, able to render itself into a budget, and how a dotted name gets its source.

A frame is the message followed by the items of the lists being walked, one slot for each nested list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

import msgspec

from arke.delivery.templates.macros import FIELDS, GET_ONLY, LITERALS, find_field, suggest
from arke.domain.catalog import MAX_ID
from arke.domain.digits import whole_number
from arke.errors import RuleError

if TYPE_CHECKING:
    from arke.delivery.templates.macros import Field, ItemKind, Value
    from arke.delivery.templates.output import Budget, Escape

Frame = list[Any]
Condition = Callable[[Frame], bool]


class Source(msgspec.Struct, frozen=True):
    """A resolved name: how to get its value from a frame, and what its items are if it is a list."""

    name: str
    get: Callable[[Frame], Value]
    items: ItemKind | None


class Node(Protocol):
    """Part of a template."""

    def render(self, frame: Frame, budget: Budget) -> None: ...


class Block(msgspec.Struct, frozen=True):
    """Nodes one after the other. Charges one step a node."""

    nodes: tuple[Any, ...]

    def render(self, frame: Frame, budget: Budget) -> None:
        budget.charge(len(self.nodes))
        for node in self.nodes:
            node.render(frame, budget)


class Text(msgspec.Struct, frozen=True):
    """Literal text, written as it is."""

    text: str

    def render(self, frame: Frame, budget: Budget) -> None:  # noqa: ARG002 - a Node like the others
        budget.write(self.text)


class Insert(msgspec.Struct, frozen=True):
    """`<NAME>`: one value, escaped."""

    source: Source
    escape: Escape

    def render(self, frame: Frame, budget: Budget) -> None:
        budget.write(self.escape(str(self.source.get(frame))))


class Join(msgspec.Struct, frozen=True):
    """`<NAME; separator=",">` of a list of texts; the separator is the template's own text, never escaped."""

    source: Source
    separator: str
    escape: Escape

    def render(self, frame: Frame, budget: Budget) -> None:
        values = _items(self.source, frame)
        budget.charge(len(values))
        budget.write(self.separator.join([self.escape(value) for value in values]))


class Each(msgspec.Struct, frozen=True):
    """`<LIST:{x|...}; separator=",">`: the body once for each item, in the frame's next slot."""

    source: Source
    body: Block
    separator: str

    def render(self, frame: Frame, budget: Budget) -> None:
        items = _items(self.source, frame)
        budget.charge(len(items))
        first = True
        for item in items:
            if not first:
                budget.write(self.separator)
            first = False
            self.body.render([*frame, item], budget)


class Choice(msgspec.Struct, frozen=True):
    """`<if(...)>...<elseif(...)>...<else>...<endif>`: the first branch whose condition holds."""

    branches: tuple[tuple[Condition, Block], ...]
    otherwise: Block

    def render(self, frame: Frame, budget: Budget) -> None:
        for condition, block in self.branches:
            if condition(frame):
                block.render(frame, budget)
                return
        self.otherwise.render(frame, budget)


def holds(source: Source) -> Condition:
    """A name as a condition. False are an empty list, an empty (unknown) text and the status 0."""
    get = source.get
    return lambda frame: bool(get(frame))


def negated(condition: Condition) -> Condition:
    return lambda frame: not condition(frame)


def all_of(conditions: Sequence[Condition]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    return lambda frame: all(condition(frame) for condition in conditions)


def any_of(conditions: Sequence[Condition]) -> Condition:
    if len(conditions) == 1:
        return conditions[0]
    return lambda frame: any(condition(frame) for condition in conditions)


def _items(source: Source, frame: Frame) -> Sequence[Any]:
    value = source.get(frame)
    return () if isinstance(value, int) else value


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
