"""A fixed set of name spaces for the pure tests."""

from __future__ import annotations

from arke.domain.catalog import Catalog, DataSource
from arke.domain.ids import IdRules


class Directory:
    """Knows 100-120 and 123, and two integration codes."""

    ids = IdRules(
        Catalog(
            data_sources=(
                DataSource(id=123, integration_code="acme"),
                DataSource(id=101, integration_code="other"),
                *(DataSource(id=dpid) for dpid in range(100, 121) if dpid != 101),
            )
        )
    )
