"""One member of a consumer group whose output and progress are one Kafka transaction, until its first failure.

Protocol, in the order that makes it exactly once:
 1. On assignment each partition's committed offset is fetched with its metadata, and reading starts there: at the
    oldest record of a window that was open.
 2. Batches are folded into windows in memory; windows that close, and records that are refused, wait to be written.
 3. A transaction writes the windows and the dead letters, and commits for each partition that moved the offset of the
    oldest record in an open window, with the end of the newest closed window and the position as metadata.
 4. When a partition is revoked, what is in hand is written first; its next owner starts at 1.
 5. Where a transaction aborts, everything in memory is forgotten and all partitions start at 1.
A worker that was thought dead can commit nothing: its transaction is fenced by its id (a restart with the same instance
number) or by the group's generation (KIP-447). A restart aborts at once what its predecessor left open.
"""

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition

from schemas import metric
from schemas.catalog import DEAD_LETTER_MAX_BYTES
from schemas.codec import Codec
from schemas.columnar import ColumnarDecoder
from schemas.dead_letter import DeadLetter
from schemas.facility_directory import FacilityDirectory
from schemas.log_position import group_reset, resumed
from schemas.registry import Registry
from streams.domain.window import WindowPolicy
from streams.rollup.partition import WORKER, PartitionRollup, parse_metadata

if TYPE_CHECKING:
    from streams.rollup.worker import RollupConfig

log = logging.getLogger(__name__)

_POLL_S = 0.2
_COMMIT_EVERY_S = 1.0
_TRANSACTION_TIMEOUT_MS = 30_000
_REQUEST_S = 10.0

Place = tuple[str, int]


@dataclass(slots=True)
class _Pending:
    """What the next transaction writes."""

    events: list[Any] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    windows: Counter[str] = field(default_factory=Counter)
    late: Counter[str] = field(default_factory=Counter)
    copies: Counter[str] = field(default_factory=Counter)
    moved: set[Place] = field(default_factory=set)


