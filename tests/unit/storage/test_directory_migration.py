"""A directory of an earlier schema version opens, keeps what it has, and becomes what a new one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from arke.domain.identity import Claims, Move, Owner
from arke.storage.committer import InlineCommitter
from arke.storage.sqlite.directory import SqliteDirectory
from at_once import at_once
from e2e.old_store import STORES, columns, version

if TYPE_CHECKING:
    from pathlib import Path


def opened(path: Path) -> SqliteDirectory:
    return SqliteDirectory(path, committer=InlineCommitter())


def test_version_1_becomes_what_a_new_directory_is(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    connection = apsw.Connection(str(old))
    connection.execute((STORES / "directory-1.sql").read_text())
    connection.execute("PRAGMA user_version=1")
    connection.execute("INSERT INTO identity VALUES (1, 'a', 'U', 100, 7, 0)")
    connection.execute("INSERT INTO move VALUES (9, 1, 'a', 'U', 'V', 200), (7, 1, 'a', 'T', 'U', 100)")
    connection.execute("INSERT INTO meta VALUES ('hash_key', x'00'), ('generation', 7)")
    connection.execute("INSERT INTO suppressed VALUES (x'ab', 100)")
    connection.close()

    directory = opened(old)
    identities, suppression = directory.identities, directory.suppression
    assert at_once(identities.look_up([(1, "a")])).owners == {(1, "a"): Owner("U", 7)}
    assert at_once(identities.moves()) == [Move(1, "a", "T", "U", 100, 7), Move(1, "a", "U", "V", 200, 9)]
    assert at_once(identities.link(Claims(300, {(1, "a"): Owner("V", 8)}, {(1, "a"): 7}))) == set()
    assert (at_once(suppression.hashes()), at_once(suppression.wanted_by(b"\xab"))) == ({b"\xab"}, [0])
    digest = directory.hashes.digest("1:b")
    at_once(suppression.suppress({1: ["1:b"]}, 200))
    assert at_once(suppression.lift_request(1, 300)).gone == {digest}
    assert at_once(suppression.hashes()) == {b"\xab"}, "what was suppressed before is lifted by name only"
    assert at_once(suppression.lift(b"\xab", [0], 300, device=False))
    at_once(directory.close())

    at_once(opened(tmp_path / "new.db").close())
    assert columns(old) == columns(tmp_path / "new.db")
    assert version(old) == version(tmp_path / "new.db")
    at_once(opened(old).close())
