"""The conditions of `<if(...)>`. False are: an empty list, an empty (unknown) text, and the status 0."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.delivery.templates.macro_nodes import Condition, Source


def holds(source: Source) -> Condition:
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
