"""The whole system as `hcp demo` runs it, small, on a stack of its own: for the tests that look at it from outside."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import psycopg
import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from deploy.local.stack import Stack
from hcp import worker_metrics
from hcp.settings import Settings
from hcp.worker_process import Workers, WorkerSpec
from projections import migration
from projections.table import Database
from schemas import provision
from schemas.catalog import topic
from schemas.codec import Codec
from schemas.events import WorkloadAction
from schemas.registry import Registry
from tests.stack_fixture import discard, parts_directory
from tests.streams_event import report

WORKERS = ("rollup", "agents", "forecast", "project-postgres", "project-timescale")
T = TypeVar("T")
DEADLINE_S = 300.0
"""How long a thing may take that takes a minute on an idle machine; only a failure waits so long."""
FLEET = ("--miners", "60", "--gpus", "48", "--speed", "60")


@dataclass(slots=True)
class DemoWorld:
    """A running system. `environment` has the HCP_* settings of a client."""

    stack: Stack
    environment: dict[str, str]
    codec: Codec
    workers: Workers
    _stop: threading.Event = field(default_factory=threading.Event)
    _watcher: threading.Thread | None = None

    @property
    def kafka(self) -> dict[str, Any]:
        """Client configuration."""
        return {"bootstrap.servers": self.environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]}

    def start(self) -> None:
        """Starts the workers; those that die are started again from now on."""
        self.workers.start()
        self._watcher = threading.Thread(target=self._watch, name="watch-workers")
        self._watcher.start()

    def close(self) -> None:
        """Stops everything and deletes it."""
        self._stop.set()
        if self._watcher is not None:
            self._watcher.join()
        self.workers.stop()
        self.codec.registry.close()
        discard(self.stack)

    def kill(self, name: str) -> None:
        """Ends a worker with SIGKILL; it is started again."""
        os.kill(self.workers.pids[name], signal.SIGKILL)

    def await_alive(self, name: str) -> None:
        """Returns once the worker runs."""
        deadline = time.monotonic() + DEADLINE_S
        while not self.workers.alive[name]:
            assert time.monotonic() < deadline, f"{name} is not started again"
            self._stop.wait(0.05)

    def committed(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yields partition and event of every committed record of a topic, up to its present end."""
        entry = topic(name)
        consumer = Consumer(
            {
                **self.kafka,
                "group.id": "verifier",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
                "isolation.level": "read_committed",
                "fetch.wait.max.ms": 10,
            }
        )
        places = [TopicPartition(name, p, 0) for p in range(entry.partitions)]
        ends = {place.partition: consumer.get_watermark_offsets(place, DEADLINE_S)[1] for place in places}
        consumer.assign(places)
        unread = {partition for partition, end in ends.items() if end}
        try:
            while unread:
                message = consumer.poll(DEADLINE_S)
                assert message is not None, f"{name}: no answer"
                partition, error = message.partition() or 0, message.error()
                if error is not None:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    unread.discard(partition)
                    continue
                offset = message.offset() or 0
                if offset < ends[partition]:
                    yield partition, self.codec.decode(entry, message.value())
                if offset >= ends[partition] - 1:
                    unread.discard(partition)
        finally:
            consumer.close()

    def query(self, database: Database, statement: str) -> list[tuple[Any, ...]]:
        """Returns the rows of a query."""
        name = "HCP_POSTGRES_DSN" if database is Database.POSTGRES else "HCP_METRICS_DSN"
        with psycopg.connect(self.environment[name], autocommit=True, connect_timeout=60) as connection:
            return connection.execute(statement.encode()).fetchall()

    def await_rows(
        self, database: Database, statement: str, until: Callable[[list[Any]], bool], deadline_s: float = DEADLINE_S
    ) -> list[Any]:
        """Asks again until the condition holds, else fails with what the workers said last."""
        return self.await_that(statement, lambda: self.query(database, statement), until, deadline_s)

    def await_without_lag(self, name: str) -> None:
        """Waits until a worker has read all that there is."""
        port = self.workers.metrics_ports[name]
        self.await_that(name, lambda: worker_metrics.read(port), lambda seen: seen.answers and not seen.lag_events)

    def await_that(
        self, what: str, look: Callable[[], T], until: Callable[[T], bool], deadline_s: float = DEADLINE_S
    ) -> T:
        """Looks again until the condition holds, else fails with what the workers said last."""
        deadline = time.monotonic() + deadline_s
        while not until(seen := look()):
            if time.monotonic() > deadline:
                said = "\n".join(f"== {n}\n{self.workers.log_file(n).read_text()[-1500:]}" for n in self.workers.alive)
                pytest.fail(f"{what}: {seen} after {deadline_s} s\n{said}")
            self._stop.wait(0.25)
        return seen

    def _watch(self) -> None:
        while not self._stop.wait(0.25):
            self.workers.watch()


