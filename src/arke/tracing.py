"""Traces as a port: what takes time says when it begins and ends. Who listens, if anybody, is decided elsewhere.

Where nobody listens there is no tracer, so that nothing is spent on it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping


class Span(Protocol):
    """Something that is under way."""

    @property
    def traceparent(self) -> str:
        """The header that lets others go on with this trace (W3C Trace Context)."""
        ...

    def end(self, name: str, attributes: Mapping[str, str | int | float], *, failed: bool = False) -> None:
        """It is over, and by now it is known what it was."""
        ...


class Tracer(Protocol):
    """Takes down some of what happens."""

    @property
    def tells_destinations(self) -> bool:
        """Whether destinations get the header."""
        ...

    def begin(self, kind: Literal["server", "client", "internal"], traceparent: str = "") -> Span | None:
        """Something begins, as a part of the trace that the header names, if it does. None: it is not in the
        sample.
        """
        ...
