"""`arke backup`, `arke restore`, `arke reshard`: a data directory as a whole."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from arke.cli.declared import Argument, Option
from arke.cli.options import DATA, Config, Data, Json, whole
from arke.cli.progress import LongWork, following_bytes, following_rows
from arke.wording import many

if TYPE_CHECKING:
    from arke.upkeep.manifest import Manifest
    from arke.upkeep.restore import Restored

LISTED = 12
"""Requests that a line names."""

Folder = Annotated[Path, Argument(metavar="DIR", help="The folder of the backup.", file_okay=False)]


def backup(
    folder: Folder,
    data: Data = DATA,
    config: Config = None,
    verify: Annotated[
        bool, Option("--verify", help="Read the backup in DIR through, and make none.")
    ] = False,
    suppression: Annotated[
        bool, Option("--suppression", help="Keep the newest suppression list in DIR, and nothing else.")
    ] = False,
    json: Json = False,
) -> None:
    """Back a data directory up into a new folder, also while its engine runs."""
    import msgspec

    from arke.errors import InvalidInput
    from arke.upkeep import backup as backups
    from arke.upkeep.suppression import keep_suppression

    if verify and suppression:
        raise InvalidInput("--verify reads a backup, --suppression makes a list: name one of them")
    _refuse_cluster(config)
    if suppression:
        path = keep_suppression(data, folder)
        sys.stdout.write(f'{{"file":"{path}"}}\n' if json else f"{path}: the newest suppression list\n")
        return
    with LongWork("reading" if verify else "copying", quiet=json) as work:
        progress = following_bytes(work)
        manifest = backups.verify(folder, progress) if verify else backups.back_up(data, folder, progress)
    if json:
        sys.stdout.write(msgspec.json.encode(manifest).decode() + "\n")
    else:
        _show(folder, manifest, made=not verify)


def restore(
    folder: Folder,
    data: Data = DATA,
    suppression: Annotated[
        Path | None,
        Option(
            "--suppression",
            metavar="PATH",
            help="A newer suppression list: of a data directory, a later backup, or what `backup --suppression` "
            "has made.",
        ),
    ] = None,
    as_it_was: Annotated[
        bool,
        Option(
            "--as-it-was",
            help="Nothing was told since: the engine was stopped for this backup and has not run again. "
            "Destinations are not restated.",
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Make an empty data directory what a backup has; every destination is told again all that is true."""
    import msgspec

    from arke.upkeep import restore as restores

    with LongWork("copying", quiet=json) as work:
        done = restores.restore(
            folder, data, following_bytes(work), suppression=suppression, as_it_was=as_it_was
        )
    if json:
        sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
    else:
        _show_restored(done, data)


def _refuse_cluster(config: Path | None) -> None:
    from arke.errors import InvalidInput
    from arke.settings import find_settings

    if find_settings(config).cluster.store:
        raise InvalidInput(
            "this is a cluster: its state is in PostgreSQL, which has its own backups (pg_basebackup, WAL "
            "archives, pg_dump): docs/operations/cluster.md says which, and what to do after a restore"
        )


def _show(folder: Path, manifest: Manifest, *, made: bool) -> None:
    from arke.domain.time import utc_text

    took = f" in {manifest.finished - manifest.at:.1f} s" if made else ""
    engine = "of a running engine" if manifest.live else "with the engine stopped"
    catalog = "no catalog" if manifest.catalog is None else f"catalog version {manifest.catalog}"
    sys.stdout.write(
        f"{folder}: {many(len(manifest.files), 'file')}, {manifest.bytes / 1e6:,.1f} MB{took}, all as of "
        f"{utc_text(int(manifest.at))}, {engine}\n"
        f"{_shards(manifest.shards)}, {catalog}, made by Arke {manifest.arke}; "
        "hashes and integrity of every file are right\n"
        "not in it: arke.toml, and the files that secrets and certificates are read from\n"
    )


def _shards(number: int | None) -> str:
    return "no shards" if number is None else many(number, "shard")


def _show_restored(done: Restored, data: Path) -> None:
    from arke.domain.time import utc_text

    at = utc_text(int(done.at))
    sys.stdout.write(f"{data}: {_shards(done.shards)}, {done.bytes / 1e6:,.1f} MB, as of {at}\n")
    if done.as_it_was:
        sys.stdout.write("nothing was told since, so nothing is told again\n")
        return
    sys.stdout.write(
        "what destinations were told since is not known: `arke up` restates each, and `arke batch status` "
        "shows how far it is\n"
        f"catalogs applied after version {done.catalog} are not in it: apply the newest first, with no --dry-run\n"
        "tokens revoked since are valid again (`arke token list`), those made since are gone\n"
    )
    if done.again is None:
        sys.stdout.write(
            f"privacy requests made after {at} are not in it: name a newer list with --suppression, or make them "
            "again\n"
        )
    elif done.again.requests:
        numbers = ", ".join(map(str, done.again.requests[:LISTED]))
        more = " ..." if len(done.again.requests) > LISTED else ""
        sys.stdout.write(f"privacy requests carried through again: {numbers}{more}\n")


def reshard(
    shards: Annotated[int, Option("--shards", parser=whole(1, 64), help="How many shards there are to be.")],
    data: Data = DATA,
    json: Json = False,
) -> None:
    """Write a stopped data directory anew in another number of shards; everything told stays told."""
    import msgspec

    from arke.upkeep import reshard as reshards

    with LongWork("writing", quiet=json) as work:
        done = reshards.reshard(data, shards, following_rows(work))
    if json:
        sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
        return
    moved = done.moved
    sys.stdout.write(
        f"{data}: {many(done.before, 'shard')} became {done.after}; {many(moved.rows, 'row')}, "
        f"{moved.bytes / 1e6:,.1f} MB in {moved.seconds:g} s; profiles are the same on both sides: {moved.digest}\n"
        f"the files before are in {done.kept}: delete them when all is well\n"
    )
