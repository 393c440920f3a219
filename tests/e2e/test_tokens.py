"""API tokens through the commands and on both doors: made, listed, refused by scope, expired, revoked."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from at_once import at_once
from e2e.catalogs import catalog, visit
from e2e.engine_process import ARKE, LOOPBACK, EngineProcess, request

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine whose intake takes tokens: that is the default."""
    with EngineProcess(tmp_path_factory.mktemp("engine"), settings=LOOPBACK) as running:
        running.apply(catalog([]))
        yield running


def make(engine: EngineProcess, *scope_and_options: str) -> str:
    """`arke token create`: the secret is all that stands on stdout."""
    done = engine.arke("token", "create", "--scope", *scope_and_options)
    assert done.returncode == 0, done.stderr
    secret = done.stdout.strip()
    assert secret.startswith("arke_")
    assert secret not in done.stderr
    return secret


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


def test_the_intake_takes_the_right_token_only(engine: EngineProcess) -> None:
    secret = make(engine, "ingest")
    assert engine.send(visit(1, "camera"), token=secret).json() == {"accepted": 1, "rejected": []}
    nothing = engine.send(visit(1, "camera"))
    assert (nothing.status, nothing.json()["error"]["code"]) == (401, "unauthorized")
    assert nothing.headers["www-authenticate"].startswith("Bearer")
    assert engine.send(visit(1, "camera"), token=secret + "x").status == 401
    assert engine.send(visit(1, "camera"), token=make(engine, "read")).status == 403


def test_the_public_endpoints_need_none(engine: EngineProcess) -> None:
    assert request(engine.intake, "GET", "/event?c_see=camera").status == 200


SCOPES = {
    "ingest": {"GET /v1/status": 403, "POST /v1/undelivered/replay": 403, "GET /v1/tokens": 403},
    "metrics": {"GET /v1/status": 200, "GET /metrics": 200, "GET /v1/batches": 403, "GET /v1/tokens": 403},
    "read": {"GET /v1/status": 200, "POST /v1/undelivered/replay": 403, "GET /v1/tokens": 403},
    "operate": {"GET /v1/status": 200, "POST /v1/undelivered/replay": 200, "GET /v1/tokens": 403},
    "admin": {"GET /v1/status": 200, "POST /v1/undelivered/replay": 200, "GET /v1/tokens": 200},
    "ingest,read": {"GET /v1/status": 200, "POST /v1/undelivered/replay": 403, "GET /metrics": 200},
}


@pytest.mark.parametrize("scope", SCOPES)
def test_each_scope_opens_its_doors(engine: EngineProcess, scope: str) -> None:
    secret = make(engine, scope)
    for route, expected in SCOPES[scope].items():
        method, _, path = route.partition(" ")
        assert request(engine.admin, method, path, headers=bearer(secret)).status == expected, route
        assert request(engine.admin, method, path).status == 401


def test_health_needs_none(engine: EngineProcess) -> None:
    assert request(engine.admin, "GET", "/healthz").status == 200
    assert request(engine.admin, "GET", "/readyz").status == 200


def test_a_token_is_listed_without_its_secret_and_revoked_at_once(engine: EngineProcess) -> None:
    secret = make(engine, "ingest", "--name", "web shop")
    (line,) = (line for line in engine.arke("token", "list").stdout.splitlines() if "web shop" in line)
    number, state, scope = line.split()[:3]
    assert (state, scope) == ("live", "ingest")
    assert secret not in engine.arke("token", "list", "--json").stdout
    assert engine.send(visit(2, "camera"), token=secret).status == 200
    done = engine.arke("token", "revoke", number)
    assert (done.returncode, done.stdout) == (0, f"token {number} is revoked\n")
    assert engine.send(visit(2, "camera"), token=secret).status == 401
    assert f"{number} revoked" in engine.arke("token", "list").stdout
    nobody = engine.arke("token", "revoke", "nobody")
    assert (nobody.returncode, "there is no token 'nobody'" in nobody.stderr) == (2, True)


def test_an_expired_token_is_refused(engine: EngineProcess) -> None:
    """Its time is put back in the store of the stopped engine; nothing else is touched."""
    import msgspec

    from arke.storage.committer import InlineCommitter
    from arke.storage.sqlite.directory import SqliteDirectory

    secret = make(engine, "ingest", "--expires", "1h")
    assert engine.send(visit(3, "camera"), token=secret).status == 200
    engine.stop()
    directory = SqliteDirectory(engine.data / "directory.db", committer=InlineCommitter())
    for token in at_once(directory.tokens.list()):
        past = msgspec.structs.replace(token, expires=int(time.time()) - 1)
        directory._database.run(
            "UPDATE token SET body = ? WHERE id = ? AND ? IS NOT NULL",
            (msgspec.msgpack.encode(past), token.id, token.expires),
        )
    at_once(directory.close())
    engine.start()
    assert engine.send(visit(3, "camera"), token=secret).status == 401


