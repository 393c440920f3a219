"""Where copies of events may be that no privacy request reaches, and how long: a report names them."""

from __future__ import annotations

import msgspec


class Copy(msgspec.Struct, frozen=True):
    """A place that forgets by itself, `kept_s` after what is in it was put there; None: nobody here knows when."""

    where: str
    kept_s: int | None
    why: str
