"""`arke up`: run the engine."""

from __future__ import annotations

from typing import Annotated

import typer

from arke.cli.options import DATA, Config, Data, whole
from arke.domain.digits import MAX_PORT


def up(
    config: Config = None,
    data: Data = DATA,
    intake_port: Annotated[
        int | None,
        typer.Option("--intake-port", parser=whole(0, MAX_PORT), help="Over the setting; 0: any free one."),
    ] = None,
    admin_port: Annotated[
        int | None,
        typer.Option("--admin-port", parser=whole(0, MAX_PORT), help="Over the setting; 0: any free one."),
    ] = None,
    shards: Annotated[
        int | None,
        typer.Option(
            "--shards",
            parser=whole(1, 64),
            help="Processes to use; fixed when the data directory is new.",
        ),
    ] = None,
) -> None:
    """Run the engine: intake, evaluation, delivery, admin API. Ctrl-C stops it cleanly."""
    from arke.app import catalog_checkers
    from arke.log import configure_logging
    from arke.serve import serve
    from arke.settings import find_settings, with_options

    configure_logging()
    settings = with_options(
        find_settings(config), intake_port=intake_port, admin_port=admin_port, shards=shards
    )
    serve(data, settings, catalog_checkers())
