"""The composition root of sources: topics of others, which a node with an intake reads."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from arke.app import segment_rules
from arke.background import Background, Pause, until
from arke.engine.sources.partition import Reading
from arke.engine.sources.reading import Sources
from arke.engine.sources.source import Source
from arke.errors import SettingsError, StoreUnavailable
from arke.intake.topic_messages import ArkeFormat, SegmentFormat
from arke.storage.ports.sources import CLAIMS_KEPT_S

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from arke.intake.settings import SegmentRules
    from arke.intake.topic_messages import Format
    from arke.operations.engine import Engine
    from arke.settings import KafkaSource, Settings

BATCHES_AT_ONCE: Final = 2
"""Of all sources of a node, so that a backlog leaves room for those who wait for an answer."""
CATALOG_EVERY_S: Final = Pause(0.2)


@asynccontextmanager
async def reading_sources(engine: Engine, settings: Settings, name: str) -> AsyncIterator[Sources]:
    """Read all sources of the settings until the way out; `name` is this node's. Nothing is read before a catalog
    is in force, which says whose the ids are. Raises SettingsError, SecretUnresolved.
    """
    store = engine.directory.sources
    with suppress(StoreUnavailable):
        await store.forget_claims(int(engine.clock.now()) - CLAIMS_KEPT_S)
    async with AsyncExitStack() as stack:
        turns = asyncio.Semaphore(BATCHES_AT_ONCE)
        here = [
            _read(stack, wanted, segment_rules(settings), engine, turns, name)
            for wanted in settings.intake.kafka
        ]
        yield Sources(store, here)


def _read(
    stack: AsyncExitStack,
    wanted: KafkaSource,
    calls: SegmentRules,
    engine: Engine,
    turns: asyncio.Semaphore,
    name: str,
) -> Source:
    try:
        from arke.transport.kafka.assignment import KafkaAssignment
        from arke.transport.kafka.options import SourceOptions
        from arke.transport.kafka.source import SourceTopic
    except ImportError as error:
        raise SettingsError(f"intake.kafka needs the extra arke[kafka]: {error}") from None
    topic = SourceTopic(SourceOptions(wanted.topic, wanted.reads_as, wanted.options, wanted.token_command))
    reading = Reading(
        topic=topic,
        store=engine.directory.sources,
        ingest=engine.events,
        format=_format(wanted, calls),
        clock=engine.clock,
        turns=turns,
        reader=name,
        latest=wanted.start == "latest",
    )
    source = Source(wanted.reads_as, wanted.topic, wanted.format, reading)
    topic.trouble = source.note
    assignment = KafkaAssignment(topic)

    async def begin() -> None:
        await until(lambda: _catalog_there(engine), CATALOG_EVERY_S)
        await assignment.start(source)

    background = Background()
    stack.push_async_callback(source.stop)
    stack.push_async_callback(assignment.stop)
    stack.push_async_callback(background.stop)
    background.spawn(begin(), f"source-{wanted.topic}")
    return source


async def _catalog_there(engine: Engine) -> bool:
    return engine.live.version > 0


def _format(wanted: KafkaSource, calls: SegmentRules) -> Format:
    return ArkeFormat() if wanted.format == "arke" else SegmentFormat(calls)
