"""The topic of a cluster: made with a partition for each shard, or checked."""

from __future__ import annotations

import asyncio
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast

import msgspec
from confluent_kafka import (
    ConsumerGroupState,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    ConfigResource,
    NewTopic,
    OffsetSpec,
)

from arke.errors import LogGap, SecretUnresolved, SettingsError, StoreUnavailable
from arke.log import get_logger
from arke.storage.ports.sources import NO_TOPIC_ID
from arke.transport.kafka.client import CutOff, Seldom, made
from arke.transport.packing import MAX_SIGHT_BYTES, MESSAGE_BYTES

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from confluent_kafka.admin import ListConsumerGroupsResult  # type: ignore[attr-defined]

    from arke.transport.kafka.options import KafkaOptions

T = TypeVar("T")

log = get_logger("kafka")

ASK_S: Final = 5.0
MADE_S: Final = 30.0
HEARD_S: Final = 10.0
"""Brokers hear one after the other of a topic that was made, and of a broker that ended."""
LOOK_AGAIN_S: Final = 0.1
RETENTION_MS: Final = 7 * 86_400_000
"""How long events stay in the log after they were taken; a shard may stand still for as long."""
COPIES: Final = 3
LOOK_S: Final = 2.0
ANOTHERS: Final = "it is most likely another cluster's: give each a kafka.prefix of its own"


class TopicFacts(msgspec.Struct, frozen=True):
    """A topic as the brokers describe it. `id` is another one if it was deleted and made again; `led`: each of its
    partitions has a leader; `max_bytes`: of a message, None where they do not say.
    """

    id: str
    partitions: int
    led: bool
    copies: int
    min_insync: int
    cleanup: str
    retention_ms: int
    max_bytes: int | None = None


def problems(topic: str, facts: TopicFacts, shards: int, known_id: str | None) -> list[str]:
    """Why a cluster of so many shards cannot use this topic. `known_id`: the topic that its positions are of."""
    found = []
    another = known_id is not None and _is_another(known_id, facts.id)
    # Nobody can take partitions back: those that somebody added to the topic of a cluster stay empty.
    added = known_id is not None and not another and facts.partitions > shards
    if facts.partitions != shards and not added:
        found.append(
            f"{topic} has {facts.partitions} partitions and the cluster {shards} shards: an event's partition is "
            "its shard; name another kafka.prefix, or delete the topic if nothing is in it"
        )
    if "compact" in facts.cleanup:
        found.append(f"{topic} is compacted, which deletes events: set cleanup.policy=delete")
    if another:
        found.append(
            f"{topic}, whose id is {facts.id}, is not the topic that this cluster has read from (it was made anew, "
            "or belongs to another cluster): positions in the store mean nothing there"
        )
    return found


def warnings(topic: str, facts: TopicFacts, shards: int) -> list[str]:
    """What costs safety, or is not as it was made."""
    found = []
    if facts.partitions > shards:
        found.append(
            f"{topic} has {facts.partitions} partitions and the cluster {shards} shards: the others stay empty, "
            "and workers share out shards less evenly"
        )
    if facts.min_insync < 2:
        found.append(
            f"{topic}: min.insync.replicas is {facts.min_insync}: "
            "one broker that dies may take acknowledged events with it"
        )
    if facts.max_bytes is not None and facts.max_bytes < MAX_SIGHT_BYTES:
        found.append(
            f"{topic}: max.message.bytes is {facts.max_bytes:,}: events that fill more are refused for ever, as an "
            f"event may have {MAX_SIGHT_BYTES:,}, and many together {MESSAGE_BYTES:,}"
        )
    if 0 <= facts.retention_ms < RETENTION_MS // 7:
        found.append(f"{topic}: retention.ms is below a day: a shard that stands still longer loses events")
    return found


