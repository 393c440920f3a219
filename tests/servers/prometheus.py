"""promtool for tests: Debian's, which comes with its prometheus."""

from __future__ import annotations

import shutil
import subprocess
from functools import cache
from typing import TYPE_CHECKING, Final

from servers.process import install, missing

if TYPE_CHECKING:
    from pathlib import Path

PACKAGE: Final = "prometheus"


@cache
def _program() -> str:
    found = shutil.which("promtool")
    if found is None:
        install(PACKAGE)
        found = shutil.which("promtool")
    if found is None:
        missing("promtool")
    return found


def promtool(*arguments: str | Path, given: str = "") -> subprocess.CompletedProcess[str]:
    """What it says of files, or of the text that it is given."""
    return subprocess.run([_program(), *arguments], input=given, capture_output=True, text=True)
