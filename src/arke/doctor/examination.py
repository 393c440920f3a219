"""All there is to look at, one after the other. What fails unforeseen is a finding too: the rest is still
looked at.
"""

from __future__ import annotations

import asyncio
from itertools import chain
from typing import TYPE_CHECKING

from arke.catalog import stored
from arke.doctor.finding import Examination, doubtful, fine, wrong
from arke.doctor.machine import disk, machine, permissions
from arke.doctor.network import examine, ways_of
from arke.doctor.secrets import certificates_of, secrets_of
from arke.errors import ArkeError, SettingsError
from arke.settings import Settings, find_settings
from arke.shard_app import confined_to
from arke.wording import many

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from arke.doctor.finding import Finding
    from arke.domain.catalog import Destination


def examine_installation(data: Path, config: Path | None) -> Examination:
    """Look at everything about this data directory and these settings."""
    settings, found = _settings(config)
    looks: list[Callable[[], Iterable[Finding]]] = [machine, lambda: disk(data), lambda: permissions(data)]
    destinations: list[Destination] = []
    if settings.cluster.store:
        looks.append(lambda: _of_cluster(settings))
    else:
        looks += [lambda: _stores(data), lambda: _engine(data, settings)]
        destinations, problems = _destinations(data)
        found += problems
    confinement = confined_to(settings)
    looks += [
        lambda: secrets_of(settings, destinations, confinement),
        lambda: certificates_of(settings, destinations, confinement),
        lambda: asyncio.run(examine(ways_of(destinations), settings.egress, confinement)),
    ]
    return Examination.of([*found, *chain.from_iterable(_looked(look) for look in looks)])


def _looked(look: Callable[[], Iterable[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(look())
    except (ArkeError, OSError) as error:
        found.append(wrong("doctor", f"could not look on: {error}", "mend this first, and run it again"))
    return found


def _settings(config: Path | None) -> tuple[Settings, list[Finding]]:
    try:
        settings = find_settings(config)
    except SettingsError as error:
        return Settings(), [wrong("settings", str(error), "docs/reference/settings.md has every option")]
    return settings, [fine("settings", "they are read, and every option is known and within its bounds")]


def _stores(data: Path) -> Iterator[Finding]:
    from arke.doctor.store import stores

    return stores(data)


def _engine(data: Path, settings: Settings) -> Iterator[Finding]:
    from arke.doctor.engine import engine

    return engine(data, settings)


def _of_cluster(settings: Settings) -> Iterator[Finding]:
    from arke.doctor.cluster import cluster

    return cluster(settings)


def _destinations(data: Path) -> tuple[list[Destination], list[Finding]]:
    from arke.doctor.store import newest_catalog

    try:
        body = newest_catalog(data)
    except ArkeError:
        return [], []  # the store's own finding says it
    if body is None:
        return [], [doubtful("catalog", "none is applied: nothing is evaluated or told", "arke apply FILE")]
    catalog = stored.from_json(body)
    on = sum(one.enabled for one in catalog.destinations)
    segments, destinations = len(catalog.segments), len(catalog.destinations)
    return list(catalog.destinations), [
        fine(
            "catalog",
            f"{many(segments, 'segment')}, {on} of {many(destinations, 'destination')} on",
        )
    ]
