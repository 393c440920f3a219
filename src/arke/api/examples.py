"""Examples of calls, as a running engine answered them: `examples.json`. A test asks again and compares."""

from __future__ import annotations

from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from arke.api.endpoint import AnyEndpoint

FILE = "examples.json"


class Example(msgspec.Struct, frozen=True, omit_defaults=True):
    """A call and what came back: `target` with its query, `body` as JSON or text, `answer` the same; of lines, the
    first.
    """

    target: str
    status: int
    body: Any = None
    answer: Any = None


@cache
def examples() -> dict[str, Example]:
    """By method and path, such as `GET /v1/status`."""
    text = (resources.files("arke.api") / FILE).read_bytes()
    return msgspec.json.decode(text, type=dict[str, Example])


def example_of(route: AnyEndpoint) -> Example | None:
    return examples().get(f"{route.method} {route.path}")
