"""Secrets in a catalog are references; a literal one is refused and never repeated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from arke.catalog.fields import Fields

_REFERENCE = re.compile(r"(?:env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f\x7f]{1,4096})\Z")


def secret_reference(fields: Fields, key: str) -> str:
    """`env:NAME` or `file:PATH`. What else stands there may be the secret itself, so no message shows it."""
    value = fields.raw(key)
    if value is None:
        fields.missing(key, "a reference to the secret: env:NAME or file:PATH")
    elif not isinstance(value, str) or not _REFERENCE.match(value):
        hint = "keep the secret in the environment or in a file, and write env:NAME or file:PATH"
        fields.error(key, f"{key} must be a reference to a secret", hint)
    else:
        return value
    return ""
