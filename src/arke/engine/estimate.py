"""The answer to `arke estimate`: how many stored profiles a rule would hold, and how sure that is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import msgspec

from arke.catalog.references import check_loose_rule
from arke.shard.protocol import AskEstimate, Estimated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from arke.engine.live_catalog import LiveCatalog
    from arke.engine.shards import Shards
    from arke.storage.committer import Committer

SAMPLED_ABOVE = 100_000
"""Up to so many stored profiles are all looked at; of more, so many are (unless the question says otherwise)."""
MAX_SAMPLE = 1_000_000_000
Z_95 = 1.959964
"""Standard deviations that hold 95% of a normal distribution."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """`estimate` of `stored` profiles would be held; with 95% confidence between `low` and `high`.

    `exact`: all were looked at, and the three are one. `warnings` are doubts about the rule.
    """

    estimate: int
    low: int
    high: int
    looked_at: int
    stored: int
    exact: bool
    warnings: list[str]


class Estimator:
    """Asks all shards. `compiler` runs what takes long for a large rule."""

    def __init__(self, catalog: LiveCatalog, shards: Shards, compiler: Committer) -> None:
        self._catalog = catalog
        self._shards = shards
        self._compiler = compiler

    async def estimate(self, rule: str, limit: int) -> Estimate:
        """How many stored profiles a segment rule would hold now, from up to `limit` of them.

        Raises RuleError, also where the rule names traits that the catalog does not have.
        """
        warnings = await self._compiler.run(check_loose_rule, rule, self._catalog.catalog)
        each = -(-limit // len(self._shards))
        return estimate_from(await self._shards.ask_all(AskEstimate(rule, each)), warnings)


def estimate_from(parts: Sequence[Estimated], warnings: list[str]) -> Estimate:
    """One answer from every shard's. Each shard's share is taken for itself: they are not of one size."""
    looked = sum(part.sample.looked for part in parts)
    stored = sum(part.sample.stored for part in parts)
    holding = sum(part.holding for part in parts)
    exact = all(part.sample.exact for part in parts)
    if exact:
        low = high = estimate = holding
    else:
        estimate = round(sum(scaled(part.holding, part.sample.looked, part.sample.stored) for part in parts))
        low, high = interval(estimate, looked, stored)
        # What was seen is certain: so many are held, and so many are not.
        low, high = max(low, holding), min(high, stored - (looked - holding))
    return Estimate(
        estimate=estimate,
        low=min(low, estimate),
        high=max(high, estimate),
        looked_at=looked,
        stored=stored,
        exact=exact,
        warnings=warnings,
    )


def scaled(count: int, looked: int, stored: int) -> float:
    """What a count among `looked` profiles means for all."""
    return count * stored / looked if looked else 0.0


def interval(estimate: int, looked: int, stored: int) -> tuple[int, int]:
    """The 95% interval around an estimate, in profiles, rounded outwards.

    Wilson's score interval: it keeps its word near none and all, where the usual one does not. A sample drawn
    without putting back is worth more the larger a part of everything it is; with all looked at it is exact.
    """
    if looked >= stored:
        return estimate, estimate
    share = estimate / stored
    worth = looked * (stored - 1) / (stored - looked)
    squared = Z_95 * Z_95
    middle = (share + squared / (2 * worth)) / (1 + squared / worth)
    spread = Z_95 * math.sqrt(share * (1 - share) / worth + squared / (4 * worth * worth))
    half = spread / (1 + squared / worth)
    low, high = (middle - half) * stored, (middle + half) * stored
    return max(0, math.floor(low)), min(stored, math.ceil(high))
