"""Renders what commands print as an SVG picture of a terminal, for the documents.

Usage: python tools/picture.py OUT.svg TITLE COMMAND... Each COMMAND is a shell line, run for real;
one that starts with @ is run unseen.
The picture refers to nothing outside itself: rich's own template would fetch a font.
"""

from __future__ import annotations

import io
import re
import subprocess
import sys
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

COLUMNS = 104


def main() -> None:
    out, title, *commands = sys.argv[1:]
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    for command in commands:
        done = subprocess.run(command.lstrip("@"), shell=True, text=True, capture_output=True, check=False)  # noqa: S602
        if command.startswith("@"):
            continue
        console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
        console.print(Text(done.stdout + done.stderr))
    template = re.sub(r"@font-face \{\{.*?\}\}\s*", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    template = template.replace("font-family: Fira Code, monospace", "font-family: monospace")
    Path(out).write_text(console.export_svg(title=title, code_format=template), encoding="utf-8")


if __name__ == "__main__":
    main()
