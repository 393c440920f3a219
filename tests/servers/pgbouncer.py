"""PgBouncer for tests: Debian's, in transaction mode in front of a server."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from patience import PATIENCE_S, wait_until
from servers.process import free_port, install, missing, spawn

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

PACKAGE: Final = "pgbouncer"
SERVER_CONNECTIONS: Final = 2
"""Fewer than there are clients: nobody has one to himself."""


def _program() -> str:
    path = f"{os.environ.get('PATH', '')}:/usr/sbin"
    found = shutil.which(PACKAGE, path=path)
    if found is None:
        install(PACKAGE)
        found = shutil.which(PACKAGE, path=path)
    if found is None:
        missing("PgBouncer")
    return found


@contextmanager
def pooled(dsn: str) -> Iterator[str]:
    """The DSN of a pooler in front of this server, for its lifetime. Options of a session do not pass it."""
    program, port = _program(), free_port()
    parts = psycopg.conninfo.conninfo_to_dict(dsn)
    folder = Path(tempfile.mkdtemp(prefix="arke-pgbouncer-"))
    folder.chmod(0o755)
    (folder / "users").write_text(f'"{parts["user"]}" ""\n')
    (folder / "ini").write_text(
        f"[databases]\n* = host={parts['host']} port={parts['port']}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = trust\n"
        f"auth_file = {folder}/users\npool_mode = transaction\ndefault_pool_size = {SERVER_CONNECTIONS}\n"
    )
    for file in ("users", "ini"):
        (folder / file).chmod(0o644)  # whatever the umask is: it runs as somebody else
    with (folder / "log").open("wb") as log:
        process = spawn(
            [program, folder / "ini"],
            user="nobody" if os.geteuid() == 0 else None,
            stdout=log,
            stderr=log,
        )
    through = psycopg.conninfo.make_conninfo(dsn, host="127.0.0.1", port=str(port))
    try:
        wait_until(lambda: _answers(through, process, folder / "log"), "PgBouncer to answer")
        yield through
    finally:
        process.kill()  # what else ends it differs from version to version, and SIGQUIT may be ignored from birth
        process.wait(PATIENCE_S)
        shutil.rmtree(folder, ignore_errors=True)


def _answers(dsn: str, process: subprocess.Popen[bytes], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        psycopg.connect(dsn).close()
    except psycopg.OperationalError:
        return False
    return True