class Topic:
    """The topic by its brokers. Everything raises StoreUnavailable where they do not answer, and SettingsError
    where they refuse.
    """

    def __init__(self, options: KafkaOptions) -> None:
        """Raises SettingsError, SecretUnresolved."""
        self.name = options.topic
        self._group = options.group
        self._not_let_in: KafkaError | None = None
        self._admin = made(AdminClient, {**options.admin(), "error_cb": self._on_error})

    def _on_error(self, error: KafkaError) -> None:
        """Whoever is not let in is not told by the answers, which never come."""
        if error.code() in _NOT_LET_IN:
            self._not_let_in = error

    def _meaning(self, failed: KafkaException) -> SettingsError | StoreUnavailable:
        self._admin.poll(0)
        refused, self._not_let_in = self._not_let_in, None
        if refused is not None:
            return SettingsError(
                f"kafka: {self.name}: the brokers do not let this user in: {refused.str()}: look at the "
                "sasl and ssl settings in kafka.options, or kafka.token_command"
            )
        return _meaning(self.name, failed)

    async def facts(self) -> TopicFacts | None:
        """None where there is none."""
        return await asyncio.get_running_loop().run_in_executor(None, self._facts)

    async def id(self) -> str | None:
        """None where there is none."""
        return await asyncio.get_running_loop().run_in_executor(None, self._id)

    def _id(self) -> str | None:
        try:
            asked = self._admin.describe_topics(TopicCollection([self.name]), request_timeout=LOOK_S)
            return str(_wait(asked[self.name]).topic_id)
        except TimeoutError:
            raise StoreUnavailable(f"kafka: {self.name}: the brokers do not say what it is") from None
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise self._meaning(error) from None

    async def known(self) -> TopicFacts | None:
        """The facts of a topic that should be there. None where no broker has heard of it for a while."""
        end = asyncio.get_running_loop().time() + HEARD_S
        while (facts := await self.facts()) is None:
            if asyncio.get_running_loop().time() > end:
                return None
            await asyncio.sleep(LOOK_AGAIN_S)
        return facts

    async def make(self, shards: int) -> None:
        """One partition a shard, three copies as far as there are brokers. Nothing happens if it is there."""
        await asyncio.get_running_loop().run_in_executor(None, self._make, shards)

    async def check(self, shards: int, known_id: str | None = None) -> None:
        """Whether `prepare` can be done, as far as that shows: nothing is changed."""
        facts = await self.facts() if known_id is None else await self.known()
        if facts is not None:
            await self._check(facts, shards, known_id)
        elif known_id is not None:
            raise SettingsError(
                f"kafka.prefix: there is no topic {self.name}, and this cluster has read from one: it was "
                "deleted, or the prefix is another one now"
            )
        else:
            await asyncio.get_running_loop().run_in_executor(None, partial(self._make, shards, trial=True))

    async def prepare(self, shards: int, known_id: str | None = None) -> tuple[TopicFacts, list[str]]:
        """Make it if need be, and check it: what it is, and warnings. SettingsError: it cannot be used."""
        facts = await self.facts()
        if facts is None:
            await self.make(shards)
            facts = await self._made()
            self._refuse(problems(self.name, facts, shards, known_id))
        else:
            await self._check(facts, shards, known_id)
        return facts, warnings(self.name, facts, shards)

    async def _check(self, facts: TopicFacts, shards: int, known_id: str | None) -> None:
        found = problems(self.name, facts, shards, known_id)
        if not found and known_id is None and (used := await self.used(facts.partitions)):
            found = [f"{self.name} {used}: {ANOTHERS}"]
        self._refuse(found)

    def _refuse(self, found: list[str]) -> None:
        if found:
            raise SettingsError("\n".join(found))

    async def used(self, partitions: int) -> str | None:
        """How it shows that somebody uses the topic."""
        return await asyncio.get_running_loop().run_in_executor(None, self._used, partitions)

    async def is_read(self) -> bool:
        """Whether the group has consumers; False where nobody may know."""
        return await asyncio.get_running_loop().run_in_executor(None, self._is_read)

    def _used(self, partitions: int) -> str | None:
        newest: Any = OffsetSpec.latest()  # type: ignore[no-untyped-call]
        asked = {TopicPartition(self.name, number): newest for number in range(partitions)}

        def has_events() -> bool:
            answers = self._admin.list_offsets(asked, request_timeout=ASK_S)
            return any(_wait(answer).offset for answer in answers.values())

        if self._settled(has_events):
            return "has, or had, events in it, and this cluster has never read from it"
        return f"is read by the group {self._group}" if self._is_read() else None

    def _is_read(self) -> bool:
        # All brokers are asked for their groups, and not the group's coordinator for its members: librdkafka aborts
        # the process where the coordinator's connection ends at the wrong moment (its issue 4605).
        end = time.monotonic() + HEARD_S
        while True:
            found = self._settled(self._groups)
            if any(one.group_id == self._group for one in found.valid or ()):
                return True
            # Who does not answer has given its groups to others by then.
            if not found.errors or time.monotonic() > end:
                return False
            time.sleep(LOOK_AGAIN_S)

    def _groups(self) -> ListConsumerGroupsResult:
        """Those that have members, as far as this user may know."""
        asked = self._admin.list_consumer_groups(states=set(_HAS_MEMBERS), request_timeout=ASK_S)
        return cast("ListConsumerGroupsResult", _wait(asked))

    def _settled(self, ask: Callable[[], T]) -> T:
        """What brokers answer once they agree: the first to ask for any group has them make room for groups, and of
        a new topic one may not have heard yet who leads it. Raises StoreUnavailable, SettingsError.
        """
        end = time.monotonic() + MADE_S
        while True:
            try:
                return ask()
            except KafkaException as error:
                if error.args[0].code() not in _PASSING or time.monotonic() > end:
                    raise self._meaning(error) from None
            time.sleep(LOOK_AGAIN_S)

    async def _made(self) -> TopicFacts:
        """The facts of a topic that was made, which brokers hear of one after the other."""
        end = asyncio.get_running_loop().time() + MADE_S
        while (facts := await self.facts()) is None or not facts.led:
            if asyncio.get_running_loop().time() > end:
                raise StoreUnavailable(
                    f"{self.name} was made, and is not there after {MADE_S:g} s: try again"
                )
            await asyncio.sleep(LOOK_AGAIN_S)
        return facts

    def _facts(self) -> TopicFacts | None:
        try:
            asked = self._admin.describe_topics(TopicCollection([self.name]), request_timeout=ASK_S)
            described = _wait(asked[self.name])
            resource = ConfigResource(ConfigResource.Type.TOPIC, self.name)
            config = _wait(self._admin.describe_configs([resource], request_timeout=ASK_S)[resource])
        except KafkaException as error:
            if error.args[0].code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
                return None
            raise self._meaning(error) from None
        return TopicFacts(
            id=str(described.topic_id),
            partitions=len(described.partitions),
            led=all(one.leader is not None and one.leader.id >= 0 for one in described.partitions),
            copies=min((len(one.replicas) for one in described.partitions), default=0),
            min_insync=int(config["min.insync.replicas"].value),
            cleanup=config["cleanup.policy"].value,
            retention_ms=int(config["retention.ms"].value),
            max_bytes=int(config["max.message.bytes"].value) if "max.message.bytes" in config else None,
        )

    def _make(self, shards: int, *, trial: bool = False) -> None:
        """`trial`: the brokers only say whether they would."""
        try:
            brokers = len(_wait(self._admin.describe_cluster(request_timeout=ASK_S)).nodes)
            copies = min(COPIES, brokers)
            settings = {
                "cleanup.policy": "delete",
                "retention.ms": str(RETENTION_MS),
                "min.insync.replicas": str(max(1, copies - 1)),
            }
            new = NewTopic(self.name, shards, copies, config=settings)
            asked = self._admin.create_topics(
                [new], operation_timeout=ASK_S, request_timeout=ASK_S, validate_only=trial
            )
            _wait(asked[self.name])
        except KafkaException as error:
            if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                raise self._meaning(error) from None


