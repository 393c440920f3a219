"""`arke backup` and `arke restore`: what they refuse, who stays erased, and the way back from an upgrade."""

from __future__ import annotations

import json
import re
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import apsw
import pytest

from arke.data_exchange import ARRIVING
from arke.errors import ArkeError, InvalidInput, StoreUnavailable
from arke.operations.privacy import PrivacyAsk
from arke.progress import Progress
from arke.upkeep.backup import back_up, verify
from arke.upkeep.manifest import read_manifest
from arke.upkeep.restore import restore
from chaos import verdict
from e2e.catalogs import DPID, IN_MARKET, TOLD, catalog, destination, visit
from e2e.engine_process import EngineProcess
from e2e.old_store import OldStore, databases, rows, version
from patience import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from e2e.receiver_thread import ReceiverThread

D = 1
GONE, OUT, STAYS = "somebody-to-forget", "somebody-who-opted-out", "somebody-who-stays"


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A stopped engine's data, and a backup of it."""
    folder = tmp_path_factory.mktemp("backed-up")
    with EngineProcess(folder, shards=2) as engine:
        assert engine.send(*(visit(n, "camera") for n in range(50))).status == 200
    backup = folder / "backup"
    back_up(engine.data, backup, Progress())
    return engine.data, backup


@pytest.fixture
def backup(backed_up: tuple[Path, Path], tmp_path: Path) -> Path:
    """One to be damaged."""
    copy = tmp_path / "backup"
    shutil.copytree(backed_up[1], copy)
    return copy


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(ArkeError) as error:
        work()
    return str(error.value)


def test_it_is_its_owners_alone_and_says_what_it_has(backed_up: tuple[Path, Path]) -> None:
    data, backup = backed_up
    manifest = verify(backup, Progress())
    assert (manifest.shards, manifest.live, manifest.source) == (2, False, str(data))
    assert {file.name for file in manifest.files} == {"directory.db", "shard-00.db", "shard-01.db"}
    assert stat.S_IMODE(backup.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in backup.iterdir()} == {0o600}


def test_nothing_is_overwritten(backed_up: tuple[Path, Path], tmp_path: Path) -> None:
    data, backup = backed_up
    assert "is not overwritten" in refused(lambda: back_up(data, backup, Progress()))
    (tmp_path / "letters").write_text("mine")
    assert "other things" in refused(lambda: back_up(data, tmp_path, Progress()))
    assert "does not belong into" in refused(lambda: back_up(data, data / "backup", Progress()))
    assert "not empty" in refused(lambda: restore(backup, data, Progress()))
    assert "no data directory" in refused(lambda: back_up(tmp_path, tmp_path / "b", Progress()))


def test_there_has_to_be_room(
    backed_up: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, backup = backed_up
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=16 << 20))
    for work in (
        lambda: back_up(data, tmp_path / "b", Progress()),
        lambda: restore(backup, tmp_path / "data", Progress()),
    ):
        with pytest.raises(StoreUnavailable, match="MB free on this disk"):
            work()
    monkeypatch.undo()
    assert back_up(data, tmp_path / "b", Progress()).files  # what was begun there is begun anew


@pytest.mark.parametrize("damage", ["a byte", "a file", "the manifest", "shorter"])
def test_a_damaged_one_is_not_restored(damage: str, backup: Path, tmp_path: Path) -> None:
    file = backup / "shard-01.db"
    content = bytearray(file.read_bytes())
    match damage:
        case "a byte":
            content[5_000] ^= 1
            file.write_bytes(content)
        case "a file":
            file.unlink()
        case "the manifest":
            (backup / "backup.json").unlink()
        case "shorter":
            file.write_bytes(content[:-1])
    with pytest.raises(InvalidInput):
        verify(backup, Progress())
    data = tmp_path / "data"
    with pytest.raises(InvalidInput, match=re.escape(f"{backup}")):
        restore(backup, data, Progress())
    assert not data.exists() or not list(data.glob("*.db"))


def test_a_restore_that_was_broken_off_is_no_directory(backup: Path, tmp_path: Path) -> None:
    engine = EngineProcess(tmp_path)
    (engine.data / ARRIVING).mkdir(parents=True)
    engine.data.chmod(0o700)
    (engine.data / ARRIVING / "shard-00.db").write_bytes(b"half")
    assert "was broken off" in engine.arke("up", "--intake-port", "0", "--admin-port", "0").stderr
    assert restore(backup, engine.data, Progress()).shards == 2
    assert engine.arke("status").returncode == 0


def test_a_newer_one_is_left_to_the_newer_version(backup: Path, tmp_path: Path) -> None:
    manifest = json.loads((backup / "backup.json").read_text())
    manifest["files"][0]["schema"] = 99
    (backup / "backup.json").write_text(json.dumps(manifest))
    assert "newer than this one" in refused(lambda: restore(backup, tmp_path / "data", Progress()))


