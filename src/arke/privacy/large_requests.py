"""Privacy requests about very many ids: few people have so many, so somebody should look at each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.log import Throttled, get_logger

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.clock import Clock
    from arke.privacy.request import PrivacyRequest


class LargeRequests:
    """Counts them since the start and tells the log: at most a line a minute, whoever sends them."""

    def __init__(self, clock: Clock) -> None:
        self.count = 0
        self._log = Throttled(get_logger("privacy"), "privacy_request_large", clock)

    def note(self, requests: Sequence[PrivacyRequest]) -> None:
        """These have been found to be about more than LARGE_REQUEST_IDS ids each."""
        self.count += len(requests)
        for request in requests:
            self._log(request=request.number, suppressed=request.suppressed, spared=request.spared)
