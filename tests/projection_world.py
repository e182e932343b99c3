"""Projections of one test: databases of its own, topics of its own, and the worker as a process.

`python -m tests.projection_world BROKER REGISTRY DSN DATABASE GROUP TOPIC=NAME …` runs the worker.
"""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
from confluent_kafka import Producer
from psycopg import sql

from projections import migration
from projections.table import Database
from projections.tables import tables_of
from projections.worker import ProjectionConfig, run
from schemas import provision
from schemas.catalog import Topic, topic
from schemas.codec import Codec
from schemas.registry import Registry
from tests import sleepy_sink
from tests.running_stack import RunningStack
from tests.streams_event import facility

ROOT = Path(__file__).parent.parent
TIMEOUT_S = 120.0
"""How long a thing may take that takes a moment on an idle machine; only a failure waits so long."""
USED = (
    "telemetry.asic",
    "workloads.transitions",
    "audit.events",
    "registry.resources",
    "market.ticks",
    "grid.prices",
)


@dataclass(slots=True)
class ProjectionWorld:
    """A database of one test, and the worker that fills it from topics of its own."""

    stack: RunningStack
    codec: Codec
    topics: dict[str, Topic]
    database: str
    dsn: str
    group_id: str
    output: Path
    processes: list[subprocess.Popen[bytes]] = field(default_factory=list)
    _producer: Producer = field(init=False)

    def __post_init__(self) -> None:
        self._producer = Producer({"bootstrap.servers": self.stack.kafka, "linger.ms": 20})

    @property
    def config(self) -> ProjectionConfig:
        """How the worker runs."""
        topics = {name: entry.name for name, entry in self.topics.items()}
        return _config(
            self.stack.kafka,
            self.stack.registry_url,
            dsn=self.dsn,
            database=Database(self.database),
            group_id=self.group_id,
            topics=topics,
        )

    def start(self, sleep: str = "") -> None:
        """Starts a worker process; `sleep` names the moment at which it will fall asleep, see `tests.sleepy_sink`."""
        environment = {**os.environ, sleepy_sink.SETTING: f"{sleep}:{self._sleep_file}"} if sleep else None
        renamed = [f"{name}={entry.name}" for name, entry in self.topics.items()]
        arguments = [self.stack.kafka, self.stack.registry_url, self.dsn, self.database, self.group_id, *renamed]
        with self.output.open("ab") as out:
            command = [sys.executable, "-m", "tests.projection_world", *arguments]
            self.processes.append(subprocess.Popen(command, stdout=out, stderr=out, cwd=ROOT, env=environment))

    def fall_asleep(self) -> None:
        """Lets a worker that was started with `sleep` fall asleep at its next batch."""
        self._sleep_file.touch()

    def await_asleep(self, process: subprocess.Popen[bytes]) -> None:
        """Returns once the process is stopped."""
        deadline = time.monotonic() + TIMEOUT_S
        while psutil.Process(process.pid).status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline, f"does not fall asleep:\n{self.output.read_text()}"
            threading.Event().wait(0.02)

    @property
    def _sleep_file(self) -> Path:
        return self.output.with_suffix(".sleep")

    def end(self, how: signal.Signals) -> int:
        """Ends the oldest worker process and returns its exit status."""
        process = self.processes.pop(0)
        process.send_signal(how)
        return process.wait(TIMEOUT_S)

    def send(self, name: str, value: bytes | None, partition: int = 0, **more: Any) -> None:
        """Puts bytes on a topic; `flush` makes sure."""
        self._producer.produce(self.topics[name].name, value, b"key", partition, **more)
        self._producer.poll(0)

    def send_event(self, name: str, event: object, partition: int = 0) -> None:
        """Puts an event on a topic."""
        self.send(name, self.codec.encode(self.topics[name], event), partition)

    def flush(self) -> None:
        """Returns once the broker has everything."""
        assert self._producer.flush(TIMEOUT_S) == 0

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        """Returns the rows of a query."""
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=60) as connection:
            return connection.execute(statement.encode()).fetchall()

    def execute(self, statement: str) -> None:
        """Runs a statement without rows."""
        with psycopg.connect(self.dsn, autocommit=True, connect_timeout=60) as connection:
            connection.execute(statement.encode())

    def await_rows(
        self, statement: str, until: Callable[[list[Any]], bool], deadline_s: float = TIMEOUT_S
    ) -> list[Any]:
        """Asks again until the condition holds; the database may be away meanwhile."""
        deadline = time.monotonic() + TIMEOUT_S
        seen: Any = None
        while time.monotonic() < deadline:
            try:
                seen = self.query(statement)
                if until(seen):
                    return list(seen)
            except psycopg.OperationalError as error:
                seen = error
            threading.Event().wait(0.1)
        pytest.fail(f"not what was awaited: {seen}; the worker said:\n{self.output.read_text()}")


