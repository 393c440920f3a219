"""Writes the list of what a release consists of (CycloneDX 1.6, JSON) from the lock of the image.

Usage: python tools/sbom.py OUT.json. It needs no network, and the same lock gives the same bytes.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from arke import __version__

ROOT = Path(__file__).parents[1]
LISTS = [*(sys.executable, "-W", "ignore", "-m", "cyclonedx_py"), *("requirements", "--output-reproducible")]
INDEXES = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL")
"""Where this machine gets its packages from is nobody's business."""


def main() -> None:
    environ = {name: value for name, value in os.environ.items() if name not in INDEXES}
    lock, project = ROOT / "requirements" / "image.txt", ROOT / "pyproject.toml"
    listed = subprocess.run(  # noqa: S603
        [*LISTS, "--pyproject", str(project), str(lock)], check=True, env=environ, stdout=subprocess.PIPE
    )
    bill = json.loads(listed.stdout)
    whose = bill["metadata"]["component"]
    whose |= {"version": __version__, "purl": f"pkg:pypi/{whose['name']}@{__version__}"}
    for component in bill["components"]:  # the line of the lock again, with every hash
        component.pop("description", None)
    Path(sys.argv[1]).write_text(json.dumps(bill, indent=2, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
