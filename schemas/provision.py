"""Makes the broker and the registry ready for the contract: topics with their settings, schemas with their gate."""

import time
from collections.abc import Iterable, Mapping
from typing import Any

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient, NewTopic, TopicMetadata  # type: ignore[attr-defined]

from schemas.catalog import DAY_MS, DEAD_LETTER_MAX_BYTES, TOPICS, Topic
from schemas.registry import Incompatibility, Registry

_TIMEOUT_S = 30.0
_POLL_S = 0.05


class ProvisionError(Exception):
    """The broker refused to create a topic; the message carries its reason."""


def create_topics(kafka: Mapping[str, Any], replication_factor: int = 1, topics: Iterable[Topic] = TOPICS) -> list[str]:
    """Creates the topics that are missing, each with its dead-letter topic; returns the names created, sorted.

    Topics that exist stay as they are. Raises ProvisionError.
    """
    wanted: dict[str, NewTopic] = {}
    for topic in topics:
        dead = {
            "cleanup.policy": "delete",
            "retention.ms": str(30 * DAY_MS),
            "max.message.bytes": str(DEAD_LETTER_MAX_BYTES),
        }
        wanted[topic.name] = NewTopic(topic.name, topic.partitions, replication_factor, config=topic.config)
        wanted[topic.dead_letter_topic] = NewTopic(topic.dead_letter_topic, 1, replication_factor, config=dead)
    admin = AdminClient(dict(kafka))
    try:
        existing = admin.list_topics(timeout=_TIMEOUT_S).topics
        missing = [topic for name, topic in wanted.items() if name not in existing]
        futures = admin.create_topics(missing, operation_timeout=_TIMEOUT_S) if missing else {}
        for name, future in futures.items():
            try:
                future.result(_TIMEOUT_S)
            except KafkaException as error:
                if error.args[0].code() != KafkaError.TOPIC_ALREADY_EXISTS:
                    raise ProvisionError(f"topic {name} cannot be created: {error}") from error
        _await_leaders(admin, futures)
    except KafkaException as error:
        raise ProvisionError(f"the broker does not answer: {error}; is it up (`hcp status`)?") from error
    return sorted(futures)


def _await_leaders(admin: AdminClient, names: Iterable[str]) -> None:
    """Waits until each partition has a leader: the broker answers a creation before it leads what was created."""
    deadline_s = time.monotonic() + _TIMEOUT_S
    waiting = set(names)
    while waiting:
        there = admin.list_topics(timeout=_TIMEOUT_S).topics
        led = {name for name in waiting if name in there and _is_led(there[name])}
        waiting -= led
        if waiting and time.monotonic() > deadline_s:
            raise ProvisionError(f"no leader for {', '.join(sorted(waiting))} after {_TIMEOUT_S:.0f} s")
        if waiting:
            time.sleep(_POLL_S)


def _is_led(topic: TopicMetadata) -> bool:
    return bool(topic.partitions) and all(p.leader >= 0 and p.error is None for p in topic.partitions.values())


def register_schemas(registry: Registry, topics: Iterable[Topic] = TOPICS) -> dict[str, int]:
    """Registers every topic's schema with its compatibility; returns the id of each subject. Repeating changes nothing.

    Raises RegistryError where a change is incompatible; nothing is registered then.
    """
    topics = tuple(topics)
    refused = check_schemas(registry, topics)
    if refused:
        raise refused[0].error()
    return {topic.subject: registry.register(topic) for topic in topics}


def check_schemas(registry: Registry, topics: Iterable[Topic] = TOPICS) -> list[Incompatibility]:
    """Returns why each schema that may not replace its registered versions may not; empty where all may."""
    verdicts = (registry.check(topic) for topic in topics)
    return [verdict for verdict in verdicts if verdict is not None]