def _world(
    stack: RunningStack, topic_name: Callable[[str], str], output: Path, database: str, dsn: str
) -> Iterator[ProjectionWorld]:
    registry = Registry(stack.registry_url)
    topics = {name: replace(topic(name), name=topic_name(name)) for name in USED}
    facilities = topic("registry.facilities")
    kafka = {"bootstrap.servers": stack.kafka}
    provision.create_topics(kafka, topics=[*topics.values(), facilities])
    provision.register_schemas(registry, [*topics.values(), facilities])
    codec = Codec(registry)
    producer = Producer(kafka)
    producer.produce(facilities.name, codec.encode(facilities, facility()), b"Texas-1")
    assert producer.flush(TIMEOUT_S) == 0
    world = ProjectionWorld(stack, codec, topics, database, dsn, topic_name("project"), output)
    try:
        yield world
    finally:
        while world.processes:
            world.end(signal.SIGKILL)
        registry.close()


@pytest.fixture
def postgres_database(stack: RunningStack, topic_name: Callable[[str], str]) -> str:
    """DSN of a migrated Postgres database of its own."""
    name = topic_name("db").replace(".", "_")
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    dsn = stack.postgres_dsn.rpartition("/")[0] + f"/{name}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        migration.migrate(connection, migration.migrations(Database.POSTGRES))
    return dsn


@pytest.fixture
def postgres_world(
    stack: RunningStack, topic_name: Callable[[str], str], tmp_path: Path, postgres_database: str
) -> Iterator[ProjectionWorld]:
    """A migrated Postgres database of its own."""
    yield from _world(stack, topic_name, tmp_path / "worker.log", Database.POSTGRES, postgres_database)


@pytest.fixture
def timescale_world(stack: RunningStack, topic_name: Callable[[str], str], tmp_path: Path) -> Iterator[ProjectionWorld]:
    """The session's TimescaleDB, migrated: tests tell their rows apart by device."""
    with psycopg.connect(stack.metrics_dsn, autocommit=True) as connection:
        migration.migrate(connection, migration.migrations(Database.TIMESCALE))
        # The tests' readings are older than the retention, which would drop them when its job comes round.
        connection.execute(
            "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs"
            " WHERE proc_name = 'policy_retention'"
        )
    yield from _world(stack, topic_name, tmp_path / "worker.log", Database.TIMESCALE, stack.metrics_dsn)


def _main() -> None:
    kafka, registry_url, dsn, database, group_id, *renamed = sys.argv[1:]
    topics = dict(pair.split("=") for pair in renamed)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    run(_config(kafka, registry_url, dsn=dsn, database=Database(database), group_id=group_id, topics=topics), stop)


def _config(
    kafka: str, registry_url: str, *, dsn: str, database: Database, group_id: str, topics: Mapping[str, str]
) -> ProjectionConfig:
    used = tuple(
        replace(table, sources={name: rows for name, rows in table.sources.items() if name in topics})
        for table in tables_of(database)
        if set(table.sources) & set(topics)
    )
    return ProjectionConfig(
        kafka={"bootstrap.servers": kafka},
        registry_url=registry_url,
        worker=group_id,
        sink=lambda: sleepy_sink.opened(dsn, group_id),
        tables=used,
        topics=topics,
    )


if __name__ == "__main__":
    _main()
