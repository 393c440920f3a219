"""Catalogs for the tests: one trait and segment per word a visitor may say, and destinations as data."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

DPID = 12345
TRAITS = {"camera": 1000, "lens": 1001, "bag": 1002}
IN_MARKET, LENSES, STILL_LOOKING, TOLD = 10329, 10330, 10331, 12176


def destination(number: int, url: str, ca_file: Path | str | None = None, **options: Any) -> dict[str, Any]:
    """A real-time destination that takes every segment; `options` are fields of the catalog."""
    told: dict[str, Any] = {
        "id": number,
        "name": f"DSP {number}",
        "url": url,
        "client_id": "74323",
        "user_dpids": [DPID],
        "linger": "0ms",
        "segments": [{"segment": segment} for segment in (IN_MARKET, LENSES, STILL_LOOKING, TOLD)],
    }
    if ca_file is not None:
        told["tls"] = {"ca_file": str(ca_file)}
    return told | options


def catalog(destinations: Sequence[Mapping[str, Any]]) -> str:
    """The catalog's text (JSON, which is YAML). A bag ends the third segment's rule: that is how one leaves."""
    return json.dumps(
        {
            "data_sources": [
                {"id": DPID, "name": "Acme cookies", "integration_code": "acme", "kind": "cookie"},
                {"id": 501, "name": "own"},
            ],
            "traits": [
                {
                    "id": trait,
                    "name": word,
                    "data_source": 501,
                    "kind": "rule_based",
                    "rule": f'c_see == "{word}"',
                }
                for word, trait in TRAITS.items()
            ],
            "segments": [
                {"id": IN_MARKET, "name": "In market", "rule": "1000T"},
                {"id": LENSES, "name": "Lenses", "rule": "1001T"},
                {"id": STILL_LOOKING, "name": "Still looking", "rule": "1000T AND NOT 1002T"},
                {"id": TOLD, "name": "Told"},
            ],
            "destinations": list(destinations),
        },
        indent=1,
    )


def device(number: int) -> str:
    """A device's UUID, leading zeros and all."""
    return f"{number:038d}"


def visit(number: int, *words: str, partner: str | None = None, **fields: Any) -> dict[str, Any]:
    """An event: device `number` saw these words, and is known under `partner` (default `p<number>`)."""
    return {
        "uuid": device(number),
        "ids": [{"dpid": DPID, "id": partner if partner is not None else f"p{number}"}],
        "signals": {"c_see": list(words)},
        **fields,
    }
