"""Kills workers, databases and the broker with -9 at random moments, many times in one run, while events flow.

`python -m tests.chaos.endurance [--kills N] [--seed S]`. Afterwards the topics are projected once more, undisturbed,
into a database of their own, and every table must hold the same rows. The events are those of both databases and
three modes: readings (append), transitions of workloads (latest) and audit events (ledger), with bad ones among them.
"""

import argparse
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg
from confluent_kafka import Producer

from deploy.local.stack import Stack
from hcp.worker_process import Workers, WorkerSpec
from projections import migration, offset_store
from projections.sinks.postgres import PostgresSink
from projections.table import Database
from projections.tables import AUDIT_LOGS, METRICS, WORKLOADS
from projections.worker import ProjectionConfig, run
from schemas import provision
from schemas.catalog import topic
from schemas.codec import Codec
from schemas.events import WorkloadState, WorkloadTransition
from schemas.registry import Registry
from tests.rollup_world import reading
from tests.stack_fixture import parts_directory
from tests.streams_event import at, audit, facility, transition

WORKERS = ("project-postgres", "project-timescale")
SERVICES = ("kafka", "postgres", "timescale")
USED = ("telemetry.asic", "workloads.transitions", "audit.events")
TABLES = (METRICS, WORKLOADS, AUDIT_LOGS)
DEVICES = 40
LIMIT_S = 300.0


@dataclass(slots=True)
class Source:
    """Produces events until it is stopped, in a thread of its own; the broker may be away meanwhile."""

    kafka: str
    codec: Codec
    seed: int
    sent: Counter[str] = field(default_factory=Counter)
    stop: threading.Event = field(default_factory=threading.Event)
    undelivered: int = 0

    def __call__(self) -> None:
        """Produces a round of readings, a transition and an audit event about twenty times a second."""
        chance = random.Random(self.seed)
        producer = Producer({
            "bootstrap.servers": self.kafka, "enable.idempotence": True, "linger.ms": 5,
            "message.timeout.ms": 0, "on_delivery": self._delivered, "log_level": 0,
        })  # fmt: skip
        number = 0
        while not self.stop.wait(0.05):
            number += 1
            for device in range(DEVICES):
                # Multiples of 1/8 add up exactly in any order.
                event = reading(number * 15.0, f"d-{device}", power_w=chance.randrange(0, 32_000) / 8)
                self._put(producer, "telemetry.asic", event, device % 4)
            self._put(producer, "workloads.transitions", _transition(number, chance), 0)
            self._put(producer, "audit.events", audit(chance.randint(max(0, number - 5), number)), 0)
            if number % 50 == 0:
                producer.produce("telemetry.asic", b"not an event", b"key", 0)
            producer.poll(0)
        self.undelivered += producer.flush(60.0)

    def _put(self, producer: Producer, name: str, event: object, partition: int) -> None:
        producer.produce(name, self.codec.encode(topic(name), event), b"key", partition)
        self.sent[name] += 1

    def _delivered(self, error: Any, _message: Any) -> None:
        self.undelivered += error is not None


def _transition(number: int, chance: random.Random) -> WorkloadTransition:
    workload, version = f"wl-{number % 30}", number - chance.choice([0, 0, 0, 60])
    return transition(max(1, version), WorkloadState.RUNNING, workload, occurred_at=at(number), progress_s=number)


