"""Lists of the console over many destinations: pages that together have every one once, and a filter by name."""

from __future__ import annotations

import re
from html import unescape
from typing import TYPE_CHECKING

import pytest

from arke.api.parameters import SearchedBatches, SearchedDestinations
from arke.api.table.batches import LIST_BATCHES
from arke.api.table.destinations import LIST_DESTINATIONS
from arke.console.pages import batches, destinations
from e2e.catalogs import catalog, destination
from e2e.console_visitor import Visitor
from e2e.engine_process import OPEN, EngineProcess

if TYPE_CHECKING:
    from collections.abc import Iterator

MANY = range(101, 231)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    with EngineProcess(tmp_path_factory.mktemp("lists"), shards=1, settings=OPEN) as engine:
        named = [
            destination(number, f"https://127.0.0.1:9/{number}", name=f"Partner {number} of {number % 7}")
            for number in MANY
        ]
        engine.apply(catalog(named))
        yield engine


@pytest.fixture(scope="module")
def visitor(engine: EngineProcess) -> Visitor:
    found = Visitor(engine.admin)
    assert found.use(engine.client().create_token("operate", "lists", None).secret).status == 303
    return found


def pages(visitor: Visitor, target: str) -> list[list[int]]:
    """The destinations of each page, from one to the next."""
    found = []
    while target:
        reply = visitor.get(target)
        assert reply.status == 200, target
        body = reply.body.decode()
        found.append([int(one) for one in re.findall(r'<a href="/console/destinations/(\d+)">', body)])
        following = re.search(r'rel="next" href="([^"]+)"', body)
        target = unescape(following[1]) if following is not None else ""
    return found


@pytest.mark.parametrize(
    ("target", "size"),
    [
        ("/console/destinations", destinations.ROWS),
        ("/console/destinations?sort=name", destinations.ROWS),
        ("/console/batches", batches.ROWS),
    ],
)
def test_pages_have_every_destination_once(visitor: Visitor, target: str, size: int) -> None:
    found = pages(visitor, target)
    assert [number for page in found for number in page] == [*MANY]
    assert {len(page) for page in found[:-1]} == {size}


@pytest.mark.parametrize("target", ["/console/destinations", "/console/batches"])
def test_a_filter_by_name_or_id_goes_with_the_pages(visitor: Visitor, target: str) -> None:
    assert pages(visitor, f"{target}?search=PARTNER+117+") == [[117]]
    assert pages(visitor, f"{target}?search=229") == [[229]]
    found = pages(visitor, f"{target}?search=of")
    assert len(found) > 1
    assert [number for page in found for number in page] == [*MANY]
    nothing = visitor.get(f"{target}?search=nowhere").body.decode()
    assert "No destination has this text" in nothing
    assert 'value="nowhere"' in nothing


def test_sorting_keeps_the_filter(visitor: Visitor) -> None:
    body = unescape(visitor.get("/console/destinations?search=of+3").body.decode())
    assert 'href="/console/destinations?search=of+3&sort=owed"' in body


def test_a_cursor_of_nobody_is_said(visitor: Visitor) -> None:
    for target in ("/console/destinations", "/console/batches"):
        assert visitor.get(f"{target}?cursor=999").status == 400


def test_the_api_filters_the_same_lists(engine: EngineProcess) -> None:
    client = engine.client()
    sevenths = [number for number in MANY if number % 7 == 3]
    asked = SearchedDestinations(search="Of 3", limit=5)
    assert [one.id for one in client.every(LIST_DESTINATIONS, asked)] == sevenths
    runs = client.every(LIST_BATCHES, SearchedBatches(search="Of 3", limit=5))
    assert [one.destination for one in runs] == sevenths
    assert [one.destination for one in client.batches()] == [*MANY]
