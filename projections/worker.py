"""The projection worker: topics to the tables of one database, exactly once.

Protocol:
 1. On assignment the offsets of each partition are read from the database, and reading starts there; a partition that
    the database does not know starts at the oldest record that Kafka has.
 2. A batch is decoded, checked and made rows, without the database.
 3. Dead letters are produced and awaited. (A crash behind this point repeats them: at least once, told apart by the
    source offset in their headers.)
 4. One transaction moves the offsets from where this worker left them, which fails where another has moved them, and
    writes the rows. A crash before its commit changes nothing.
 5. Where the database, the broker or the registry is away, everything in memory is forgotten and 1 follows, with
    backoff: so a commit whose answer was lost is not repeated.
"""

import logging
import threading
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl
import psycopg
from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

from projections import offset_store
from projections.batch import TopicReader
from projections.error import FencedError
from projections.offset_store import Connection, Place
from projections.table import Database, Table
from projections.tables import TABLES
from projections.writer import write
from schemas import metric
from schemas.catalog import topic
from schemas.codec import Codec
from schemas.dead_letter import DeadLetter
from schemas.facility_directory import FacilityDirectory
from schemas.registry import Registry, RegistryUnavailableError

log = logging.getLogger(__name__)

BATCH = 50_000
_POLL_S = 0.1
_REQUEST_S = 10.0
_SHOW_EVERY_S = 1.0
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0, 10.0)


@dataclass(frozen=True, slots=True)
class ProjectionConfig:
    """How the worker runs.

    `kafka` has librdkafka names; `dsn` is the database's. `batch` is the most messages in one transaction, which bounds
    memory. `topics` gives topics other names, for tests.
    """

    kafka: Mapping[str, Any]
    registry_url: str
    dsn: str
    database: str
    batch: int = BATCH
    group_id: str | None = None
    tables: tuple[Table, ...] = TABLES
    topics: Mapping[str, str] | None = None

    @property
    def worker(self) -> str:
        """Name of the consumer group, the offsets and the metrics."""
        return self.group_id or f"project-{self.database}"


def run(config: ProjectionConfig, stop: threading.Event) -> None:
    """Runs until `stop` is set; waits with backoff while a dependency is away. A stop finishes the batch in hand."""
    registry = Registry(config.registry_url)
    failures = 0
    while not stop.is_set():
        session: ProjectionSession | None = None
        try:
            session = ProjectionSession(config, registry)
            while not stop.is_set():
                session.step()
                failures = 0
        except FencedError as error:
            log.warning("%s", error)
        except (KafkaException, RegistryUnavailableError, psycopg.OperationalError) as error:
            wait_s = _BACKOFF_S[min(failures, len(_BACKOFF_S) - 1)]
            failures += 1
            metric.DEPENDENCY_UP.labels(config.worker, _dependency(error)).set(0)
            log.warning("starting again from the stored offsets in %.1f s: %s", wait_s, error)
            stop.wait(wait_s)
        finally:
            if session is not None:
                session.close()
    registry.close()


def _dependency(error: Exception) -> str:
    match error:
        case KafkaException():
            return "kafka"
        case RegistryUnavailableError():
            return "registry"
        case _:
            return "database"


