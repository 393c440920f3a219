"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from arke.client import LocalClient, RemoteClient

Data = Annotated[
    Path,
    typer.Option("--data", envvar="ARKE_DATA", help="The engine's data directory.", file_okay=False),
]
Config = Annotated[Path | None, typer.Option("--config", help="Settings file (arke.toml).", dir_okay=False)]
Url = Annotated[str | None, typer.Option("--url", envvar="ARKE_URL", help="A remote engine's admin API.")]
Token = Annotated[str | None, typer.Option("--token", envvar="ARKE_TOKEN", help="API token for --url.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")]

DATA = Path("arke-data")


def label(number: int, name: str) -> str:
    """A number with the name that people gave it, if they did."""
    return f"{number} {name}".rstrip()


def client(
    data: Path, url: str | None = None, token: str | None = None, config: Path | None = None
) -> RemoteClient | LocalClient:
    """A client for the engine these options mean."""
    from arke.app import catalog_checkers
    from arke.client import connect
    from arke.settings import find_settings

    return connect(data, url, token, find_settings(config), catalog_checkers())


def catalog_text(path: Path) -> str:
    """A catalog file's text. Raises InvalidInput naming the file."""
    from arke.errors import InvalidInput

    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise InvalidInput(
            f"{path}: cannot read the catalog: {(error.strerror or 'error').lower()}"
        ) from None
    except UnicodeDecodeError:
        raise InvalidInput(f"{path}: this is not UTF-8 text") from None
