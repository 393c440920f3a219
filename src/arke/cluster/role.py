"""What a node of a cluster does."""

from __future__ import annotations

from typing import Final, Literal, get_args

Role = Literal["all", "intake", "worker", "admin"]
ROLES: Final[tuple[str, ...]] = get_args(Role)
