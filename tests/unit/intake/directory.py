"""A fixed set of name spaces for the pure tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class Directory:
    """Knows 100-120 and 123, and two integration codes."""

    def integration_codes(self) -> Mapping[str, int]:
        return {"acme": 123, "other": 101}

    def known_dpid(self, dpid: int) -> bool:
        return dpid == 123 or 100 <= dpid <= 120
