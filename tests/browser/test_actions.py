"""What somebody comes to a page to do, done with a mouse and a keyboard."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from arke.console.page import ROOT
from browser.chromium import Watched
from browser.conftest import AWAY, FINE
from browser.test_pages import context_of
from e2e.catalogs import DPID
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser

    from browser.conftest import World


@pytest.fixture(scope="module")
def watched(browser: Browser, world: World) -> Iterator[Watched]:
    context = context_of(browser, world, "light", "wide")
    watched = Watched(context, world.address)
    yield watched
    assert watched.faults == []
    context.close()


def press(watched: Watched, name: str) -> str:
    """A button of the page by what stands on it; what the page says then."""
    watched.follow(watched.page.locator("main").get_by_role("button", name=name, exact=True).first)
    return watched.page.locator("main").inner_text()


def test_from_the_overview_to_what_is_owed_and_its_replay(watched: Watched) -> None:
    watched.open(f"{ROOT}/")
    watched.follow(watched.page.get_by_role("link", name="See what is owed").first)
    assert "p1" in watched.page.locator("main").inner_text()
    watched.open(f"{ROOT}/destinations/{AWAY}")
    assert "on the way again" in press(watched, "Replay what is owed")


def test_a_test_shows_both_sides(watched: Watched, world: World) -> None:
    before = len(world.receiver.messages())
    watched.open(f"{ROOT}/destinations/{FINE}")
    watched.follow(watched.page.get_by_role("link", name="Test and preview"))
    said = press(watched, "Send a test")
    assert "acknowledged" in said
    assert "POST /segments/aam" in said
    assert "AAM_Destination_Id" in said
    assert len(world.receiver.messages()) == before + 1


def test_a_preview_is_the_message(watched: Watched) -> None:
    watched.open(f"{ROOT}/destinations/{FINE}/try")
    watched.page.locator("input[name=person]").fill(f"{DPID}:p0")
    assert '"DataPartner_UUID":"p0"' in press(watched, "Preview").replace(" ", "")


def test_a_number_of_the_funnel_opens_its_users(watched: Watched) -> None:
    watched.open(f"{ROOT}/destinations/{FINE}")
    watched.follow(watched.page.get_by_role("link", name="Every user in one bucket"))
    watched.follow(watched.page.locator("main a", has_text="Samples").first)
    watched.follow(watched.page.locator("#samples ~ ul a").first)
    assert "In market" in watched.page.locator("main").inner_text()


def test_a_user_is_looked_up(watched: Watched) -> None:
    watched.open(f"{ROOT}/users")
    watched.page.locator("main input").first.fill(f"{DPID}:p3")
    watched.page.keyboard.press("Enter")
    watched.page.wait_for_url("**/users?*")
    said = watched.page.locator("main").inner_text()
    assert f"{DPID}:p3" in said
    assert "acknowledged" in said or "told" in said


def test_a_batch_is_begun(watched: Watched) -> None:
    watched.open(f"{ROOT}/destinations/{FINE}")
    press(watched, "Run batch now")

    def is_listed() -> bool:
        watched.open(f"{ROOT}/batches")
        return "finished" in watched.page.locator("main").inner_text().lower()

    wait_until(is_listed, "the batch to be listed as finished")


def test_a_file_is_loaded_and_its_receipt_adds_up(watched: Watched, tmp_path: Path) -> None:
    name = f"ftp_dpm_{DPID}_1790000000.sync"
    (tmp_path / name).write_text(f'p1\t"d_sid"={1000}\n')
    watched.open(f"{ROOT}/files")
    watched.page.locator("input[type=file]").set_input_files(tmp_path / name)
    press(watched, "Load it")

    def is_loaded() -> bool:
        watched.page.reload()
        return "1 line" in watched.page.locator("main").inner_text().lower()

    wait_until(is_loaded, "the receipt")


def test_a_rule_is_edited_planned_and_applied(watched: Watched, world: World) -> None:
    watched.open(f"{ROOT}/catalog/edit")
    field = watched.page.locator("textarea[name=text]")
    field.fill(field.input_value().replace("Still looking", "Looking still", 1))
    assert "what it would do" in press(watched, "Check and plan")
    press(watched, "Apply what was planned")
    assert world.engine.client().status().catalog_version == 2
    watched.open(f"{ROOT}/segments")
    assert "Looking still" in watched.page.locator("main").inner_text()


def test_a_token_is_made_and_shown_once(watched: Watched) -> None:
    watched.open(f"{ROOT}/tokens")
    watched.page.locator("input[name=name]").fill("a dashboard")
    watched.page.get_by_role("checkbox", name="read").first.check()
    assert "shown this once" in press(watched, "Make a token")
    watched.page.reload()
    said = watched.page.locator("main").inner_text()
    assert "a dashboard" in said
    assert "shown this once" not in said


def test_somebody_is_deleted_and_what_came_of_it_is_shown(watched: Watched) -> None:
    watched.open(f"{ROOT}/privacy")
    form = watched.page.locator("form[action$='/privacy/request']")
    form.locator("[name=who]").fill(f"{DPID}:p9")
    form.locator("[name=action]").select_option("delete")
    watched.page.locator("form[action$='/privacy/request'] input[type=checkbox]").first.check()
    press(watched, "Begin the request")

    def is_done() -> bool:
        watched.open(f"{ROOT}/privacy/1")
        return "done" in watched.page.locator("main").inner_text().lower()

    wait_until(is_done, "the request to be done")


def test_what_was_done_is_in_the_audit(watched: Watched) -> None:
    watched.open(f"{ROOT}/audit")
    said = watched.page.locator("main").inner_text()
    for action in ("catalog_applied", "token_created", "batch_begun"):
        assert action in said or action.replace("_", " ") in said
    watched.follow(watched.page.get_by_role("link", name="Check every seal"))
    assert "the chain of seals is whole" in watched.page.locator("main").inner_text()
