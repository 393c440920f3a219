"""Clients of librdkafka: made from options, with their log in ours."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeVar

from confluent_kafka import KafkaError, KafkaException

from arke.errors import SettingsError
from arke.log import get_logger

if TYPE_CHECKING:
    from collections.abc import Callable

C = TypeVar("C")

log = get_logger("kafka")


class _Lines:
    """What librdkafka logs, as lines of our log: it names brokers and states, never what a message holds."""

    def log(self, level: int, form: str, *parts: object) -> None:
        say = log.error if level >= logging.ERROR else log.warning if level >= logging.WARNING else log.debug
        say("kafka_client", message=form % parts)


def made(kind: Callable[..., C], config: dict[str, Any], setting: str = "kafka.options") -> C:
    """A client. Raises SettingsError for an option, of this setting, that librdkafka does not know or take."""
    try:
        return kind({**config, "logger": _Lines()})
    except (KafkaException, TypeError, ValueError) as error:
        detail = error.args[0]
        text = detail.str() if isinstance(detail, KafkaError) else detail
        raise SettingsError(f"{setting}: {text}") from None
