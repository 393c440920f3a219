"""What a catalog may contain by the delivery side, of which the catalog's own room knows nothing. A composition
root apart from `app.py`, so that a command that reads a catalog imports no engine.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from arke.catalog.destinations import Checkers
from arke.delivery.body import TemplateLanguage, compile_template
from arke.delivery.https.endpoint import parse_endpoint
from arke.delivery.https.tls_files import file_problems
from arke.delivery.templates.output import is_json

if TYPE_CHECKING:
    from collections.abc import Sequence


def catalog_checkers() -> Checkers:
    """For whoever reads a catalog that somebody wrote."""

    def template(text: str, language: TemplateLanguage, content_type: str) -> Sequence[str]:
        return compile_template(text, language, content_type=content_type).warnings

    return Checkers(template=template, url=parse_endpoint, json=is_json, tls=file_problems)