class RollupSession:
    """One transactional producer with one consumer. Any KafkaException out of it means: close it and make another."""

    def __init__(self, config: "RollupConfig", registry: Registry) -> None:
        self._config = config
        self._sources = {source.topic.name: source for source in config.sources}
        self._policy = WindowPolicy(config.window_s * 1000, config.grace_s * 1000)
        self._output = config.output
        self._codec = Codec(registry)
        self._decoders = {
            name: ColumnarDecoder(source.topic, registry, source.aggregation.columns)
            for name, source in self._sources.items()
        }
        self._partitions: dict[Place, PartitionRollup] = {}
        self._pending = _Pending()
        self._committed_at = time.monotonic()
        self._broken: KafkaException | None = None
        self._closing = False
        registry.schema_id(self._output)
        self._facilities = FacilityDirectory(config.kafka, self._codec)
        self._producer = Producer(
            {
                **config.kafka,
                "transactional.id": f"{config.group_id}-{config.instance}",
                "transaction.timeout.ms": _TRANSACTION_TIMEOUT_MS,
                "linger.ms": 5,
                "compression.type": "lz4",
                # The agents find a facility's windows by the Java clients' partitioner.
                "partitioner": "murmur2_random",
                "message.max.bytes": DEAD_LETTER_MAX_BYTES,
                "logger": log,
            }
        )
        self._producer.init_transactions(_REQUEST_S)
        self._consumer = Consumer(
            {
                **config.kafka,
                "group.id": config.group_id,
                "enable.auto.commit": False,
                # Where to begin is always said: see `schemas.log_position`.
                "auto.offset.reset": "error",
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 6_000,  # so long is a partition without an owner after a kill -9
                "heartbeat.interval.ms": 1_500,
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 65_536,
                "logger": log,
            }
        )
        self._consumer.subscribe(
            list(self._sources), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._lost
        )
        for dependency in ("kafka", "registry"):
            metric.DEPENDENCY_UP.labels(WORKER, dependency).set(1)

    def step(self) -> None:
        """Handles what has come within a fifth of a second, and writes what is due. Raises KafkaException."""
        if self._broken is not None:
            raise self._broken
        messages = self._consumer.consume(self._config.batch, _POLL_S)
        if messages:
            with metric.PROCESSING_SECONDS.labels(WORKER).time():
                self._handle(messages)
        due = time.monotonic() - self._committed_at >= _COMMIT_EVERY_S
        if self._pending.events or self._pending.dead or (due and self._pending.moved):
            self._commit()
        if due:
            self._show_lag()

    def finish(self) -> None:
        """Writes what is still to be written."""
        if self._pending.moved:
            self._commit()

    def close(self) -> None:
        """Leaves the group and the broker."""
        self._closing = True
        self._consumer.close()
        self._facilities.close()

    def _handle(self, messages: list[Message]) -> None:
        by_place: dict[Place, list[Message]] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            by_place.setdefault((message.topic(), message.partition()), []).append(message)  # type: ignore[arg-type]
        for place, batch in by_place.items():
            partition = self._partitions.get(place)
            if partition is None:
                continue  # revoked while the batch was on its way
            name = place[0]
            handled = partition.handle(batch)
            pending = self._pending
            pending.events += handled.events
            pending.dead += handled.dead
            pending.moved.add(place)
            pending.windows[name] += len(handled.events)
            pending.late[name] += handled.late
            pending.copies[name] += handled.copies
            metric.EVENTS_IN.labels(WORKER, name).inc(len(batch))
            if partition.stream_time_ms is not None:
                metric.EVENT_TIME.labels(WORKER, name).set(partition.stream_time_ms / 1000)

    def _commit(self) -> None:
        pending, producer = self._pending, self._producer
        started = time.monotonic()
        producer.begin_transaction()
        try:
            for event in pending.events:
                key: str = getattr(event, self._output.key_field)
                self._produce(self._output.name, key.encode(), self._codec.encode(self._output, event))
            for letter in pending.dead:
                self._produce(letter.target, letter.key, letter.value, letter.headers)
            offsets = []
            for name, partition in sorted(pending.moved):
                offset, metadata = self._partitions[name, partition].committable()
                offsets.append(TopicPartition(name, partition, offset, metadata))
            producer.send_offsets_to_transaction(offsets, self._consumer.consumer_group_metadata(), _REQUEST_S)
            self._commit_transaction()
        except KafkaException as error:
            if not error.args[0].fatal():
                producer.abort_transaction(_REQUEST_S)
            raise
        self._committed_at = time.monotonic()
        metric.COMMIT_SECONDS.labels(WORKER).observe(self._committed_at - started)
        self._count(pending)
        self._pending = _Pending()

    def _commit_transaction(self) -> None:
        # Whether a commit that timed out took effect is unknown; librdkafka lets it be asked again until it is known.
        deadline = time.monotonic() + _TRANSACTION_TIMEOUT_MS / 1000
        while True:
            try:
                self._producer.commit_transaction(_REQUEST_S)
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > deadline:
                    raise
            else:
                return

    def _produce(self, name: str, key: bytes | None, value: bytes | None, headers: Any = None) -> None:
        while True:
            try:
                self._producer.produce(name, value, key, headers=headers)
            except BufferError:
                self._producer.poll(0.1)
            else:
                return

    def _count(self, pending: _Pending) -> None:
        metric.EVENTS_OUT.labels(WORKER, self._output.name).inc(len(pending.events))
        counted = {
            metric.WINDOWS: pending.windows, metric.LATE_EVENTS: pending.late, metric.COPIED_EVENTS: pending.copies,
        }  # fmt: skip
        for counter, counts in counted.items():
            for name, count in counts.items():
                counter.labels(WORKER, name).inc(count)
        for letter in pending.dead:
            metric.DEAD_LETTERS.labels(WORKER, letter.topic, letter.stage).inc()

    def _show_lag(self) -> None:
        seconds: dict[str, float] = dict.fromkeys(self._sources, 0.0)
        for (name, number), partition in self._partitions.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(name, number), cached=True)
            lag = max(0, high - partition.position) if high >= 0 else 0
            metric.LAG_EVENTS.labels(WORKER, name, number).set(lag)
            seconds[name] = max(seconds[name], lag * partition.ms_per_event / 1000)
        for name, lag_s in seconds.items():
            metric.LAG_SECONDS.labels(WORKER, name).set(lag_s)

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        found = consumer.committed(assigned, _REQUEST_S)
        for place in found:
            if place.error is not None:
                raise KafkaException(place.error)
            source = self._sources[place.topic]
            # An offset without what the rollup commits beside it was set by a person: windows begin anew there.
            resume = parse_metadata(place.metadata)
            bounds = consumer.get_watermark_offsets(place, _REQUEST_S)
            name, group_id = (place.topic, place.partition), self._config.group_id
            next_offset = place.offset if place.offset >= 0 else bounds[0]
            place.offset = resumed(WORKER, name, next_offset, bounds, mend=group_reset(group_id, name))
            self._partitions[place.topic, place.partition] = PartitionRollup(
                source=source,
                partition=place.partition,
                policy=self._policy,
                max_ahead_ms=self._config.max_ahead_s * 1000,
                decoder=self._decoders[place.topic],
                known_facilities=self._facilities.knowing,
                committed=None if resume is None else (place.offset, resume),
            )
        consumer.incremental_assign([TopicPartition(p.topic, p.partition, p.offset) for p in found])

    def _revoked(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        # Step 4. The group still counts us in, so what is in hand can be written; where it can't, step 5.
        try:
            if self._pending.moved and not self._closing:
                self._commit()
        except KafkaException as error:
            self._broken = error
        self._forget(revoked)

    def _lost(self, _consumer: Consumer, lost: list[TopicPartition]) -> None:
        # The group has given the partitions away already: what is in hand may be another's by now.
        self._broken = KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "the group went on without this worker"))
        self._forget(lost)

    def _forget(self, places: list[TopicPartition]) -> None:
        for place in places:
            self._partitions.pop((place.topic, place.partition), None)
