"""What the simulators read: the commands that they obey, workloads that others submit, and where the log ends.

Plain assignments without a consumer group: every start reads the two control topics from their beginning.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from statistics import median_high
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, OffsetSpec  # type: ignore[attr-defined]

from schemas import metric
from schemas.catalog import TOPICS, Topic, topic
from schemas.codec import Codec, UndecodableError
from schemas.registry import Registry, RegistryUnavailableError
from simulators.error import MissingTopicError
from simulators.timeline import DAY_MS, to_ms

WORKER = "simulator"
COMMANDS = topic("allocations.commands")
REQUESTS = topic("workloads.requests")
DECISIONS = topic("allocations.decisions")

_TIMEOUT_S = 10.0
_SHORT_S = 0.05
_BATCH = 500
_PACED_TOPICS = ("telemetry.asic", "telemetry.gpu", "market.ticks")
# The newest records of a partition may be markers of transactions or not decode; so many are looked through.
_LOOK_BACK = 50
_PARTITION_EOF = KafkaError._PARTITION_EOF  # noqa: SLF001 - librdkafka's local codes have no other name
_TIMED_OUT = KafkaError._TIMED_OUT  # noqa: SLF001


@dataclass(frozen=True, slots=True)
class Backlog:
    """The control topics up to their end: commands and requests, each in order of the log."""

    commands: tuple[Any, ...]
    requests: tuple[Any, ...]


class Feed:
    """A reader of the control topics. `backlog` comes first, then `poll`. Used by one thread.

    `has_decisions`: decisions made from then on are polled too.
    """

    def __init__(self, kafka: Mapping[str, Any], registry: Registry, *, has_decisions: bool = False) -> None:
        self._has_decisions = has_decisions
        self._codec = Codec(registry)
        self._admin = AdminClient({**kafka, "log_level": 3})
        self._consumer = Consumer(
            {
                **kafka,
                "group.id": "hcp-simulator",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "isolation.level": "read_committed",
                "enable.partition.eof": True,
                # How long an empty fetch stays at the broker, and so how long it takes to see the end of a log.
                "fetch.wait.max.ms": 100,
                "log_level": 3,
            }
        )
        self._unread: deque[Message] = deque()
        # Up to which offset each partition of the commands has been read: markers of transactions are no messages.
        self._ended: dict[int, int] = {}
        self.undecodable = 0
        """Messages on the control topics that are no events; they are passed over."""

    def close(self) -> None:
        """Ends the connection."""
        self._consumer.close()

    def require_topics(self) -> None:
        """Raises MissingTopicError where one of the contract does not exist, KafkaException where no broker answers."""
        there = self._consumer.list_topics(timeout=_TIMEOUT_S).topics
        missing = sorted(entry.name for entry in TOPICS if entry.name not in there)
        if missing:
            raise MissingTopicError(f"there are no topics {', '.join(missing)}: `hcp schemas register` creates them")

    def newest_event_ms(self, not_after_ms: int | None) -> int | None:
        """Returns the newest event time of what simulators paced, None for an empty log.

        Events after `not_after_ms`, where it is given, are not ours: somebody dated them ahead of the wall clock. Nor
        are those that are a day ahead of most: their device has a wrong clock.
        """
        ends = [self._near_end(topic(name), p) for name in _PACED_TOPICS for p in range(topic(name).partitions)]
        filled = [end for end in ends if end is not None]
        if not filled:
            return None
        self._consumer.assign(filled)
        times = [to_ms(getattr(event, topic(name).time_field)) for name, event in self._until_end(len(filled))]
        times = [at_ms for at_ms in times if not_after_ms is None or at_ms <= not_after_ms]
        if not times:
            return None
        latest_ms = median_high(times) + DAY_MS
        return max(at_ms for at_ms in times if at_ms <= latest_ms)

    def backlog(self) -> Backlog:
        """Returns all of the control topics up to their present end; `poll` goes on from there."""
        partitions = [
            TopicPartition(entry.name, partition, OFFSET_BEGINNING)
            for entry in (COMMANDS, REQUESTS)
            for partition in range(entry.partitions)
        ]
        if self._has_decisions:
            partitions += [TopicPartition(DECISIONS.name, p, OFFSET_END) for p in range(DECISIONS.partitions)]
        self._consumer.assign(partitions)
        found = list(self._until_end(len(partitions)))
        return Backlog(
            tuple(event for name, event in found if name == COMMANDS.name),
            tuple(event for name, event in found if name == REQUESTS.name),
        )

    def poll(self) -> list[Any]:
        """Returns the events that have come since, in the order that they were read; does not wait.

        Where a message has a new schema and the registry is away, it and those after it stay for the next call.
        """
        return self._events(0)

    def poll_to_end(self) -> list[Any]:
        """Returns the events up to the end of the commands as it is now; waits for them while the broker answers.

        Those of transactions that are still open are waited for too: Kafka ends a transaction partition by partition,
        so a decision can be read a moment before its commands.
        """
        events: list[Any] = []
        with suppress(KafkaException):
            places = [TopicPartition(COMMANDS.name, partition) for partition in range(COMMANDS.partitions)]
            asked = self._admin.list_offsets(
                {place: OffsetSpec.latest() for place in places},  # type: ignore[no-untyped-call]
                isolation_level=IsolationLevel.READ_UNCOMMITTED,
                request_timeout=_TIMEOUT_S,
            )
            ends = {place.partition: answer.result().offset for place, answer in asked.items()}
            deadline_s = time.monotonic() + _TIMEOUT_S
            while any(self._ended.get(p, 0) < end for p, end in ends.items()) and time.monotonic() < deadline_s:
                events += self._events(_SHORT_S)
        return events

    def _events(self, wait_s: float) -> list[Any]:
        for message in self._consumer.consume(_BATCH, wait_s):
            error = message.error()
            if error is None:
                self._unread.append(message)
            elif error.code() == _PARTITION_EOF:
                self._note_end(message)
            # Other errors are left out: a broker that is away is librdkafka's to wait for.
        events: list[Any] = []
        while self._unread:
            try:
                events += [event for _, event in self._decoded(self._unread[0])]
            except RegistryUnavailableError:
                metric.DEPENDENCY_UP.labels(WORKER, "registry").set(0)
                break
            self._unread.popleft()
        return events

    def _until_end(self, partitions: int) -> Iterator[tuple[str, Any]]:
        ended: set[tuple[str, int]] = set()
        idle = 0
        while len(ended) < partitions:
            # `consume` waits for a whole batch as long as it may, so it is given little, often.
            messages = self._consumer.consume(_BATCH, _SHORT_S)
            idle = 0 if messages else idle + 1
            if idle * _SHORT_S > _TIMEOUT_S:
                raise KafkaException(KafkaError(_TIMED_OUT))
            for message in messages:
                error = message.error()
                if error is None:
                    yield from self._decoded(message)
                elif error.code() == _PARTITION_EOF:
                    self._note_end(message)
                    ended.add((str(message.topic()), message.partition() or 0))
                else:
                    raise KafkaException(error)

    def _note_end(self, message: Message) -> None:
        if message.topic() == COMMANDS.name:
            self._ended[message.partition() or 0] = message.offset() or 0

    def _near_end(self, entry: Topic, partition: int) -> TopicPartition | None:
        low, high = self._consumer.get_watermark_offsets(TopicPartition(entry.name, partition), _TIMEOUT_S)
        return TopicPartition(entry.name, partition, max(low, high - _LOOK_BACK)) if high > low else None

    def _decoded(self, message: Message) -> Iterator[tuple[str, Any]]:
        name = str(message.topic())
        try:
            event = self._codec.decode(topic(name), message.value())
        except UndecodableError:
            self.undecodable += 1
            return
        metric.EVENTS_IN.labels(WORKER, name).inc()
        yield name, event
