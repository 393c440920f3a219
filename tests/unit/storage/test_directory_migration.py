"""A directory of an earlier schema version opens, keeps what it has, and becomes what a new one is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import apsw

from arke.domain.identity import Owner
from arke.storage.sqlite.directory import SqliteDirectory
from e2e.old_store import STORES, columns, version

if TYPE_CHECKING:
    from pathlib import Path


def test_version_1_becomes_what_a_new_directory_is(tmp_path: Path) -> None:
    old = tmp_path / "old.db"
    connection = apsw.Connection(str(old))
    connection.execute((STORES / "directory-1.sql").read_text())
    connection.execute("PRAGMA user_version=1")
    connection.execute("INSERT INTO identity VALUES (1, 'a', 'U', 100, 7, 0)")
    connection.execute("INSERT INTO meta VALUES ('hash_key', x'00'), ('generation', 7)")
    connection.execute("INSERT INTO suppressed VALUES (x'ab', 100)")
    connection.close()

    directory = SqliteDirectory(old)
    assert directory.find([(1, "a")]) == {(1, "a"): Owner("U", 7)}
    assert directory.last_generation() == 7
    assert (directory.suppressed(), directory.suppressed_by(b"\xab")) == ({b"\xab"}, [0])
    digest = directory.hash_of("1:b")
    directory.suppress({1: ["1:b"]}, 200)
    assert directory.lift_request(1, 300).gone == {digest}
    assert directory.suppressed() == {b"\xab"}, "what was suppressed before is lifted by name only"
    assert directory.lift_hash(b"\xab", 300, device=False)
    directory.close()

    SqliteDirectory(tmp_path / "new.db").close()
    assert columns(old) == columns(tmp_path / "new.db")
    assert version(old) == version(tmp_path / "new.db")
    SqliteDirectory(old).close()