def test_wrong_use_is_named(engine: EngineProcess) -> None:
    wrong = engine.arke("token", "create", "--scope", "everything")
    assert (wrong.returncode, "unknown scope 'everything'" in wrong.stderr) == (2, True)
    wrong = engine.arke("token", "create", "--scope", "read", "--expires", "soon")
    assert (wrong.returncode, "'soon' is not a lifetime" in wrong.stderr) == (2, True)


def test_a_secret_that_nobody_sees_is_of_no_use(engine: EngineProcess) -> None:
    def made() -> dict[str, int | None]:
        listed = engine.arke("token", "list", "--json").stdout.splitlines()
        return {token["id"]: token["revoked"] for token in map(msgspec.json.decode, listed)}

    before = made()
    create = [ARKE, "token", "create", "--scope", "read", "--data", str(engine.data)]
    for more in ((), ("--json",)):
        closed = subprocess.run(
            ["sh", "-c", 'exec "$@" >&-', "sh", *create, *more],
            stderr=subprocess.PIPE,
            env=engine.environ,
            text=True,
            check=False,
        )
        said = "arke: the output is closed: nobody would see the secret, so no token was made\n"
        assert (closed.returncode, closed.stderr, made()) == (2, said, before)
        with Path("/dev/full").open("wb") as full:
            lost = subprocess.run(
                [*create, *more],
                stdout=full,
                stderr=subprocess.PIPE,
                env=engine.environ,
                text=True,
                check=False,
            )
        assert (lost.returncode, lost.stderr.count("\n")) == (1, 1), lost.stderr
        assert lost.stderr == "arke: the output cannot be written: no space left on device\n"
        (revoked,) = (at for token, at in made().items() if token not in before)
        assert revoked is not None
        before = made()


LIMITED = (
    "import resource, sys; from arke.cli import main;"
    "resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10)); main()"
)
"""A command whose files take ten bytes."""


def test_a_secret_of_which_a_part_was_written_is_of_no_use(engine: EngineProcess) -> None:
    environ = {"ARKE_DATA": str(engine.data), "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    out = engine.folder / "secret"
    with out.open("wb") as few:
        lost = subprocess.run(
            [sys.executable, "-c", LIMITED, "token", "create", "--scope", "read", "--name", "cut off"],
            stdout=few,
            stderr=subprocess.PIPE,
            env={**engine.environ, **environ},
            cwd=engine.folder,
            text=True,
            check=False,
        )
    assert (lost.returncode, lost.stderr) == (1, "arke: the output cannot be written: file too large\n")
    assert out.stat().st_size == 10
    listed = engine.arke("token", "list").stdout.splitlines()
    (line,) = (line for line in listed if line.endswith("cut off"))
    assert line.split()[1] == "revoked"


def test_a_token_without_a_url_is_said_to_count_for_nothing(engine: EngineProcess) -> None:
    """A script that always passes one goes on."""
    said = "arke: --token goes with --url: without that no token is asked for, and all is allowed\n"
    typed = engine.arke("token", "list", "--json", "--token", "arke_wrong")
    assert (typed.returncode, typed.stderr) == (0, said)
    around = engine.arke("token", "list", "--json", ARKE_TOKEN="arke_wrong")
    assert (around.returncode, around.stderr, around.stdout) == (0, "", typed.stdout)


def test_commands_reach_a_remote_engine_by_url_and_token(engine: EngineProcess) -> None:
    """`--url` and `--token`, or `ARKE_URL` and `ARKE_TOKEN`; errors are the same as on the spot."""
    secret, url = make(engine, "admin"), f"http://{engine.admin}"
    assert engine.arke("status", "--json", "--url", url, "--token", secret).returncode == 0
    environ = {"ARKE_URL": url, "ARKE_TOKEN": secret}
    assert engine.arke("token", "list", **environ).returncode == 0
    made = engine.arke("token", "create", "--scope", "read", **environ).stdout.strip()
    refused = engine.arke("token", "list", "--url", url, "--token", made)
    assert (refused.returncode, refused.stderr) == (2, "arke: the token lacks the scope 'admin'\n")
    unknown = engine.arke("status", "--url", url, "--token", "arke_wrong")
    assert (unknown.returncode, "the token is unknown, expired or revoked" in unknown.stderr) == (2, True)
    nowhere = engine.arke("status", "--url", "http://127.0.0.1:1", "--token", secret)
    assert (nowhere.returncode, "http://127.0.0.1:1: " in nowhere.stderr) == (1, True)
    nonsense = engine.arke("status", "--url", "ftp://x", "--token", secret)
    assert (nonsense.returncode, "is not an http(s) address" in nonsense.stderr) == (2, True)
