"""The endpoints about the catalog."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from arke.api.endpoint import NO_BODY, Endpoint, Listing, Nothing, TextBody
from arke.api.parameters import (
    AnyVersion,
    CatalogFile,
    CatalogName,
    Difference,
    OneVersion,
    Paged,
    Sample,
    Version,
)
from arke.errors import CatalogChanged, CatalogError, NotFound, OtherInForce, RuleError
from arke.operations.catalog import AppliedReport, Estimate
from arke.operations.versions import CatalogDiff, CatalogFacts, CatalogText, CheckedCatalog, VersionFacts

MAX_CATALOG_BYTES = 64 * 1024 * 1024
MAX_RULE_BYTES = 1024 * 1024

SHOW: Final = Endpoint(
    method="GET",
    path="/v1/catalog",
    scope="operate",
    summary="The catalog in force, as a file would have it.",
    parameters=Nothing,
    body=NO_BODY,
    answer=CatalogFacts,
    tag=lambda answer: answer.tag,
    run=lambda on, _: on.versions.show(),
)


TEXT: Final = Endpoint(
    method="GET",
    path="/v1/catalog/text",
    scope="operate",
    summary="A catalog as a YAML file, to edit and to apply.",
    parameters=AnyVersion,
    body=NO_BODY,
    answer=CatalogText,
    media="application/yaml",
    encoded=lambda answer: answer.text.encode(),
    raises=(NotFound,),
    tag=lambda answer: answer.tag,
    run=lambda on, asked: on.versions.text(asked.given.version),
)


LIST_VERSIONS: Final = Listing(
    method="GET",
    path="/v1/catalog/versions",
    scope="read",
    summary="The catalogs that were applied, newest first.",
    parameters=Paged,
    body=NO_BODY,
    answer=VersionFacts,
    run=lambda on, asked: on.versions.page(asked.given.cursor, asked.given.limit),
)


SHOW_VERSION: Final = Endpoint(
    method="GET",
    path="/v1/catalog/versions/{version}",
    scope="operate",
    summary="A catalog that was applied, as a file would have it.",
    parameters=OneVersion,
    body=NO_BODY,
    answer=CatalogFacts,
    raises=(NotFound,),
    tag=lambda answer: answer.tag,
    run=lambda on, asked: on.versions.show(asked.given.version),
)


DIFF: Final = Endpoint(
    method="GET",
    path="/v1/catalog/diff",
    scope="read",
    summary="What changes from one catalog to another.",
    parameters=Difference,
    body=NO_BODY,
    answer=CatalogDiff,
    raises=(NotFound,),
    next=lambda answer: answer.next,
    run=lambda on, asked: on.versions.diff(
        asked.given.old, asked.given.new, asked.given.cursor, asked.given.limit
    ),
)


VALIDATE: Final = Endpoint(
    method="POST",
    path="/v1/catalog/validate",
    scope="operate",
    summary="What is wrong with a catalog, and where.",
    parameters=CatalogName,
    body=TextBody("catalog", MAX_CATALOG_BYTES),
    answer=CheckedCatalog,
    run=lambda on, asked: on.versions.validate(asked.body, asked.given.name, from_afar=asked.from_afar),
)


ESTIMATE: Final = Endpoint(
    method="POST",
    path="/v1/estimate",
    scope="read",
    summary="How many stored profiles a segment rule would hold now.",
    parameters=Sample,
    body=TextBody("rule", MAX_RULE_BYTES),
    answer=Estimate,
    raises=(RuleError,),
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
    raises=(CatalogError, CatalogChanged, OtherInForce),
    guarded=True,
    run=lambda on, asked: on.catalog.apply(
        asked.body,
        asked.given.name,
        # Only callers on this machine say where relative paths count from.
        Path(asked.given.folder) if asked.given.folder is not None and not asked.from_afar else None,
        dry_run=asked.given.dry_run,
        actor=asked.actor,
        from_afar=asked.from_afar,
        instead_of=asked.instead_of,
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
    raises=(CatalogError, CatalogChanged, OtherInForce),
    guarded=True,
    run=lambda on, asked: on.catalog.rollback(
        asked.given.version,
        dry_run=asked.given.dry_run,
        actor=asked.actor,
        instead_of=asked.instead_of,
    ),
)