class SameTopic:
    """Whether the topic is still the one that positions are of, as `ConsumerThread` asks."""

    def __init__(self, open_topic: Callable[[], Topic], known_id: str) -> None:
        """`open_topic`: with a client of its own, which is replaced where it reaches no broker.

        Raises SettingsError, SecretUnresolved.
        """
        self._open = open_topic
        self._topic = open_topic()
        self._known_id = known_id
        self._cut_off = CutOff()
        self._asking: asyncio.Task[None] | None = None
        self._say = Seldom("topic_not_checked")

    async def check(self) -> None:
        """Raises LogGap where it was made anew, and StoreUnavailable where nobody can say. All who ask at once are
        answered by one question.
        """
        if self._asking is None:
            self._asking = asyncio.create_task(self._ask(), name="ask-topic")
            self._asking.add_done_callback(self._answered)
        await asyncio.shield(self._asking)

    def _answered(self, asked: asyncio.Task[None]) -> None:
        self._asking = None
        if not asked.cancelled():
            asked.exception()  # whoever asked may have gone

    async def _ask(self) -> None:
        try:
            found = await self._topic.id()
        except (SettingsError, StoreUnavailable) as error:
            self._say(error.code, message=str(error))
            if self._cut_off.too_long():
                self._begin_anew()
            raise StoreUnavailable(str(error)) from None
        self._cut_off.reached()
        if found is None:
            self._say("none", message=f"there is no topic {self._topic.name}")
            raise StoreUnavailable(f"kafka: there is no topic {self._topic.name}")
        if _is_another(self._known_id, found):
            raise LogGap(
                f"{self._topic.name} was made anew: positions in the store mean nothing there, so the shard stops"
            )

    def _begin_anew(self) -> None:
        log.warning("kafka_client_replaced", client="admin", topic=self._topic.name)
        try:
            self._topic = self._open()
        except (SettingsError, SecretUnresolved) as error:
            # A file that another one replaces just now: it is tried again.
            log.error("kafka_client_not_replaced", message=str(error))


def _is_another(known_id: str, found_id: str) -> bool:
    """Where brokers give topics no ids, or have begun to, nobody can say."""
    return NO_TOPIC_ID not in {known_id, found_id} and known_id != found_id


def _wait(answer: Future[Any]) -> Any:
    return answer.result(2 * ASK_S)


def _meaning(topic: str, failed: KafkaException) -> SettingsError | StoreUnavailable:
    error: KafkaError = failed.args[0]
    if error.code() in _REFUSED:
        return SettingsError(
            f"kafka: {topic}: {error.str()}: the user of kafka.options needs the right to describe it, and to "
            "make it where it does not exist (it may be made by hand: a partition for each shard)"
        )
    return StoreUnavailable(f"kafka: {topic}: {error.str()}")


_HAS_MEMBERS: Final = (
    ConsumerGroupState.PREPARING_REBALANCING,
    ConsumerGroupState.COMPLETING_REBALANCING,
    ConsumerGroupState.STABLE,
)
_PASSING: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._TIMED_OUT,  # noqa: SLF001 - a public constant
    }
)
_NOT_LET_IN: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 - a public constant
        KafkaError.SASL_AUTHENTICATION_FAILED,
    }
)
_REFUSED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.POLICY_VIOLATION,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.INVALID_PARTITIONS,
    }
)
