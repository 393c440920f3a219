"""The syntax tree of a macro template, able to render itself into a budget.

A frame is the message followed by the items of the lists being walked, one slot for each nested list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

if TYPE_CHECKING:
    from arke.delivery.templates.budget import Budget
    from arke.delivery.templates.escape import Escape
    from arke.delivery.templates.macros import ItemKind, Value

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
