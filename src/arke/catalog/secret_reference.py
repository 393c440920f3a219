"""Secrets in a catalog are references; a literal one is refused and never repeated."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from arke.catalog.fields import Fields

_REFERENCE = re.compile(r"(?:env:[A-Za-z_][A-Za-z0-9_]*|file:[^\x00-\x1f\x7f\ud800-\udfff]{1,4096})\Z")


class Confined(Protocol):
    """What a catalog that came over the network may refer to. What must not be and what is not are the same."""

    def resolves(self, reference: str) -> bool: ...

    def has_file(self, path: str) -> bool: ...


NOT_FROM_AFAR = (
    "a catalog from the network may refer to variables and files that the settings allow, [secrets] env_prefix and "
    "folders; or apply it on the engine's machine"
)


def secret_reference(fields: Fields, key: str, confined: Confined | None) -> str:
    """`env:NAME` or `file:PATH`. What else stands there may be the secret itself, so no message shows it."""
    value = fields.raw(key)
    if value is None:
        fields.missing(key, "a reference to the secret: env:NAME or file:PATH")
    elif not isinstance(value, str) or not _REFERENCE.match(value):
        hint = "keep the secret in the environment or in a file, and write env:NAME or file:PATH"
        fields.error(key, f"{key} must be a reference to a secret", hint)
    elif confined is not None and not confined.resolves(value):
        fields.error(key, f"{key}: there is no such secret", NOT_FROM_AFAR)
    else:
        return value
    return ""