class ProjectionSession:
    """One connection with one consumer. Any error out of it means: close it and make another."""

    def __init__(self, config: ProjectionConfig, registry: Registry) -> None:
        self._config = config
        self._worker = config.worker
        database = Database(config.database)
        self._tables = [table for table in config.tables if table.database is database]
        names = config.topics or {}
        wanted = sorted({name for table in self._tables for name in table.sources})
        self._source_of = {names.get(name, name): name for name in wanted}
        self._codec = Codec(registry)
        self._connection: Connection = psycopg.connect(config.dsn, autocommit=True, connect_timeout=10)
        self._facilities = FacilityDirectory(config.kafka, self._codec)
        self._readers = {
            name: TopicReader(topic(source), registry, self._worker, self._known_facilities)
            for name, source in self._source_of.items()
        }
        self._next: dict[Place, int] = {}
        self._failure: Exception | None = None
        self._shown_at = 0.0
        self._pace_ms: dict[str, float] = {}
        self._producer = Producer(
            {**config.kafka, "enable.idempotence": True, "compression.type": "lz4", "logger": log}
        )
        self._consumer = Consumer(
            {
                **config.kafka,
                "group.id": self._worker,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "isolation.level": "read_committed",
                "partition.assignment.strategy": "cooperative-sticky",
                "session.timeout.ms": 10_000,
                "fetch.wait.max.ms": 50,
                "queued.max.messages.kbytes": 65_536,
                "logger": log,
            }
        )
        self._consumer.subscribe(
            list(self._source_of), on_assign=self._assigned, on_revoke=self._revoked, on_lost=self._revoked
        )
        for dependency in ("kafka", "registry", "database"):
            metric.DEPENDENCY_UP.labels(self._worker, dependency).set(1)

    def step(self) -> None:
        """Applies what has come within a tenth of a second."""
        messages = self._consumer.consume(self._config.batch, _POLL_S)
        if self._failure is not None:
            raise self._failure
        if messages:
            with metric.PROCESSING_SECONDS.labels(self._worker).time():
                self._apply(messages)
        if time.monotonic() - self._shown_at >= _SHOW_EVERY_S:
            self._show_lag()

    def close(self) -> None:
        """Leaves the group, the broker and the database."""
        self._consumer.close()
        self._facilities.close()
        self._connection.close()

    def _apply(self, messages: list[Message]) -> None:
        by_topic: dict[str, list[Message]] = {}
        following: dict[Place, int] = {}
        for message in messages:
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            place = (message.topic() or "", message.partition() or 0)
            if place not in self._next:
                continue  # revoked while the batch was on its way
            by_topic.setdefault(place[0], []).append(message)
            following[place] = (message.offset() or 0) + 1
        rows: list[tuple[Table, pl.DataFrame]] = []
        dead: list[DeadLetter] = []
        for name, batch in by_topic.items():
            read = self._readers[name].read(batch)
            dead += read.dead
            source = self._source_of[name]
            rows += [(table, table.sources[source](read.frame)) for table in self._tables if source in table.sources]
            self._observe(name, read.frame)
        self._bury(dead)
        self._commit(rows, following)
        for name, batch in by_topic.items():
            metric.EVENTS_IN.labels(self._worker, name).inc(len(batch))
        for letter in dead:
            metric.DEAD_LETTERS.labels(self._worker, letter.topic, letter.stage).inc()

    def _bury(self, dead: list[DeadLetter]) -> None:
        # Step 3.
        for letter in dead:
            while True:
                try:
                    self._producer.produce(letter.target, letter.value, letter.key, headers=letter.headers)
                except BufferError:
                    self._producer.poll(0.1)
                else:
                    break
        if dead and self._producer.flush(_REQUEST_S) > 0:
            raise psycopg.OperationalError("dead letters are not acknowledged")

    def _commit(self, rows: list[tuple[Table, pl.DataFrame]], following: dict[Place, int]) -> None:
        # Step 4. The offsets go first: a worker that has been overtaken stops before it writes.
        started = time.monotonic()
        with self._connection.transaction():
            offset_store.advance(self._connection, self._worker, self._next, following)
            written = [(table, write(self._connection, table, frame)) for table, frame in rows]
        self._next.update(following)
        metric.COMMIT_SECONDS.labels(self._worker).observe(time.monotonic() - started)
        for table, count in written:
            metric.ROWS_WRITTEN.labels(self._worker, table.name).inc(count)

    def _observe(self, name: str, frame: pl.DataFrame) -> None:
        if frame.is_empty():
            return
        times = frame[topic(self._source_of[name]).time_field].dt.epoch("ms")
        newest, oldest = times.max(), times.min()
        assert isinstance(newest, int)
        assert isinstance(oldest, int)
        metric.EVENT_TIME.labels(self._worker, name).set(newest / 1000)
        self._pace_ms[name] = (newest - oldest) / len(frame)

    def _show_lag(self) -> None:
        self._shown_at = time.monotonic()
        seconds: dict[str, float] = dict.fromkeys(self._source_of, 0.0)
        for (name, partition), position in self._next.items():
            _, high = self._consumer.get_watermark_offsets(TopicPartition(name, partition), cached=True)
            lag = max(0, high - self._reached(name, partition, position)) if high >= 0 else 0
            metric.LAG_EVENTS.labels(self._worker, name, partition).set(lag)
            seconds[name] = max(seconds[name], lag * self._pace_ms.get(name, 0.0) / 1000)
        for name, lag_s in seconds.items():
            metric.LAG_SECONDS.labels(self._worker, name).set(lag_s)

    def _reached(self, name: str, partition: int, position: int) -> int:
        # Transaction markers take offsets too, which the consumer has passed though no record of them was applied.
        passed = self._consumer.position([TopicPartition(name, partition)])[0].offset
        return max(position, passed)

    def _known_facilities(self, wanted: Collection[str]) -> Collection[str]:
        if not self._facilities.known.issuperset(wanted):
            self._facilities.refresh()
        return self._facilities.known

    def _assigned(self, consumer: Consumer, assigned: list[TopicPartition]) -> None:
        # Step 1. An exception here would be lost in the client's callback.
        try:
            places = [(place.topic, place.partition) for place in assigned]
            stored = offset_store.read(self._connection, self._worker, places)
            starts = {
                place: consumer.get_watermark_offsets(TopicPartition(*place), _REQUEST_S)[0]
                for place in places
                if place not in stored
            }
            offset_store.ensure(self._connection, self._worker, starts)
            stored = offset_store.read(self._connection, self._worker, places)
        except (psycopg.Error, KafkaException) as error:
            self._failure = error
            return
        self._next.update(stored)
        consumer.incremental_assign([TopicPartition(*place, offset) for place, offset in stored.items()])

    def _revoked(self, _consumer: Consumer, revoked: list[TopicPartition]) -> None:
        # Nothing is in hand between two steps, so there is nothing to save.
        for place in revoked:
            self._next.pop((place.topic, place.partition), None)
            metric.LAG_EVENTS.labels(self._worker, place.topic, place.partition).set(0)
