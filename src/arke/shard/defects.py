"""Whether a shard takes events at all: where more than a few meet a defect, that is not for what they say."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from arke.defects import HELD, MAX_DEFECTS
from arke.errors import StoreUnavailable
from arke.shard.commands import Sight

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from arke.shard.commands import Command

WITHIN: Final = 512
"""Among so many events of a log no more than `MAX_DEFECTS` may fail: their senders were told that they are taken.
Others are told of each that failed, and of those no more may follow each other.
"""


class Newest:
    """Which of the newest events met a defect, over all groups that are stored."""

    def __init__(self, seen: int = 0, failed: Sequence[int] = ()) -> None:
        """`failed`: the numbers of the last of them, of as many as were `seen`."""
        self._seen = seen
        self._failed = failed

    def after(
        self, commands: Sequence[Command], broke: Mapping[int, Exception], *, acknowledged: bool
    ) -> Newest:
        """The same with the commands of a group, of which some `broke`, by their places. Raises StoreUnavailable
        where those are too many: then nothing of the group may be stored.
        """
        if not broke and not self._failed:
            return self
        within = WITHIN if acknowledged else MAX_DEFECTS + 1
        seen, failed = self._seen, deque(self._failed, MAX_DEFECTS + 1)
        for place, command in enumerate(commands):
            if isinstance(command, Sight):
                seen += 1
                if place in broke:
                    failed.append(seen)
                    if len(failed) > MAX_DEFECTS and seen - failed[0] < within:
                        raise StoreUnavailable(HELD) from broke[place]
        return Newest(seen, failed if failed and seen - failed[-1] < WITHIN else ())
