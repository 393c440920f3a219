"""An engine on disk in this process, with files loaded into it and devices looked at."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from arke.app import file_loader, running_engine
from arke.catalog.load import parse_catalog
from arke.checking import catalog_checkers
from arke.domain.event import DeclaredId, IncomingEvent
from arke.settings import load_settings
from arke.shard.protocol import AskProfile

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from arke.domain.profile import Profile
    from arke.onboarding.loading import Loader
    from arke.onboarding.receipt import Receipt
    from arke.operations.engine import Engine

COOKIES, CRM = 12345, 777
TRAITS = (1, 2, 3, 4, 5)
CATALOG: dict[str, Any] = {
    "data_sources": [{"id": COOKIES}, {"id": CRM, "kind": "cross_device"}, {"id": 888}],
    "traits": [
        *({"id": number, "kind": "onboarded", "data_source": COOKIES} for number in TRAITS),
        {"id": 6, "kind": "onboarded", "data_source": CRM, "integration_code": "52"},
        {"id": 7, "kind": "onboarded", "data_source": COOKIES, "rule": 'city == "New York|NY: a"'},
    ],
    "segments": [{"id": 100, "rule": "1T"}, {"id": 101}],
}


def device(number: int) -> str:
    return f"{number:038d}"


class Desk:
    """Writes files into a folder and loads them."""

    def __init__(self, engine: Engine, loader: Loader, folder: Path) -> None:
        self.engine = engine
        self.loader = loader
        self.folder = folder

    async def see(self, number: int, *ids: tuple[int, str]) -> None:
        declared = tuple(DeclaredId(dpid, text) for dpid, text in ids)
        await self.engine.events.ingest([IncomingEvent(uuid=device(number), ids=declared)])

    async def owner(self, dpid: int, partner_id: str) -> str | None:
        """The device that has an id."""
        owner = await self.engine.identity.owner((dpid, partner_id))
        return None if owner is None else owner.uuid

    async def load(self, name: str, content: bytes, columns: str | None = None) -> Receipt:
        """Load a file; its counters add up, whatever is in it."""
        path = self.folder / name
        path.write_bytes(content)
        receipt = await self.loader.load(path, name, columns)
        assert receipt.received == receipt.stored + sum(receipt.errors.values())
        return receipt

    async def profile(self, number: int) -> Profile:
        dossier = await self.engine.shards.ask_about(device(number), AskProfile(device(number)))
        assert dossier.profile is not None
        return dossier.profile

    async def traits(self, number: int) -> set[int]:
        return set((await self.profile(number)).traits)


@asynccontextmanager
async def open_desk(folder: Path, shards: int = 2) -> AsyncIterator[Desk]:
    settings = load_settings(None, {"ARKE_SERVER_SHARDS": str(shards)})
    catalog = parse_catalog(json.dumps(CATALOG), name="test", base_dir=None, checkers=catalog_checkers())
    async with running_engine(folder / "data", settings, in_process=True, delivering=False) as engine:
        await engine.catalogs.apply(catalog.catalog)
        loader = file_loader(engine)
        try:
            yield Desk(engine, loader, folder)
        finally:
            loader.close()
