"""To ask a running engine, nothing of an engine is loaded: a command is over before that would be."""

from __future__ import annotations

import subprocess
import sys

HEAVY = (
    "arke.app",
    "arke.storage.sqlite",
    "arke.engine.engine",
    "arke.catalog.load",
    "apsw",
    "starlette",
    "uvicorn",
)


def test_a_client_is_light() -> None:
    code = f"import sys, arke.cli, arke.api.reach; print([one for one in {HEAVY!r} if one in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
