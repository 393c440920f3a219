"""In which form the pure modules run: compiled, from a wheel of this platform, or interpreted. Both do the same."""

from __future__ import annotations

from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from typing import Final, Literal

Form = Literal["compiled", "interpreted"]

_ONE_OF_THEM: Final = "arke.evaluation.evaluate"


def form() -> Form:
    """Looked up without importing them."""
    spec = find_spec(_ONE_OF_THEM)
    origin = spec.origin if spec is not None else None
    return "compiled" if (origin or "").endswith(tuple(EXTENSION_SUFFIXES)) else "interpreted"
