"""The real services: killed with -9 and started again they have every record, schema and row; nobody runs as root."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg
import pytest
from confluent_kafka import Consumer, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from psycopg import sql

from deploy.local import java_cache, timescaledb
from deploy.local.services import SERVICES
from deploy.local.stack import Stack
from tests.running_stack import RunningStack
from tests.stack_fixture import parts_directory

pytestmark = [pytest.mark.integration, pytest.mark.chaos]


def test_killed_broker_has_every_acknowledged_record(stack: RunningStack, topic_name: Callable[[str], str]) -> None:
    topic, values = topic_name("kept"), [f"record {number}".encode() for number in range(500)]
    config: dict[str, str | int | float | bool] = {"bootstrap.servers": stack.kafka}
    admin = AdminClient(config)
    admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(120)
    producer = Producer({**config, "acks": "all", "enable.idempotence": True})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(120) == 0
    stack.kill("kafka")
    stack.up()
    consumer = Consumer({**config, "group.id": topic, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    found: list[bytes | None] = []
    while len(found) < len(values):
        messages = consumer.consume(len(values), timeout=120)
        assert messages, f"{len(found)} of {len(values)} records came back"
        found += [message.value() for message in messages]
    consumer.close()
    assert found == values


def test_killed_registry_has_every_confirmed_schema(stack: RunningStack, topic_name: Callable[[str], str]) -> None:
    # Names without regard to the rest: the registry takes equal schemas for one.
    subjects = [topic_name("kept") for _ in range(3)]
    record = '{{"type":"record","name":"R{}","namespace":"kept.schemas","fields":[]}}'
    before = {}
    with SchemaRegistryClient({"url": stack.registry_url}) as client:
        for number, subject in enumerate(subjects):
            before[subject] = client.register_schema(subject, Schema(record.format(number), "AVRO"))
        # At once: an id that was given out may be in a record already, and must never name another schema.
        stack.kill("registry")
    stack.up()
    with SchemaRegistryClient({"url": stack.registry_url}) as client:
        assert {subject: client.get_latest_version(subject).schema_id for subject in subjects} == before


@pytest.mark.parametrize("name", ["postgres", "timescale"])
def test_killed_database_has_every_committed_row_and_no_other(stack: RunningStack, name: str) -> None:
    dsn = stack.postgres_dsn if name == "postgres" else stack.metrics_dsn
    table = sql.Identifier(f"kept_{name}")
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE TABLE {} (number int)").format(table))
        connection.execute(sql.SQL("INSERT INTO {} SELECT generate_series(1, 1000)").format(table))
        open_one = psycopg.connect(dsn)
        if name == "timescale":  # one session: an open transaction would keep the other client waiting
            connection.close()
        open_one.execute(sql.SQL("INSERT INTO {} VALUES (-1)").format(table))
        stack.kill(name)
        with pytest.raises(psycopg.OperationalError):
            open_one.commit()
        open_one.close()
    stack.up()
    with psycopg.connect(dsn, autocommit=True) as connection:
        query = sql.SQL("SELECT count(*), min(number), max(number) FROM {}").format(table)
        assert connection.execute(query).fetchall() == [(1000, 1, 1000)]
        connection.execute(sql.SQL("DROP TABLE {}").format(table))


def test_all_killed_at_once_come_back_at_their_addresses(stack: RunningStack) -> None:
    before = stack.environment
    for name in ("kafka", "registry", "postgres", "timescale"):
        stack.kill(name)
    stack.up()
    assert stack.environment == before


def test_broker_makes_no_topic_that_nobody_declared(stack: RunningStack, topic_name: Callable[[str], str]) -> None:
    admin = AdminClient({"bootstrap.servers": stack.kafka})
    topic = topic_name("undeclared")
    assert admin.list_topics(topic, timeout=120).topics[topic].error is not None
    assert topic not in admin.list_topics(timeout=120).topics


def test_registry_starts_with_backward_compatibility(stack: RunningStack) -> None:
    with SchemaRegistryClient({"url": stack.registry_url}) as client:
        assert client.get_config().compatibility_level == "BACKWARD"


def test_databases_are_mara_and_know_time_series(stack: RunningStack) -> None:
    with psycopg.connect(stack.postgres_dsn) as connection:
        row = connection.execute("SELECT current_user, current_database(), current_setting('fsync')").fetchone()
        assert row == ("mara", "mara_hcp", "on")
    with psycopg.connect(stack.metrics_dsn) as connection:
        assert connection.execute("SELECT extname FROM pg_extension WHERE extname = 'timescaledb'").fetchall()
        assert connection.execute("SELECT rolname FROM pg_roles WHERE rolname = 'mara'").fetchall()


def test_postgres_wants_the_password(stack: RunningStack) -> None:
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(stack.postgres_dsn.replace("mara:mara@", "mara:guess@"))


def test_services_listen_on_this_machine_only(stack: RunningStack) -> None:
    pids = [service.pid for service in Stack(stack.home, parts_directory()).status().services if service.pid]
    listening = {
        connection.laddr[0]
        for pid in pids
        for connection in psutil.Process(pid).net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1"}


def test_java_has_learnt_its_classes_and_the_database_begins_as_a_copy(stack: RunningStack) -> None:
    parts = parts_directory()
    services = {service.name: service for service in SERVICES}
    running = {service.name: service.pid for service in Stack(stack.home, parts).status().services}
    for name in ("kafka", "registry"):
        part = services[name].part
        assert part is not None
        cache = part.directory(parts) / java_cache.CACHE
        assert str(cache) in {found.path for found in psutil.Process(running[name]).memory_maps()}
    identifiers = []
    for data in (stack.home / "timescale" / "data", stack.home / "copy"):
        part = services["timescale"].part
        assert part is not None
        timescaledb.unpack(part.directory(parts), data)
        identifiers.append((data / "pgdata" / "global" / "pg_control").read_bytes()[:8])
    assert identifiers[0] == identifiers[1]


def test_postgres_runs_below_a_private_folder_and_never_as_root(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    private = Stack(closed / "home", parts_directory())
    try:
        pid = private.up(only=["postgres"]).services[2].pid
        assert psutil.Process(pid).uids().effective != 0
        private.kill("postgres")
        # What a killed server leaves: the pid in it may be anybody's by now.
        lock = closed / "home" / "postgres" / "data" / "postmaster.pid"
        lines = lock.read_text().splitlines()
        lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
        assert private.up(only=["postgres"]).services[2].pid not in {None, pid}
    finally:
        private.down()
