"""The suppression list by itself, as new as it is kept: small enough to be copied every few minutes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from arke.data_directory import DIRECTORY_FILE
from arke.errors import InvalidInput, StoreUnavailable
from arke.storage.sqlite.upkeep import Remembered
from arke.upkeep.backup import PRIVATE_FOLDER, check_source
from arke.upkeep.manifest import MANIFEST_FILE, sync

if TYPE_CHECKING:
    from pathlib import Path

SUPPRESSION_FILE: Final = "suppression.db"


def keep_suppression(data: Path, folder: Path) -> Path:
    """Write the newest list to `suppression.db` in a folder, in the place of an older one. Raises InvalidInput,
    StoreUnavailable.
    """
    check_source(data)
    if (folder / MANIFEST_FILE).exists():
        raise InvalidInput(f"{folder}: there is a backup in it, which is not added to: name another folder")
    target = folder / SUPPRESSION_FILE
    part = folder / f"{SUPPRESSION_FILE}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=PRIVATE_FOLDER)
        part.unlink(missing_ok=True)
        newest = Remembered(data / DIRECTORY_FILE, live=True)
        try:
            newest.keep(part)
        finally:
            newest.close()
        sync(part)
        part.rename(target)
        sync(folder)
    except OSError as error:
        raise StoreUnavailable(f"{folder}: {(error.strerror or 'error').lower()}") from None
    return target
