"""How many messages a lane may have under way: grows with what the endpoint takes, halves when it fails."""

from __future__ import annotations

FIRST = 8
MOST = 512


class Concurrency:
    """Grows by one per acknowledgement while at least half used, so by up to half a round trip; halves on failure.

    Growing only when full would add one a round trip, and an outcome's commit is part of every round trip.
    Between 1 and `most`.
    """

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self.limit = min(FIRST, most)

    def acknowledged(self, under_way: int) -> None:
        """A message was acknowledged while `under_way` (this one included) were out."""
        if 2 * under_way >= self.limit and self.limit < self._most:
            self.limit += 1

    def failed(self) -> None:
        self.limit = max(1, self.limit // 2)
