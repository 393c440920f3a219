"""The endpoints about the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint, TextBody
from arke.api.parameters import CatalogFile, Sample, Version
from arke.operations.catalog import AppliedReport, Estimate

MAX_CATALOG_BYTES = 64 * 1024 * 1024
MAX_RULE_BYTES = 1024 * 1024

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
