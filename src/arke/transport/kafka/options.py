"""Options of librdkafka: those of the user as they are, defaults beneath them, and those that are ours."""

from __future__ import annotations

import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Any, Final

import msgspec

from arke.delivery.secrets import resolve_secret
from arke.errors import InvalidInput, SecretUnresolved, SettingsError
from arke.kafka_options import check_options
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Value = str | int | float | bool

log = get_logger("kafka")

_SHARED: Final[dict[str, Value]] = {
    "client.id": "arke",
    "reconnect.backoff.ms": 50,
    "reconnect.backoff.max.ms": 500,
    "topic.metadata.refresh.interval.ms": 60_000,
}
_PRODUCER: Final[dict[str, Value]] = {
    "linger.ms": 2,  # events were packed before
    "delivery.timeout.ms": 60_000,  # longer than brokers take to replace one of them
    "request.timeout.ms": 5_000,
    "retry.backoff.ms": 50,
}
_OURS_PRODUCER: Final[dict[str, Value]] = {"acks": "all", "enable.idempotence": True}
_CONSUMER: Final[dict[str, Value]] = {
    "session.timeout.ms": 6_000,  # the shortest that brokers grant unless they are set otherwise
    "heartbeat.interval.ms": 1_000,
    "max.poll.interval.ms": 300_000,
    "fetch.wait.max.ms": 50,
    "queued.min.messages": 1_000,
    "queued.max.messages.kbytes": 32_768,
}
_SOURCE: Final[dict[str, Value]] = {
    "topic.metadata.refresh.interval.ms": 10_000,  # others make the topic, and more partitions of it
}
_OURS_CONSUMER: Final[dict[str, Value]] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "group.protocol": "classic",
    "partition.assignment.strategy": "cooperative-sticky",
}
_ONLY_PRODUCER: Final = (
    "linger.ms",
    "batch.size",
    "batch.num.messages",
    "compression.",
    "delivery.timeout.ms",
)
_ONLY_CONSUMER: Final = (
    "session.timeout.ms",
    "heartbeat.interval.ms",
    "max.poll.",
    "fetch.",
    "queued.",
    "group.",
    "isolation.level",
)

TOKEN_TIMEOUT_S: Final = 10.0
TOKEN_LIFE_S: Final = 300.0


class KafkaOptions(msgspec.Struct, frozen=True):
    """`prefix` names topic and group. `options` are librdkafka's; a text value may be a reference to a secret.
    `token_command` prints a bearer token and, after white space, for how many seconds it is good (300 unless it
    says); it is run again before that.
    """

    prefix: str
    options: dict[str, Value]
    token_command: str = ""

    @property
    def topic(self) -> str:
        return f"{self.prefix}-events"

    @property
    def setting(self) -> str:
        return "kafka.options"

    @property
    def group(self) -> str:
        return self.prefix

    def producer(self) -> dict[str, Any]:
        """Raises SettingsError, SecretUnresolved, as all three do."""
        return {**_SHARED, **_PRODUCER, **self._own(without=_ONLY_CONSUMER), **_OURS_PRODUCER}

    def consumer(self) -> dict[str, Any]:
        ours = {**_OURS_CONSUMER, "group.id": self.group}
        return {**_SHARED, **_CONSUMER, **self._own(without=_ONLY_PRODUCER), **ours}

    def admin(self) -> dict[str, Any]:
        return {**_SHARED, **self._own(without=(*_ONLY_CONSUMER, *_ONLY_PRODUCER))}

    def _own(self, without: tuple[str, ...]) -> dict[str, Any]:
        check(self.options)
        return _own(self.options, self.token_command, without)


class SourceOptions(msgspec.Struct, frozen=True):
    """A topic of others, read in a consumer group. The rest as in `KafkaOptions`."""

    topic: str
    group: str
    options: dict[str, Value]
    token_command: str = ""

    @property
    def setting(self) -> str:
        return "intake.kafka.options"

    def consumer(self) -> dict[str, Any]:
        """Raises SettingsError, SecretUnresolved, as `admin` does."""
        own = _own(self.options, self.token_command, without=_ONLY_PRODUCER)
        return {**_SHARED, **_CONSUMER, **_SOURCE, **own, **_OURS_CONSUMER, "group.id": self.group}

    def admin(self) -> dict[str, Any]:
        own = _own(self.options, self.token_command, without=(*_ONLY_CONSUMER, *_ONLY_PRODUCER))
        return {**_SHARED, **own}


def _own(options: Mapping[str, Value], token_command: str, without: tuple[str, ...]) -> dict[str, Any]:
    own: dict[str, Any] = {
        name: _resolved(name, value) for name, value in options.items() if not name.startswith(without)
    }
    if token_command:
        own["oauth_cb"] = _token_from(token_command)
    return own


def check(options: Mapping[str, Value]) -> None:
    """Raises SettingsError for an option that is ours, or where nothing says which brokers."""
    try:
        check_options(options)
    except InvalidInput as error:
        raise SettingsError(f"kafka.options: {error}") from None
    if not {"bootstrap.servers", "metadata.broker.list"} & options.keys():
        raise SettingsError('kafka.options: "bootstrap.servers" has to say where the brokers are')


def _resolved(name: str, value: Value) -> Value:
    if isinstance(value, str) and value.startswith(("env:", "file:")):
        try:
            return resolve_secret(value)
        except SecretUnresolved as error:
            raise SecretUnresolved(f"{name}: {error}") from None
    return value


def _token_from(command: str) -> Callable[[str], tuple[str, float]]:
    """What librdkafka calls for a token; it asks again once 80 % of its life are over, or 10 s after an error."""
    words = shlex.split(command)

    def token(_: str) -> tuple[str, float]:
        now = time.time()
        try:
            ran = subprocess.run(words, capture_output=True, text=True, timeout=TOKEN_TIMEOUT_S, check=True)  # noqa: S603 - the operator's
            value, life_s = _parsed(ran.stdout)
        except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
            log.error("token_command_failed", error=type(error).__name__)
            raise
        return value, now + life_s

    return token


def _parsed(printed: str) -> tuple[str, float]:
    """`TOKEN [SECONDS]`. Raises ValueError, IndexError."""
    words = printed.split()
    return words[0], float(words[1]) if len(words) > 1 else TOKEN_LIFE_S
