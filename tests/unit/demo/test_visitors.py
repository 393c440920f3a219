"""The demo's visitors: as many as asked for, the same for the same seed, and within the time they have."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import trustme

from arke.catalog.load import parse_catalog
from arke.checking import catalog_checkers
from arke.demo.catalog import (
    ACCOUNT_DPID,
    ANDROID_DPID,
    AURORA,
    BOREALIS,
    CORONA,
    IOS_DPID,
    LIKELY_TO_LEAVE,
    WEB_DPID,
    filled_catalog,
)
from arke.demo.visitors import FAULTY_LINES, plan_visits
from arke.domain.catalog import Catalog, DataSource
from arke.engine.live_catalog import LiveCatalog
from arke.errors import EventError
from arke.intake.ndjson import parse_event_line

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_800_000_000


def test_the_same_seed_makes_the_same_visits_and_another_seed_others() -> None:
    assert plan_visits(200, 10, seed=3) == plan_visits(200, 10, seed=3)
    assert plan_visits(200, 10, seed=3) != plan_visits(200, 10, seed=4)


def test_everything_happens_in_order_and_within_the_length() -> None:
    plan = plan_visits(300, 5, seed=1)
    journeys = [[step.at_s for step in visitor.steps] for visitor in plan.web]
    for times in [*journeys, [line.at_s for line in plan.app]]:
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= 5


def test_good_lines_are_read_and_faulty_ones_refused_by_the_intake() -> None:
    """Faulty lines of two kinds are well formed: those the engine refuses, for it knows the catalog."""
    lines = [line.line for line in plan_visits(500, 5, seed=1).app]
    faulty = [line for line in lines if line in FAULTY_LINES]
    assert faulty
    for line in lines:
        if line not in FAULTY_LINES:
            assert parse_event_line(line, NOW).ids
    refused, known = 0, LiveCatalog()
    known.use(1, Catalog(data_sources=(DataSource(id=WEB_DPID), DataSource(id=ACCOUNT_DPID))))
    for line in FAULTY_LINES:
        try:
            parse_event_line(line, NOW, known)
        except EventError:
            refused += 1
    assert refused == len(FAULTY_LINES) - 1


def test_nobody_shares_a_partner_id() -> None:
    plan = plan_visits(2_000, 5, seed=1)
    assert len(set(plan.partner_ids)) == len(plan.partner_ids) >= plan.visitors


def test_the_catalog_is_valid_and_has_the_ids_that_visitors_use(tmp_path: Path) -> None:
    """A folder whose name YAML would trip over is fine too."""
    ca = trustme.CA().cert_pem.bytes()
    folder = tmp_path / 'a "quoted" \\ name'
    for name in ("aurora", "borealis", "corona"):
        (folder / name).mkdir(parents=True)
        (folder / name / "ca.pem").write_bytes(ca)
    addresses = dict.fromkeys(("aurora", "borealis", "corona"), f"https://127.0.0.1:{9000}")
    loaded = parse_catalog(
        filled_catalog(folder, addresses), name="catalog.yaml", base_dir=folder, checkers=catalog_checkers()
    )
    assert loaded.warnings == []
    catalog = loaded.catalog
    assert {source.id for source in catalog.data_sources} >= {WEB_DPID, ACCOUNT_DPID}
    assert [destination.id for destination in catalog.destinations] == [AURORA, BOREALIS, CORONA]
    assert [segment.id for segment in catalog.segments if segment.external] == [LIKELY_TO_LEAVE]
    taken = {dpid for destination in catalog.destinations for dpid in destination.user_dpids}
    assert taken == {WEB_DPID, ACCOUNT_DPID, ANDROID_DPID, IOS_DPID}
    assert str(folder) in msgspec.json.encode(catalog).decode().replace('\\"', '"').replace("\\\\", "\\")
