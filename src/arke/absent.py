"""Libraries that another library takes along where they are installed, and that nobody here asks it for."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def absent(*libraries: str) -> Iterator[None]:
    """What is imported meanwhile finds these not installed. Who has imported one already keeps it."""
    hidden = {name: None for name in libraries if name not in sys.modules}
    sys.modules.update(hidden)  # type: ignore[arg-type]  # None: documented as "not to be found"
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
