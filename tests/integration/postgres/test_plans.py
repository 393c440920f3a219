"""How the server answers statements whose cost must not grow with the tables."""

from __future__ import annotations

import pytest

from arke.storage.postgres.connection import Server
from arke.storage.postgres.database import queries
from arke.storage.postgres.schema import initialise

IDENTITIES = queries("identities")
COLUMNS = {
    "add_moves": [[1], ["id-1"], ["U"], ["V"], [1], [2], [0], ["V"], [2]],
    "link_people": [1, [1], ["id-1"], ["U"], [2], [0], ["V"], [2], [1], ["id-1"], [b"hash"]],
}


@pytest.mark.parametrize("name", COLUMNS)
def test_whether_a_claim_stands_is_looked_up_by_the_id(dsn: str, name: str) -> None:
    """And not among all ids of a device, of which there may be very many."""
    server = Server(dsn)
    with server.connect() as connection:
        initialise(connection, 4, server.name)
        connection.execute(
            "INSERT INTO identity (dpid, id, uuid, at, generation) "
            "SELECT 1, 'id-' || n, 'device-' || n, 1, 1 FROM generate_series(1, 5000) n"
        )
        connection.execute("ANALYZE identity")
        plan = "\n".join(line for (line,) in connection.execute(f"EXPLAIN {IDENTITIES[name]}", COLUMNS[name]))
    assert "identity_pkey" in plan
    assert "identity_by_device" not in plan