@contextmanager
def running_demo(home: Path, *simulate: str) -> Iterator[DemoWorld]:
    """Starts a stack, the schemas, the tables, the workers and, where there are arguments for it, a simulator."""
    stack = Stack(home, parts_directory())
    environment = {"HCP_HOME": str(home), "HCP_PARTS_DIR": str(parts_directory())}
    try:
        environment |= stack.up().environment
        config = Settings(**{name.removeprefix("HCP_").lower(): value for name, value in environment.items()})  # type: ignore[arg-type]
        registry = Registry(config.schema_registry_url)
        provision.create_topics(config.kafka_client_config())
        provision.register_schemas(registry)
        for database, dsn in ((Database.POSTGRES, config.postgres_dsn), (Database.TIMESCALE, config.metrics_dsn)):
            with psycopg.connect(dsn.get_secret_value(), autocommit=True) as connection:
                migration.migrate(connection, migration.migrations(database))
                migration.set_reader_password(connection, config.reader_password.get_secret_value())
        specs = [WorkerSpec(name, ("worker", name)) for name in WORKERS]
        if simulate:
            specs.append(WorkerSpec("simulator", ("simulate", *simulate)))
    except BaseException:
        stack.down(wipe=True)
        raise
    world = DemoWorld(stack, environment, Codec(registry), Workers(home, specs, environment))
    try:
        world.start()
        yield world
    finally:
        world.close()


def price_file(directory: Path, start: datetime, prices: list[float]) -> Path:
    """Writes recorded prices of 5 minutes each, as a user would bring them."""
    file = directory / "prices.csv"
    rows = [f"{(start + timedelta(minutes=5 * n)).isoformat()},{price}" for n, price in enumerate(prices)]
    file.write_text("interval_start_utc,price_usd_mwh\n" + "\n".join(rows) + "\n")
    return file


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoWorld]:
    """The system at work: every table has rows, a message was undecodable, and an illegal step was refused.

    The prices of Texas-1 are a user's file: 20 USD/MWh, a spike of an hour, 20 again for longer than any session.
    """
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    prices = price_file(tmp_path_factory.mktemp("prices"), start, [20.0] * 6 + [4000.0] * 12 + [20.0] * 2000)
    replay = ("--replay", str(prices), "--replay-point", "HB_WEST")
    with running_demo(tmp_path_factory.mktemp("demo"), *FLEET, *replay) as world:
        producer = Producer({**world.kafka, "partitioner": "murmur2_random"})
        requests = topic("workloads.requests")
        now = datetime.now(UTC) - timedelta(hours=20)
        producer.produce("telemetry.asic", b"not an event", b"nobody", 0)
        world.await_rows(Database.POSTGRES, "SELECT count(*) FROM allocations", lambda rows: rows[0][0] >= 9)
        illegal = report(WorkloadAction.REPORT_STARTED, "nobody-has-this", observed_at=now)
        producer.produce(requests.name, world.codec.encode(requests, illegal), b"nobody-has-this")
        assert producer.flush(DEADLINE_S) == 0
        for table in ("workloads", "audit_logs", "customers"):
            world.await_rows(Database.POSTGRES, f"SELECT count(*) FROM {table}", lambda rows: rows[0][0] > 0)
        for table in ("metrics", "price_data", "profitability_scores", "allocation_history", "fleet_windows"):
            world.await_rows(Database.TIMESCALE, f"SELECT count(*) FROM {table}", lambda rows: rows[0][0] > 0)
        yield world
