"""The catalog, and what a rule would hold."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from arke.api.bodies import NO_BODY, TextBody
from arke.api.endpoint import Endpoint
from arke.operations.catalog import AppliedReport, Estimate

MAX_CATALOG_BYTES = 64 * 1024 * 1024
MAX_RULE_BYTES = 1024 * 1024


class Sample(msgspec.Struct, frozen=True):
    """How much to look at."""

    sample: Annotated[int | None, Meta(description="Look at no more profiles than this.")] = None


class CatalogFile(msgspec.Struct, frozen=True):
    """How to take a catalog."""

    dry_run: Annotated[bool, Meta(description="Only plan and forecast.")] = False
    name: Annotated[str, Meta(description="The file's name in messages.")] = "catalog"
    folder: Annotated[
        str | None, Meta(description="Where relative paths count from; on the Unix socket only.")
    ] = None


class Version(msgspec.Struct, frozen=True):
    """Which catalog to go back to."""

    version: Annotated[int | None, Meta(description="Default: the one before.")] = None
    dry_run: Annotated[bool, Meta(description="Only plan and forecast.")] = False


ESTIMATE: Final = Endpoint(
    method="POST",
    path="/v1/estimate",
    scope="read",
    summary="How many stored profiles a segment rule would hold now.",
    parameters=Sample,
    body=TextBody("rule", MAX_RULE_BYTES),
    answer=Estimate,
    run=lambda on, asked: on.catalog.estimate(asked.body, asked.given.sample),
)
APPLY: Final = Endpoint(
    method="POST",
    path="/v1/catalog",
    scope="admin",
    summary="Apply a catalog, YAML or JSON: all at once or not at all.",
    parameters=CatalogFile,
    body=TextBody("catalog", MAX_CATALOG_BYTES),
    answer=AppliedReport,
    run=lambda on, asked: on.catalog.apply(
        asked.body,
        asked.given.name,
        # Only callers on this machine say where relative paths count from.
        Path(asked.given.folder) if asked.given.folder is not None and not asked.from_afar else None,
        dry_run=asked.given.dry_run,
        actor=asked.actor,
        from_afar=asked.from_afar,
    ),
)
ROLLBACK: Final = Endpoint(
    method="POST",
    path="/v1/catalog/rollback",
    scope="admin",
    summary="Apply an earlier catalog as a new version.",
    parameters=Version,
    body=NO_BODY,
    answer=AppliedReport,
    run=lambda on, asked: on.catalog.rollback(
        asked.given.version, dry_run=asked.given.dry_run, actor=asked.actor
    ),
)