def test_in_a_cluster_it_says_what_to_use_instead(tmp_path: Path) -> None:
    engine = EngineProcess(tmp_path, settings='[cluster]\nstore = "env:DSN"\n')
    done = engine.arke("backup", "b", "--config", str(engine.config))
    assert (done.returncode, "pg_basebackup" in done.stderr) == (2, True)


def test_as_it_was_is_for_what_nobody_ran_on_since(
    backed_up: tuple[Path, Path], backup: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    assert restore(backed_up[1], data, Progress(), as_it_was=True).again is None
    for name in ("shard-00.db", "shard-01.db"):
        assert rows(data / name) == rows(backed_up[0] / name)
    manifest = json.loads((backup / "backup.json").read_text())
    (backup / "backup.json").write_text(json.dumps(manifest | {"live": True}))
    assert "leave --as-it-was out" in refused(
        lambda: restore(backup, tmp_path / "other", Progress(), as_it_was=True)
    )


@pytest.mark.parametrize("newer", ["the directory", "the list", "a later backup"])
def test_who_was_erased_since_stays_erased(newer: str, well: ReceiverThread, tmp_path: Path) -> None:
    """Two requests end after the backup. It brings their people back, and they are carried through again."""
    engine = EngineProcess(tmp_path, shards=2)
    backup, lost, kept = tmp_path / "backup", tmp_path / "lost", tmp_path / "kept"
    people = (GONE, OUT, STAYS)
    with engine:
        engine.apply(catalog([destination(D, well.url, well.ca_file)]))
        for number, who in enumerate(people):
            engine.accept(visit(number, "camera", partner=who, memberships={str(TOLD): 1}))
        wait_until(lambda: all(str(IN_MARKET) in well.segments_of(who) for who in people), "all to be told")
        assert engine.arke("backup", str(backup)).returncode == 0
        client = engine.client()
        client.privacy_request(PrivacyAsk("delete", id=f"{DPID}:{GONE}"), 60)
        client.privacy_request(PrivacyAsk("opt_out", id=f"{DPID}:{OUT}"), 60)
        assert well.segments_of(GONE) == well.segments_of(OUT) == set()
        if newer == "the list":
            assert engine.arke("backup", "--suppression", str(kept)).returncode == 0
        elif newer == "a later backup":
            assert engine.arke("backup", str(kept)).returncode == 0
        engine.kill()
    engine.data.rename(lost)
    list_ = lost if newer == "the directory" else kept
    done = engine.arke("restore", str(backup), "--suppression", str(list_), "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["again"]["requests"] == [1, 2]
    with engine:
        client = engine.client()
        wait_until(
            lambda: all(one.state == "done" for one in client.privacy_list(None)), "the requests to end"
        )
        engine.send(visit(0, "camera", partner=GONE), visit(7, "camera", partner=GONE))
        wait_until(engine.delivered, "everything to be told")
        assert well.segments_of(GONE) == well.segments_of(OUT) == set()
        assert str(IN_MARKET) in well.segments_of(STAYS)
        actions = engine.arke("privacy", "list").stdout
        assert actions.count("done") >= 2
    assert verdict.left_behind([engine.data], [GONE, OUT]) == {}


def test_a_list_of_another_directory_is_refused(backed_up: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with EngineProcess(tmp_path / "other") as other:
        pass
    said = refused(lambda: restore(backed_up[1], tmp_path / "data", Progress(), suppression=other.data))
    assert "of another directory" in said
    assert not list((tmp_path / "data").glob("*.db"))


@pytest.fixture(scope="module")
def old() -> OldStore:
    return OldStore("before-0-2")


def test_there_is_a_way_back_from_an_upgrade(old: OldStore, tmp_path: Path) -> None:
    """A backup of a directory of an earlier version stays of that version: it opens what the backup has, and this
    one brings it up to date when it restores it. Nothing of the directory is changed by the backup.
    """
    data, backup = tmp_path / "old", tmp_path / "backup"
    old.restore(data)
    before = {file.name: (version(file), rows(file)) for file in databases(data)}
    back_up(data, backup, Progress())
    assert {file.name: (version(file), rows(file)) for file in databases(data)} == before
    assert {file.name: (version(file), rows(file)) for file in databases(backup)} == before
    schemas = {file.name: file.schema for file in read_manifest(backup).files}
    assert schemas == {name: number for name, (number, _) in before.items()}
    restored = tmp_path / "restored"
    restore(backup, restored, Progress(), suppression=data)
    for file in databases(restored):
        assert version(file) > before[file.name][0]
        assert len(rows(file).get("profile", ())) == len(before[file.name][1].get("profile", ()))
    with apsw.Connection(str(restored / "directory.db")) as directory:
        assert {state for (state,) in directory.execute("SELECT state FROM presence")} <= {
            "doubted",
            "doubted_away",
        }
