"""A field is added to a topic while it is in use: the table, both versions of the worker, and the rebuild.

The versions are two workers of one consumer group, each with the schema and the declaration of its time.
"""

import io
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import fastavro
import psycopg
import pytest
from confluent_kafka import Producer

from projections import ddl, evolution, migration
from projections.offset_store import Connection
from projections.rebuild.config import RebuildConfig
from projections.rebuild.run import rebuild
from projections.sinks.postgres import PostgresSink
from projections.table import Database, Mode, Table
from projections.worker import ProjectionConfig, run
from schemas import provision
from schemas.catalog import Topic
from schemas.codec import header
from schemas.registry import Registry
from tests.running_stack import RunningStack

pytestmark = pytest.mark.integration

LIMIT_S = 180.0
PARTITIONS = 2
FIELDS: list[dict[str, Any]] = [
    {"name": "event_id", "type": "string"},
    {"name": "probed_at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
    {"name": "power_w", "type": "double"},
]
FIRMWARE = {"name": "firmware", "type": "string", "default": "unknown"}
PROBES = Table(
    name="probes",
    database=Database.POSTGRES,
    mode=Mode.LEDGER,
    sources={"probes": lambda frame: frame},
    key=("event_id",),
    columns={"event_id": "text", "probed_at": "timestamptz", "power_w": "double precision"},
)
WITH_FIRMWARE = replace(
    PROBES, columns={**PROBES.columns, "firmware": "text"}, defaults={"firmware": "'unknown'::text"}
)


@dataclass(frozen=True, slots=True)
class Probe:
    """The record's name in reasons."""


def version(name: str, *more: dict[str, Any]) -> Topic:
    """The topic as one version of the code knows it."""

    class ProbeTopic(Topic):
        @property
        def schema(self) -> dict[str, Any]:
            return {"type": "record", "name": "Probe", "fields": [*FIELDS, *more]}

    return ProbeTopic(name, "", Probe, "event_id", "probed_at", PARTITIONS)


class World:
    """A database with the older table, a topic, and workers of both versions."""

    def __init__(self, stack: RunningStack, dsn: str, topic: str) -> None:
        self.stack, self.dsn, self.group = stack, dsn, f"project.{topic}"
        self.older, self.newer = version(topic), version(topic, FIRMWARE)
        self.registry = Registry(stack.registry_url)
        self._producer = Producer({"bootstrap.servers": stack.kafka})
        self._schema_ids = {False: self.registry.register(self.older)}
        provision.create_topics({"bootstrap.servers": stack.kafka}, topics=[self.older])

    def register_newer(self) -> None:
        """Goes through the registry's gate, which must find the versions compatible both ways."""
        self._schema_ids[True] = self.registry.register(self.newer)

    def send(self, *events: str, firmware: str | None = None) -> None:
        """Produces events to both partitions, one each; with a firmware by the newer schema."""
        is_newer = firmware is not None
        schema = fastavro.parse_schema(dict((self.newer if is_newer else self.older).schema))
        for event in events:
            for partition in range(PARTITIONS):
                out = io.BytesIO()
                out.write(header(self._schema_ids[is_newer]))
                record = {"event_id": f"{event}-{partition}", "probed_at": 0, "power_w": 1.0}
                fastavro.schemaless_writer(out, schema, {**record, "firmware": firmware} if is_newer else record)
                self._producer.produce(self.older.name, out.getvalue(), b"key", partition)
        assert self._producer.flush(LIMIT_S) == 0

    @contextmanager
    def worker(self, topic: Topic, table: Table) -> Iterator[None]:
        """A worker of one version while the context lasts."""
        config = ProjectionConfig(
            kafka={"bootstrap.servers": self.stack.kafka},
            registry_url=self.stack.registry_url,
            worker=self.group,
            sink=lambda: PostgresSink(self.dsn, self.group),
            tables=(table,),
            topics={"probes": topic.name},
            catalog=lambda name: replace(topic, name=name),
        )
        stop = threading.Event()
        thread = threading.Thread(target=run, args=(config, stop))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()

    def await_rows(self, wanted: int) -> None:
        """Returns once the table has so many rows."""
        for _ in range(int(LIMIT_S / 0.1)):
            if len(self.rows("event_id")) >= wanted:
                return
            threading.Event().wait(0.1)
        pytest.fail(f"{self.rows('event_id')}, not {wanted} rows")

    def rows(self, columns: str) -> list[tuple[Any, ...]]:
        """The table's rows in order."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            return connection.execute(f"SELECT {columns} FROM probes ORDER BY event_id".encode()).fetchall()

    def await_owners(self, wanted: int) -> None:
        """Returns once so many sessions own the partitions."""
        owners = "SELECT count(DISTINCT owner_pid), count(owner_pid) FROM projection_offsets"
        for _ in range(int(LIMIT_S / 0.1)):
            with psycopg.connect(self.dsn, autocommit=True) as connection:
                if connection.execute(owners.encode()).fetchall() == [(wanted, PARTITIONS)]:
                    return
            threading.Event().wait(0.1)
        pytest.fail(f"the partitions are not owned by {wanted} sessions")


@pytest.fixture
def world(stack: RunningStack, topic_name: Callable[[str], str], postgres_database: str) -> Iterator[World]:
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        connection.execute(ddl.create_table(PROBES).encode())
    found = World(stack, postgres_database, topic_name("probes"))
    yield found
    found.registry.close()


def evolve(connection: Connection) -> list[str]:
    applied = evolution.apply(
        connection, [WITH_FIRMWARE], migration.migrations(Database.POSTGRES), lambda _change: None
    )
    return [change.statement for change in applied.changes]


def test_a_field_is_added_while_both_versions_run_and_a_rebuild_fills_it(world: World) -> None:
    world.send("a")
    with world.worker(world.older, PROBES):
        world.await_rows(2)
        # A producer is ahead of the database and of every worker: its field is left out, its events are not.
        world.register_newer()
        world.send("b", firmware="v2")
        world.await_rows(4)
        with psycopg.connect(world.dsn, autocommit=True) as connection:
            (statement,) = evolve(connection)
            assert "ADD COLUMN" in statement
        with world.worker(world.newer, WITH_FIRMWARE):
            world.await_owners(2)
            world.send("c", firmware="v2")
            world.send("d")
            world.await_rows(8)
    served = dict(world.rows("event_id, firmware"))
    # One partition was the older worker's: what it wrote has the column's default, and the other's has the field.
    assert sorted(served[f"c-{partition}"] for partition in range(PARTITIONS)) == ["unknown", "v2"]
    assert {name: value for name, value in served.items() if not name.startswith("c")} == dict.fromkeys(
        ("a-0", "a-1", "b-0", "b-1", "d-0", "d-1"), "unknown"
    )
    wanted = RebuildConfig(
        kafka={"bootstrap.servers": world.stack.kafka},
        registry_url=world.stack.registry_url,
        dsn=world.dsn,
        table=WITH_FIRMWARE,
        live_worker=world.group,
        topics={"probes": world.newer.name},
        catalog=lambda name: replace(world.newer, name=name),
    )
    rebuild(wanted, threading.Event(), lambda _step, _done, _total: None)
    assert dict(world.rows("event_id, firmware")) == {
        f"{event}-{partition}": firmware
        for event, firmware in (("a", "unknown"), ("b", "v2"), ("c", "v2"), ("d", "unknown"))
        for partition in range(PARTITIONS)
    }
