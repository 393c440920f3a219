"""docs/how-to/cluster.md, typed in an empty folder over a real PostgreSQL: what it shows is what happens."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from e2e.console_page import Desk, steps
from servers.postgres import KINDS, server_of_its_own

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "cluster.md"


def test_the_page_does_what_it_shows(tmp_path: Path) -> None:
    if "15" not in KINDS:
        pytest.skip("the page makes a role and a database on a server of its own")
    typed = list(steps(PAGE.read_text(encoding="utf-8")))
    with (
        server_of_its_own("15") as server,
        Desk(
            tmp_path,
            ports={"5432": str(server.port)},
            environ={"PG": server.dsn(user="postgres")},
        ) as desk,
    ):
        server.execute("CREATE ROLE postgres SUPERUSER LOGIN")
        with psycopg.connect(server.dsn(user="postgres"), autocommit=True) as connection:
            connection.execute("ALTER ROLE arke RENAME TO somebody")  # the page makes one of this name
        looks = 0
        for step in typed:
            if step.command.startswith("psql"):
                desk.stop("arke up")
            looks += step.command.startswith("arke cluster status")
            if looks == 2:
                desk.stop("arke up --role worker --data node-3")
            desk.type(step)
    assert looks == 2
