"""Clients of librdkafka: made from options, with their log in ours."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from arke.clock import SystemClock
from arke.errors import SettingsError
from arke.log import Throttled, get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

C = TypeVar("C")

MOST_KINDS: Final = 100
CUT_OFF_S: Final = 60.0
"""A client that has reached no broker for so long is replaced. librdkafka takes an answer that names no broker, as
one that was asleep gives it, for the truth, forgets all of them, and asks nobody any more (its issue 5301).
"""

log = get_logger("kafka")


class Seldom:
    """Warnings of one event, each kind by itself a line a minute at most: that a broker is away librdkafka says
    several times a second.
    """

    def __init__(self, event: str) -> None:
        self._event = event
        self._kinds: dict[str, Throttled] = {}

    def __call__(self, kind: str, **facts: object) -> None:
        if kind not in self._kinds:
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.clear()
            self._kinds[kind] = Throttled(log, self._event, SystemClock())
        self._kinds[kind](**facts)


class CutOff:
    """For how long a client has reached no broker, as whoever asks it finds out."""

    def __init__(self) -> None:
        self._since: float | None = None

    def reached(self) -> None:
        self._since = None

    def too_long(self) -> bool:
        """It has not, again. Once true, it begins anew."""
        now = time.monotonic()
        if self._since is None:
            self._since = now
        is_over = now - self._since >= CUT_OFF_S
        if is_over:
            self._since = None
        return is_over


class _Lines:
    """What librdkafka logs, as lines of our log: it names brokers and states, never what a message holds."""

    def __init__(self) -> None:
        self._say = Seldom("kafka_client")

    def log(self, level: int, form: str, *parts: object) -> None:
        message = form % parts
        if level < logging.WARNING:
            log.debug("kafka_client", message=message)
        else:
            what, _, _ = message.partition("]: ")  # and of which client and broker
            self._say(what, message=message)


def made(kind: Callable[..., C], config: dict[str, Any], setting: str = "kafka.options") -> C:
    """A client. Raises SettingsError for an option, of this setting, that librdkafka does not know or take."""
    try:
        return kind({**config, "logger": _Lines()})
    except (KafkaException, TypeError, ValueError) as error:
        detail = error.args[0]
        text = detail.str() if isinstance(detail, KafkaError) else detail
        raise SettingsError(f"{setting}: {text}") from None
