"""Projections on the real stack: modes, dead letters, outages, and who may write."""

import re
import signal
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

import psycopg
import pytest
from confluent_kafka import Consumer, TopicPartition

from projections import migration, offset_store
from projections.error import FencedError, MigrationError
from projections.sink import Claim, Step
from projections.table import Database
from schemas.events import WorkloadState
from tests.projection_world import TIMEOUT_S, ProjectionWorld
from tests.rollup_world import reading
from tests.streams_event import audit, miners, transition

pytestmark = pytest.mark.integration


def dead_letters(world: ProjectionWorld, name: str, count: int) -> list[Any]:
    consumer = Consumer({"bootstrap.servers": world.stack.kafka, "group.id": "t", "enable.auto.commit": False})
    consumer.assign([TopicPartition(world.topics[name].dead_letter_topic, 0, 0)])
    try:
        found = consumer.consume(count, TIMEOUT_S)
    finally:
        consumer.close()
    assert len(found) == count
    return found


def header(message: Any, name: str) -> str:
    value: bytes = dict(message.headers())[f"__connect.errors.{name}"]
    return value.decode()


def test_a_latest_table_keeps_the_newest_and_never_goes_back(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    world.send_event("workloads.transitions", transition(1))
    world.send_event("workloads.transitions", transition(3, WorkloadState.RUNNING))
    world.flush()
    world.start()
    state = "SELECT state, version FROM workloads"
    world.await_rows(state, lambda rows: rows == [("RUNNING", 3)])
    created, first_update = world.query("SELECT created_at, updated_at FROM workloads")[0]
    world.send_event("workloads.transitions", transition(2, WorkloadState.SCHEDULED))
    world.send_event("workloads.transitions", transition(1, workload_id="wl-2"))
    world.flush()
    world.await_rows("SELECT workload_id FROM workloads", lambda rows: len(rows) == 2)
    assert world.query(state + " WHERE workload_id = 'wl-1'") == [("RUNNING", 3)]
    world.send_event("workloads.transitions", transition(4, WorkloadState.COMPLETED))
    world.flush()
    world.await_rows(state + " WHERE workload_id = 'wl-1'", lambda rows: rows == [("COMPLETED", 4)])
    again: tuple[datetime, datetime] = world.query("SELECT created_at, updated_at FROM workloads ORDER BY 1 LIMIT 1")[0]
    assert again[0] == created
    assert again[1] > first_update


def test_a_ledger_takes_each_event_once_and_keeps_its_map(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    for number in (1, 2, 1, 2, 3):
        world.send_event("audit.events", audit(number))
    world.flush()
    world.start()
    rows = world.await_rows("SELECT subject, details FROM audit_logs ORDER BY 1", lambda rows: len(rows) >= 3)
    assert rows == [(f"workload/wl-{n}", {"a": "1", "b": "2"}) for n in (1, 2, 3)]


def test_kafka_s_own_tools_see_how_far_a_worker_is(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    place = TopicPartition(world.topics["audit.events"].name, 0)
    observer = Consumer({"bootstrap.servers": world.stack.kafka, "group.id": world.group_id})

    def committed() -> int:
        (found,) = observer.committed([place], TIMEOUT_S)
        return int(found.offset)

    for number in range(3):
        world.send_event("audit.events", audit(number))
    world.flush()
    world.start()
    deadline = time.monotonic() + TIMEOUT_S
    while committed() != 3:
        assert time.monotonic() < deadline, world.output.read_text()
        time.sleep(0.1)
    world.send_event("audit.events", audit(3))
    world.flush()
    world.await_rows("SELECT count(*) FROM audit_logs", lambda rows: rows == [(4,)])
    assert world.end(signal.SIGTERM) == 0
    assert committed() == 4
    observer.close()


def test_master_data_comes_from_the_registry_topics(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    world.send_event("registry.resources", miners(units_in_repair=3))
    world.flush()
    world.start()
    rows = world.await_rows(
        "SELECT units, units_in_repair, modes -> 1 ->> 'mode' FROM resources", lambda rows: len(rows) == 1
    )
    assert rows == [(100, 3, "ECO")]


def test_reading_the_whole_log_again_changes_no_row(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    for number in range(20):
        world.send_event("audit.events", audit(number))
        world.send_event("workloads.transitions", transition(number + 1))
    world.flush()
    world.start()
    both = "SELECT (SELECT count(*) FROM audit_logs), (SELECT max(version) FROM workloads)"
    world.await_rows(both, lambda rows: rows == [(20, 20)])
    before = world.query("SELECT * FROM audit_logs ORDER BY event_id") + world.query(
        "SELECT state, version FROM workloads"
    )
    assert world.end(signal.SIGTERM) == 0
    world.query("UPDATE projection_offsets SET next_offset = 0 RETURNING 1")
    world.start()
    world.await_rows("SELECT sum(next_offset)::int FROM projection_offsets", lambda rows: rows == [(40,)])
    after = world.query("SELECT * FROM audit_logs ORDER BY event_id") + world.query(
        "SELECT state, version FROM workloads"
    )
    assert after == before


def test_poison_inside_a_batch_costs_only_itself(timescale_world: ProjectionWorld) -> None:
    world = timescale_world
    world.send_event("telemetry.asic", reading(1, "poison-a"))
    world.send("telemetry.asic", b"\x00bad", headers={"trace": b"7"})
    world.send_event("telemetry.asic", reading(2, "poison-a", power_w=-5.0))
    world.send_event("telemetry.asic", reading(3, "poison-a", facility_id="Atlantis"))
    world.send_event("telemetry.asic", reading(4, "poison-b"))
    world.flush()
    world.start()
    count = "SELECT device_id, power_w FROM metrics WHERE device_id LIKE 'poison-%' ORDER BY 1"
    rows = world.await_rows(count, lambda rows: len(rows) >= 2)
    assert rows == [("poison-a", 3000.0), ("poison-b", 3000.0)]
    found = dead_letters(world, "telemetry.asic", 3)
    assert [header(m, "offset") for m in found] == ["1", "2", "3"]
    assert found[0].value() == b"\x00bad"
    assert dict(found[0].headers())["trace"] == b"7"
    assert header(found[0], "stage") == "VALUE_CONVERTER"
    assert header(found[1], "exception.message") == "power_w: must be zero or more, got -5.0"
    assert "'Atlantis' is not registered" in header(found[2], "exception.message")


@pytest.mark.parametrize("service", ["postgres", "kafka"])
def test_a_service_that_goes_away_stops_the_work_and_loses_nothing(
    postgres_world: ProjectionWorld, service: str
) -> None:
    world = postgres_world
    for number in range(50):
        world.send_event("audit.events", audit(number))
    world.flush()
    world.start()
    count = "SELECT count(*) FROM audit_logs"
    world.await_rows(count, lambda rows: rows == [(50,)])
    world.stack.kill(service)
    try:
        if service == "postgres":
            for number in range(50, 100):
                world.send_event("audit.events", audit(number))
            world.flush()
    finally:
        world.stack.up()
    for number in range(100, 120):
        world.send_event("audit.events", audit(number))
    world.flush()
    expected = 120 if service == "postgres" else 70
    world.await_rows(count, lambda rows: rows[0][0] >= expected)
    assert world.query(count) == [(expected,)]
    assert world.end(signal.SIGTERM) == 0


def test_a_worker_whose_partition_another_one_claimed_can_not_write(postgres_world: ProjectionWorld) -> None:
    place = ("audit.events", 0)
    with psycopg.connect(postgres_world.dsn, autocommit=True) as connection:
        assert offset_store.claim(connection, "w", {place: 5}) == {place: Claim(5, epoch=1)}
        assert offset_store.claim(connection, "w", {place: 0}) == {place: Claim(5, epoch=2)}
        # Neither the older epoch nor another offset than the stored one moves anything.
        for stale in (Step(5, 7, epoch=1), Step(4, 7, epoch=2)):
            with pytest.raises(FencedError, match="another worker has claimed them"), connection.transaction():
                offset_store.advance(connection, "w", {place: stale})
        offset_store.advance(connection, "w", {place: Step(5, 10, epoch=2)})
        assert offset_store.read(connection, "w", [place]) == {place: 10}


@pytest.mark.parametrize("moment", ["before", "inside"])
def test_a_worker_that_sleeps_around_its_transaction_is_overtaken_and_writes_nothing(
    postgres_world: ProjectionWorld, moment: str
) -> None:
    world = postgres_world
    world.send_event("audit.events", audit(0))
    world.flush()
    world.start(sleep=moment)
    count = "SELECT count(*) FROM audit_logs"
    world.await_rows(count, lambda rows: rows == [(1,)])
    sleeper = world.processes[0]
    world.fall_asleep()
    world.send_event("audit.events", audit(1))
    world.flush()
    world.await_asleep(sleeper)
    world.start()
    for number in range(2, 40):
        world.send_event("audit.events", audit(number))
    world.flush()
    # Also a sleeper that holds locks in a transaction is in nobody's way.
    world.await_rows(count, lambda rows: rows == [(40,)])
    sleeper.send_signal(signal.SIGCONT)
    assert world.end(signal.SIGCONT) == 1
    assert re.search("another worker has claimed .*this one stops", world.output.read_text())
    for number in range(40, 60):
        world.send_event("audit.events", audit(number))
    world.flush()
    place = f"SELECT next_offset FROM projection_offsets WHERE topic = '{world.topics['audit.events'].name}'"
    world.await_rows(place, lambda rows: rows == [(60,)])
    assert world.query(count) == [(60,)]


def test_a_migration_that_changed_after_it_was_applied_is_refused(postgres_world: ProjectionWorld) -> None:
    files = migration.migrations(Database.POSTGRES)
    changed = [replace(files[0], text=files[0].text + "-- more"), *files[1:]]
    with psycopg.connect(postgres_world.dsn, autocommit=True) as connection:
        assert migration.migrate(connection, files) == []
        added = [*files, migration.Migration("9999_more", "SELECT 1")]
        assert migration.migrate(connection, added) == ["9999_more"]
        with pytest.raises(MigrationError, match="has changed since it was applied"):
            migration.migrate(connection, [replace(f, text=f.text) for f in changed] + added[-1:])
        with pytest.raises(MigrationError, match="not among the files"):
            migration.migrate(connection, files)


def test_the_reader_role_can_read_and_not_write(postgres_world: ProjectionWorld) -> None:
    with psycopg.connect(postgres_world.dsn, autocommit=True) as connection:
        migration.set_reader_password(connection, "quote ' me")
    address = postgres_world.dsn.rpartition("@")[2]
    with psycopg.connect(f"postgresql://grafana_reader@{address}", password="quote ' me", autocommit=True) as reader:
        assert reader.execute("SELECT count(*) FROM facilities").fetchall() == [(0,)]
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute("DELETE FROM facilities")
