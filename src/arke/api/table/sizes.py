"""The endpoint about the sizes of segments."""

from __future__ import annotations

from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint
from arke.api.parameters import Segments
from arke.operations.sizes import SegmentSizes

SIZES: Final = Endpoint(
    method="GET",
    path="/v1/sizes",
    scope="read",
    summary="How many members segments have, exactly and at once.",
    parameters=Segments,
    body=NO_BODY,
    answer=SegmentSizes,
    run=lambda on, asked: on.sizes.named(asked.given.segments),
)
