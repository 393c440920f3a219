"""The catalog as operators apply it, go back to an earlier one, and ask what a rule would hold."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from arke.domain.token import LOCAL
from arke.engine.what_if import MAX_SAMPLE, SAMPLED_ABOVE, Estimate, Returning, SegmentForecast
from arke.errors import InvalidInput

if TYPE_CHECKING:
    from pathlib import Path

    from arke.catalog.destinations import Checkers
    from arke.delivery.secrets import Confinement
    from arke.engine.audit import Audit
    from arke.engine.catalog_switch import Applied, CatalogSwitch, Tags
    from arke.engine.what_if import Estimator
    from arke.operations.nodes import ClusterNode

__all__ = ["MAX_SAMPLE", "AppliedReport", "CatalogOperations", "Estimate", "SegmentForecast"]


class AppliedReport(msgspec.Struct, frozen=True):
    """What applying a catalog did or would do, as lines for people and figures for programs.

    `profiles` are concerned, `profiles_moved` enter or leave a segment, of `profiles_stored`: counted if
    `profiles_exact`, otherwise estimated from `profiles_looked_at`. `segments` are those that may have moved;
    `alarms` say what somebody should know before it is applied. `returning` are destinations that are on again.
    `summary`: the lines, or what they come to where there are very many.
    """

    version: int | None
    dry_run: bool
    lines: list[str]
    warnings: list[str]
    alarms: list[str]
    profiles: int
    profiles_moved: int
    profiles_looked_at: int
    profiles_stored: int
    profiles_exact: bool
    segments: list[SegmentForecast]
    returning: list[Returning]
    summary: list[str] = []


MOVING_LISTED = 20
"""Segments that a summary lists with who would move."""


class CatalogOperations:
    """Changes the catalog in force. Every change is audited."""

    def __init__(
        self,
        catalogs: CatalogSwitch,
        estimator: Estimator,
        checkers: Checkers,
        confinement: Confinement,
        audit: Audit,
        node: ClusterNode | None = None,
    ) -> None:
        """`confinement`: what a catalog from the network may refer to. `node`: of a cluster, whose other nodes
        have to go by a catalog, too.
        """
        self._node = node
        self._catalogs = catalogs
        self._estimator = estimator
        self._checkers = checkers
        self._confined = checkers._replace(confined=confinement)
        self._audit = audit

    async def apply(
        self,
        text: str,
        name: str,
        base_dir: Path | None,
        *,
        dry_run: bool = False,
        actor: str = LOCAL,
        from_afar: bool = False,
        instead_of: Tags | None = None,
    ) -> AppliedReport:
        """Validate, plan and apply. Raises CatalogError. `name` stands in messages; relative paths count from
        `base_dir`. `from_afar`: it came over the network. `instead_of`: tags of the catalogs whose place it may
        take, else it raises OtherInForce.
        """
        from arke.catalog.load import parse_catalog

        checkers = self._confined if from_afar else self._checkers
        # A large catalog takes seconds to check: meanwhile the intake goes on.
        loaded = await asyncio.to_thread(parse_catalog, text, name=name, base_dir=base_dir, checkers=checkers)
        applied = await self._catalogs.apply(
            loaded.catalog, dry_run=dry_run, note=name, instead_of=instead_of
        )
        if applied.version is not None:
            await self._audit.record(actor, "catalog_applied", f"version {applied.version}")
        warnings = [str(problem) for problem in loaded.warnings] + await self._not_followed(applied.version)
        return _report(applied, warnings, dry_run=dry_run)

    async def rollback(
        self,
        version: int | None,
        *,
        dry_run: bool = False,
        actor: str = LOCAL,
        instead_of: Tags | None = None,
    ) -> AppliedReport:
        """Apply an earlier catalog as a new version. None: the one before. Raises InvalidInput, OtherInForce."""
        applied = await self._catalogs.rollback(version, dry_run=dry_run, instead_of=instead_of)
        if applied.version is not None:
            await self._audit.record(actor, "catalog_rolled_back", f"version {applied.version}")
        return _report(applied, await self._not_followed(applied.version), dry_run=dry_run)

    async def _not_followed(self, version: int | None) -> list[str]:
        """Which nodes do not go by it though they had the time."""
        if version is None or self._node is None:
            return []
        return [
            f"node {name} does not go by version {version} yet: it will when it has reached the database"
            for name in await self._node.catalog_followed(version)
        ]

    async def estimate(self, rule: str, sample: int | None = None) -> Estimate:
        """How many stored profiles a rule would hold, from at most `sample`. Raises RuleError, InvalidInput."""
        limit = SAMPLED_ABOVE if sample is None else sample
        if not 1 <= limit <= MAX_SAMPLE:
            raise InvalidInput(f"sample must be a number of profiles, 1 to {MAX_SAMPLE:,}")
        return await self._estimator.estimate(rule, limit)


def _report(applied: Applied, warnings: list[str], *, dry_run: bool) -> AppliedReport:
    forecast = applied.forecast
    moving, returning = forecast.lines(), [one.line() for one in applied.returning]
    return AppliedReport(
        version=applied.version,
        dry_run=dry_run,
        lines=applied.plan.lines() + moving + returning,
        summary=applied.plan.summary() + _first(moving) + _first(returning),
        warnings=warnings,
        alarms=forecast.alarms(),
        profiles=forecast.concerned,
        profiles_moved=forecast.moved,
        profiles_looked_at=forecast.looked_at,
        profiles_stored=forecast.stored,
        profiles_exact=forecast.exact,
        segments=forecast.segments,
        returning=applied.returning,
    )


def _first(lines: list[str]) -> list[str]:
    """So many that people read them, and how many there are besides."""
    more = len(lines) - MOVING_LISTED
    return lines if more <= 0 else [*lines[:MOVING_LISTED], f"  and {more:,} lines more"]
