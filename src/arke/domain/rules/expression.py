"""A rule as a tree of boolean operators over terms."""

from __future__ import annotations

from typing import Generic, TypeAlias, TypeVar, final

import msgspec


class Term(msgspec.Struct, frozen=True):
    """Base of what stands between the joiners."""


T = TypeVar("T", bound=Term)


@final
class And(msgspec.Struct, Generic[T], frozen=True):
    """True when all parts are. Never holds an And directly."""

    parts: tuple[Expression[T], ...]


@final
class Or(msgspec.Struct, Generic[T], frozen=True):
    """True when any part is. Never holds an Or directly."""

    parts: tuple[Expression[T], ...]


@final
class Not(msgspec.Struct, Generic[T], frozen=True):
    """True when its part is not."""

    part: Expression[T]


Expression: TypeAlias = T | And[T] | Or[T] | Not[T]