def main() -> int:
    """Runs and prints; returns 1 where a table differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="(default %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments and the events (default %(default)s)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hcp-endurance-") as directory:
        home = Path(directory) / "home"
        stack = Stack(home, parts_directory())
        try:
            return _run(stack, home, args.kills, args.seed)
        finally:
            stack.down(wipe=True)


def _run(stack: Stack, home: Path, kills: int, seed: int) -> int:
    up = [*SERVICES, "registry"]
    environment = {"HCP_HOME": str(home), "HCP_PARTS_DIR": str(stack.parts), **stack.up(only=up).environment}
    kafka = {"bootstrap.servers": environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]}
    registry = Registry(environment["HCP_SCHEMA_REGISTRY_URL"])
    provision.create_topics(kafka)
    provision.register_schemas(registry)
    dsns = {Database.POSTGRES: environment["HCP_POSTGRES_DSN"], Database.TIMESCALE: environment["HCP_METRICS_DSN"]}
    for database, dsn in dsns.items():
        with psycopg.connect(dsn, autocommit=True) as connection:
            migration.migrate(connection, migration.migrations(database))
    codec = Codec(registry)
    producer = Producer({**kafka, "log_level": 0})
    producer.produce("registry.facilities", codec.encode(topic("registry.facilities"), facility()), b"Texas-1")
    producer.flush(30.0)
    source = Source(kafka["bootstrap.servers"], codec, seed)
    workers = Workers(home, [WorkerSpec(name, ("worker", name)) for name in WORKERS], environment)
    thread = threading.Thread(target=source, name="source")
    workers.start()
    thread.start()
    try:
        done = _kill(stack, workers, kills, random.Random(seed))
    finally:
        source.stop.set()
        thread.join()
    print(f"killed {dict(done)}, sent {dict(source.sent)}, {source.undelivered} undelivered", flush=True)
    try:
        _await_applied(workers, kafka, dsns, {name: name for name in WORKERS})
    finally:
        workers.stop()
    undisturbed = _project_undisturbed(kafka, registry.url, dsns)
    differing = [
        table.name for table in TABLES if not _is_equal(table.name, table.columns, dsns[table.database], undisturbed)
    ]
    registry.close()
    print(f"the tables differ: {differing}" if differing else f"after {sum(done.values())} kills every table is equal")
    return 1 if differing or source.undelivered else 0


def _kill(stack: Stack, workers: Workers, kills: int, chance: random.Random) -> Counter[str]:
    """Kills, and mends as a supervisor would: services by `up`, workers by being started again."""
    done: Counter[str] = Counter()
    pause = threading.Event()
    while sum(done.values()) < kills:
        until = time.monotonic() + chance.uniform(0.2, 3.0)
        while time.monotonic() < until:
            workers.watch()
            pause.wait(0.1)
        # Every victim in turn, in a random order: each is hit as often as the others.
        victim = chance.choice(
            [name for name in (*WORKERS, *SERVICES) if done[name] == min(done[n] for n in (*WORKERS, *SERVICES))]
        )
        if victim in SERVICES:
            stack.kill(victim)
            pause.wait(chance.uniform(0, 1.0))
            stack.up(only=[*SERVICES, "registry"])
        elif (pid := workers.pids.get(victim)) is not None and workers.alive[victim]:
            os.kill(pid, signal.SIGKILL)
        else:
            continue
        done[victim] += 1
        print(f"{sum(done.values()):>3} {victim}", file=sys.stderr, flush=True)
    return done


def _await_applied(
    workers: Workers | None, kafka: dict[str, str], dsns: dict[Database, str], groups: dict[str, str]
) -> None:
    """Returns once the stored offsets have reached the ends of the topics."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer({**kafka, "group.id": "ends"})
    ends = {}
    for name in USED:
        for partition in range(topic(name).partitions):
            ends[name, partition] = consumer.get_watermark_offsets(TopicPartition(name, partition), 30.0)[1]
    consumer.close()
    deadline = time.monotonic() + LIMIT_S
    stored: dict[Any, int] = {}
    while time.monotonic() < deadline:
        if workers is not None:
            workers.watch()
        for database, group in zip((Database.POSTGRES, Database.TIMESCALE), groups.values(), strict=True):
            with psycopg.connect(dsns[database], autocommit=True) as connection:
                stored |= offset_store.read(connection, group, ends)
        if all(stored.get(place, 0) >= end for place, end in ends.items()):
            return
        threading.Event().wait(0.25)
    raise SystemExit(f"not applied within {LIMIT_S} s: {stored} of {ends}")


def _project_undisturbed(kafka: dict[str, str], registry_url: str, dsns: dict[Database, str]) -> str:
    """Projects the topics once more into one plain PostgreSQL database, without a kill; returns its DSN."""
    name = "undisturbed"
    with psycopg.connect(dsns[Database.POSTGRES], autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    dsn = dsns[Database.POSTGRES].rpartition("/")[0] + f"/{name}"
    with psycopg.connect(dsn, autocommit=True) as connection:
        migration.migrate(connection, migration.migrations(Database.POSTGRES))
        listed = ", ".join(f"{column} {sql_type}" for column, sql_type in METRICS.columns.items())
        connection.execute(f"CREATE TABLE metrics ({listed})".encode())
    sources: dict[str, Callable[..., Any]] = {"telemetry.asic": METRICS.sources["telemetry.asic"]}
    config = ProjectionConfig(
        kafka=kafka,
        registry_url=registry_url,
        worker="undisturbed",
        sink=lambda: PostgresSink(dsn, "undisturbed"),
        tables=(replace(METRICS, sources=sources), WORKLOADS, AUDIT_LOGS),
    )
    stop = threading.Event()
    thread = threading.Thread(target=run, args=(config, stop))
    thread.start()
    try:
        both = {Database.POSTGRES: dsn, Database.TIMESCALE: dsn}
        _await_applied(None, kafka, both, {"a": "undisturbed", "b": "undisturbed"})
    finally:
        stop.set()
        thread.join()
    return dsn


def _is_equal(table: str, columns: Any, dsn: str, other_dsn: str) -> bool:
    rows = []
    for address in (dsn, other_dsn):
        with psycopg.connect(address, autocommit=True) as connection:
            connection.execute("SET timezone = 'UTC'")
            found = connection.execute(f"SELECT ({', '.join(columns)})::text FROM {table}".encode()).fetchall()
            rows.append(Counter(row[0] for row in found))
    print(f"{table}: {rows[0].total()} rows, undisturbed {rows[1].total()}", flush=True)
    return rows[0] == rows[1]


if __name__ == "__main__":
    raise SystemExit(main())
