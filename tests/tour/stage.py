"""The stage of the tour: a catalog and a script in a few words, played through `arke simulate` in this process.

Times are written `MM-DD HH:MM:SS[.mmm]`, UTC, in 2026. A trait `t` is realised by the signal `c_trait == "t"`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

from arke.catalog.load import load_catalog
from arke.checking import catalog_checkers
from arke.simulate.run import Simulation

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from arke.domain.catalog import Catalog
    from arke.simulate.network import Sent
    from arke.simulate.run import Summary

DEVICE = "00000000000000000000000000000000000001"
OTHER = "00000000000000000000000000000000000002"
COOKIES, GAID, IDFA = 12345, 20914, 20915
ACME = 423


def trait(number: int, *, ttl_days: int = 120, **options: Any) -> dict[str, Any]:
    rule = {} if options.get("kind") == "onboarded" else {"rule": f'c_trait == "{number}"'}
    return {"id": number, "ttl_days": ttl_days} | rule | options


def segment(number: int, rule: str | None = None, **options: Any) -> dict[str, Any]:
    """Without a rule it is external."""
    return {"id": number} | ({"rule": rule} if rule is not None else {}) | options


def destination(*segments: int | dict[str, Any], number: int = ACME, **options: Any) -> dict[str, Any]:
    """One that takes the cookies of `COOKIES`, with segments mapped under their own ids or as given."""
    mapped = [{"segment": entry} if isinstance(entry, int) else entry for entry in segments]
    return {
        "id": number,
        "url": f"https://dsp{number}.example.com/segments/aam",
        "client_id": "74323",
        "user_dpids": [COOKIES],
        "segments": mapped,
    } | options


class Request(msgspec.Struct, frozen=True):
    """One line of the output."""

    at: str
    destination: int
    kind: str
    attempt: int
    status: int
    headers: dict[str, str | list[str]]
    body: str

    @property
    def clock(self) -> str:
        """When, as scripts write it: `05-01 00:00:00.100`."""
        return self.at[5:23].replace("T", " ")

    @property
    def message(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.body)
        return decoded

    @property
    def users(self) -> dict[str, dict[str, str]]:
        """Per partner id, in the order of the message, each alias with its status."""
        return {
            user["DataPartner_UUID"]: {state["Segment_ID"]: state["Status"] for state in user["Segments"]}
            for user in self.message["Users"]
        }

    @property
    def told(self) -> dict[str, str]:
        """Alias and status, where the message is about one user."""
        (told,) = self.users.values()
        return told


class Stage:
    """Collects a catalog and a script; `play` runs them. `output` are the bytes, `summary` the figures."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.script = folder / "script.ndjson"
        self.catalog_file = folder / "catalog-0.json"
        self.output = b""
        self.summary: Summary
        self._lines: list[str] = []
        self._catalogs = 0

    def catalog(
        self,
        *destinations: dict[str, Any],
        traits: Sequence[dict[str, Any]] = (),
        segments: Sequence[dict[str, Any]] = (),
        sources: Sequence[dict[str, Any]] = (),
    ) -> str:
        """Write a catalog file, the first of which the script starts with; returns its name."""
        declared = [{"id": COOKIES, "name": "Acme cookies"}, *sources]
        parts = {
            "data_sources": declared,
            "traits": traits,
            "segments": segments,
            "destinations": destinations,
        }
        path = self.folder / f"catalog-{self._catalogs}.json"
        path.write_text(json.dumps(parts))
        self._catalogs += 1
        return path.name

    def see(
        self,
        at: str,
        device: str | None = DEVICE,
        *traits: int,
        ids: Sequence[tuple[int, str]] = (),
        **fields: Any,
    ) -> None:
        """A device is seen, realising traits and declaring ids; `fields` are the event's others."""
        event = dict(fields)
        if device is not None:
            event["uuid"] = device
        if ids:
            event["ids"] = [{"dpid": dpid, "id": partner_id} for dpid, partner_id in ids]
        if traits:
            event["signals"] = {"c_trait": [str(number) for number in traits]}
        self.line(at, event=event)

    def respond(self, at: str, status: int, times: int, *, destination: int = ACME) -> None:
        self.line(at, respond={"destination": destination, "status": status, "for": times})

    def opt_out(self, at: str, **who: str) -> None:
        self.line(at, privacy={"action": "opt_out", **who})

    def onboard(self, at: str, name: str, *lines: str) -> None:
        """A file is loaded; without lines, one that was written before."""
        if lines:
            (self.folder / name).write_text("".join(f"{line}\n" for line in lines))
        self.line(at, onboard={"file": name})

    def apply(self, at: str, catalog: str) -> None:
        self.line(at, apply=catalog)

    def advance(self, at: str) -> None:
        self.line(at, advance=True)

    def line(self, at: str, **action: Any) -> None:
        self._lines.append(json.dumps({"at": f"2026-{at.replace(' ', 'T')}Z", **action}))

    def batch(self, at: str, destination: int = ACME) -> None:
        """Run a destination's batch now."""
        self.line(at, batch=destination)

    def play(self, *, schedule: bool = False) -> list[Request]:
        """Every request the script led to, in order. `schedule`: batches also run when they are due."""
        self.script.write_text("".join(f"{line}\n" for line in self._lines))
        sent: list[Sent] = []
        self.summary = Simulation(_load, sent, schedule=schedule).run(self.script, self.catalog_file)
        self.output = b"".join(msgspec.json.encode(entry) + b"\n" for entry in sent)
        return [msgspec.json.decode(line, type=Request) for line in self.output.splitlines()]


def _load(path: Path) -> Catalog:
    return load_catalog(path, checkers=catalog_checkers()).catalog


def clocks(requests: Sequence[Request]) -> list[str]:
    """When each request was made."""
    return [request.clock for request in requests]


def tellings(requests: Sequence[Request]) -> list[tuple[str, dict[str, str]]]:
    """When each one-user message was sent, and what it told."""
    return [(request.clock, request.told) for request in requests]
