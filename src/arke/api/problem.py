"""What every refusal of the admin API is answered with."""

from __future__ import annotations

import msgspec


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """`code` is stable, `message` is for people; `problems` are those of a catalog, one a line."""

    code: str
    message: str
    problems: list[str] | None = None
