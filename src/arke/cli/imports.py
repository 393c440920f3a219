"""`arke import`: configurations of other systems as catalogs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from arke.cli.declared import Argument, Option, Subject
from arke.cli.options import Json, check_out
from arke.cli.progress import LongWork

import_app = Subject("import", "Make a catalog of another system's configuration.")


@import_app.named("aam")
def aam(
    paths: Annotated[
        list[Path],
        Argument(metavar="FOLDER|FILE...", help="What Audience Manager's REST API answered, as JSON."),
    ],
    out: Annotated[Path, Option("--out", metavar="FILE", help="Where the catalog is written.")],
    json: Json = False,
) -> None:
    """Make a catalog of an Audience Manager configuration, and list what has no equivalent: by id, field, reason.

    An existing FILE is overwritten.
    """
    import msgspec

    from arke.catalog.aam.export import files_read
    from arke.catalog.aam.importing import import_aam
    from arke.catalog.aam.report import line
    from arke.catalog.load import summary_of
    from arke.errors import InvalidInput

    check_out(out, files_read(paths))
    with LongWork("reading", quiet=json):
        made = import_aam(paths)
    try:
        out.write_text(made.text, encoding="utf-8")
    except OSError as error:
        raise InvalidInput(f"{out}: cannot be written: {error.strerror}") from None
    if json:
        facts = {"out": str(out), "counts": made.counts, "remarks": made.remarks}
        sys.stdout.write(msgspec.json.encode(facts).decode() + "\n")
        return
    for remark in made.remarks:
        sys.stdout.write(f"{line(remark)}\n")
    sys.stdout.write(f"{out}: {summary_of(made.counts)}; {len(made.remarks):,} remarks above\n")
