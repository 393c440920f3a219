"""What the command line chose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """`seconds` is the length of one measured stretch, `rounds` how many there are of each, `users` how many
    visitors the evaluation has stored; `large` and `small` are the sizes that growth compares; `changed` are
    the numbers of changed users that batches are measured with; `lines` are those of the file that onboarding
    loads.
    """

    seconds: float
    rounds: int
    users: int
    small: int
    large: int
    lines: int = 100_000
    profile: bool = False
    changed: tuple[int, ...] = (100_000, 1_000_000)

    @classmethod
    def chosen(
        cls,
        *,
        quick: bool,
        seconds: float | None,
        profile: bool,
        changed: Sequence[int] | None = None,
        lines: int | None = None,
        profiles: int | None = None,
    ) -> Options:
        """The defaults of a full or a quick run; `profiles` is the one size to look at instead."""
        length = seconds if seconds is not None else (1.0 if quick else 5.0)
        rounds, users, large = (1, 10_000, 100_000) if quick else (3, 100_000, 1_000_000)
        return cls(
            seconds=length,
            rounds=rounds,
            users=profiles or users,
            small=10_000,
            large=profiles or large,
            profile=profile,
            changed=tuple(changed or ((10_000, 50_000) if quick else (100_000, 1_000_000))),
            lines=lines or (10_000 if quick else 100_000),
        )
