"""Tables rebuilt from the log on the real stack: what is kept, what is refused, and who may write meanwhile."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl
import psycopg
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from projections import offset_store
from projections.error import FencedError, ProjectionError
from projections.rebuild.archive_source import OFFSET, ArchivedFrame
from projections.rebuild.checksum import checksum
from projections.rebuild.filling import StoppedError
from projections.rebuild.live_worker import LiveWorker
from projections.rebuild.run import ShrinkError, rebuild
from projections.sink import Step
from projections.tables import AUDIT_LOGS, WORKLOADS
from schemas import provision
from schemas.catalog import topic
from schemas.columnar import ColumnarDecoder
from schemas.events import WorkloadState
from schemas.registry import Registry
from schemas.reject import ROW
from tests.projection_world import ROOT, TIMEOUT_S, ProjectionWorld
from tests.rebuild_world import PROBE, config, killed_rebuild, quiet, rebuilt, verified, worker
from tests.rollup_world import reading
from tests.streams_event import audit, transition

pytestmark = pytest.mark.integration


@contextmanager
def transitions_going_on(world: ProjectionWorld, first: int) -> Iterator[list[int]]:
    """Sends transitions of wl-1 in the background, versions from `first` on; the list has the last one sent."""
    last, stop = [first], threading.Event()

    def send() -> None:
        while not stop.wait(0.002):
            world.send_event("workloads.transitions", transition(last[0] + 1))
            last[0] += 1

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield last
    finally:
        stop.set()
        thread.join()
        world.flush()


# What hangs on the table: all of it has to be there after the swap, and to be about the new table.
ORNAMENTS = """
    CREATE VIEW busy WITH (security_barrier = true) AS SELECT workload_id, state, version FROM workloads WHERE gpus > 0;
    CREATE VIEW states AS SELECT state, count(*) AS n FROM busy GROUP BY state;
    COMMENT ON VIEW busy IS 'workloads with GPUs';
    GRANT SELECT ON states TO PUBLIC;
    CREATE INDEX by_customer ON workloads (customer_id) WHERE gpus > 4;
    ALTER TABLE workloads SET (fillfactor = 70);
    REVOKE SELECT ON workloads FROM grafana_reader;
    GRANT SELECT (state, version) ON workloads TO grafana_reader;
    COMMENT ON COLUMN workloads.gpus IS 'how many';
"""
FORM = """
    SELECT 'index', pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = 'workloads'::regclass
    UNION SELECT 'constraint', conname || pg_get_constraintdef(oid) FROM pg_constraint
      WHERE conrelid = 'workloads'::regclass
    UNION SELECT 'trigger', pg_get_triggerdef(oid) FROM pg_trigger WHERE tgrelid = 'workloads'::regclass
    UNION SELECT 'table', concat(aclexplode(relacl), reloptions, relowner, obj_description(oid)) FROM pg_class
      WHERE oid = 'workloads'::regclass
    UNION SELECT 'column', concat(attname, atttypid::regtype, attnotnull, attacl, col_description(attrelid, attnum))
      FROM pg_attribute WHERE attrelid = 'workloads'::regclass AND attnum > 0
    UNION SELECT 'view', concat(relname, pg_get_viewdef(oid), relacl, reloptions, obj_description(oid), oid)
      FROM pg_class WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
    ORDER BY 1, 2
"""


def test_a_table_is_swapped_under_its_worker_and_keeps_all_that_hangs_on_it(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    for number in range(300):
        world.send_event("workloads.transitions", transition(1, workload_id=f"wl-{number}"))
    world.flush()
    execute(world, ORNAMENTS)
    form = world.query(FORM)
    identity = world.query("SELECT 'workloads'::regclass::oid")
    world.start()
    world.await_rows("SELECT count(*) FROM workloads", lambda rows: rows == [(300,)])
    with transitions_going_on(world, 1) as last:
        found = rebuilt(world, WORKLOADS)
    assert (found.rows, found.refused) == (300, 0)
    assert world.query(FORM) == form
    assert world.query("SELECT 'workloads'::regclass::oid") != identity
    # The worker goes on in the new table, and the views read that one.
    world.send_event("workloads.transitions", transition(last[0] + 1, WorkloadState.RUNNING))
    world.flush()
    newest = "SELECT version FROM busy WHERE state = 'RUNNING'"
    world.await_rows(newest, lambda rows: rows == [(last[0] + 1,)])
    assert world.query("SELECT * FROM states ORDER BY 1") == [("QUEUED", 299), ("RUNNING", 1)]
    verdict = verified(world, WORKLOADS)
    assert verdict.is_equal
    assert verdict.served.rows == 300
    assert world.query("SELECT relname FROM pg_class WHERE relname ~ '__(next|old)'") == []


def test_appended_rows_are_neither_lost_nor_doubled_however_often_the_table_is_swapped(
    postgres_world: ProjectionWorld,
) -> None:
    world, sent, stop = postgres_world, [0], threading.Event()
    execute(world, "CREATE TABLE rebuild_probe (observed_at timestamptz, device_id text, power_w double precision)")

    def send() -> None:
        while not stop.wait(0.001):
            world.send_event("telemetry.asic", reading(sent[0], power_w=float(sent[0])), sent[0] % 4)
            sent[0] += 1
        world.flush()

    moved = f"SELECT sum(next_offset)::int FROM projection_offsets WHERE worker = '{world.group_id}'"

    def let_the_worker_move(step: str, _done: int, _total: int) -> None:
        if step.endswith("reading the rebuilt table"):
            ((before,),) = world.query(moved)
            world.await_rows(moved, lambda rows: rows[0][0] > before)

    with worker(world, PROBE), ThreadPoolExecutor(1) as pool:
        sending = pool.submit(send)
        try:
            world.await_rows(moved, lambda rows: rows[0][0])
            for _ in range(4):
                # So that there is always a rest for the transaction that swaps.
                rebuild(config(world, PROBE), threading.Event(), let_the_worker_move)
        finally:
            stop.set()
        sending.result(TIMEOUT_S)
        world.await_rows("SELECT count(*) FROM rebuild_probe", lambda rows: rows[0][0] >= sent[0])
    total = "SELECT count(*), count(DISTINCT power_w), max(power_w)::int FROM rebuild_probe"
    assert world.query(total) == [(sent[0], sent[0], sent[0] - 1)]


COUNT = "SELECT count(*) FROM audit_logs"


def audited(world: ProjectionWorld, count: int) -> None:
    """So many audit events, in the table too: where the worker has never run, a rebuild fills it."""
    for number in range(count):
        world.send_event("audit.events", audit(number))
    world.flush()
    assert rebuilt(world, AUDIT_LOGS).rows == count


def execute(world: ProjectionWorld, statement: str) -> None:
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        connection.execute(statement.encode())


def test_a_tampered_row_is_found_and_named_and_a_rebuild_mends_it(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    audited(world, 40)
    assert verified(world, AUDIT_LOGS).is_equal
    execute(world, "UPDATE audit_logs SET reason = 'forged' WHERE subject = 'workload/wl-7'")
    verdict = verified(world, AUDIT_LOGS)
    assert not verdict.is_equal
    assert (verdict.served.rows, verdict.rebuilt.rows) == (40, 40)
    assert ["workload/wl-7" in row and "forged" in row for row in verdict.only_served] == [True]
    assert ["workload/wl-7" in row and "it has ended" in row for row in verdict.only_rebuilt] == [True]
    assert world.query("SELECT to_regclass('audit_logs__next')") == [(None,)]
    assert rebuilt(world, AUDIT_LOGS).rows == 40
    assert verified(world, AUDIT_LOGS).is_equal


def test_what_the_worker_refused_is_left_out_and_counted(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    execute(world, "ALTER TABLE audit_logs ADD CHECK (subject <> 'workload/wl-3')")
    world.send("audit.events", b"\0bad")
    for number in range(10):
        world.send_event("audit.events", audit(number))
    world.flush()
    world.start()
    world.await_rows(COUNT, lambda rows: rows == [(9,)])
    found = rebuilt(world, AUDIT_LOGS)
    assert (found.rows, found.rows_before, found.events, found.refused) == (9, 9, 11, 2)


def test_a_rebuild_that_was_killed_goes_on_where_it_was(postgres_world: ProjectionWorld) -> None:
    world, events = postgres_world, 5_000
    audited(world, events)
    assert killed_rebuild(world, AUDIT_LOGS) == -9
    stored = "SELECT max(next_offset) FROM projection_offsets WHERE worker = 'rebuild:audit_logs'"
    ((done,),) = world.query(stored)
    assert 0 < done < events
    assert world.query("SELECT count(*) FROM audit_logs__next") == [(done,)]
    found = rebuilt(world, AUDIT_LOGS)
    assert (found.rows, found.events, found.is_resumed) == (events, events - done, True)
    assert verified(world, AUDIT_LOGS).is_equal


def test_a_stopped_rebuild_goes_on_and_one_of_another_form_starts_over(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    audited(world, 20)
    stop = threading.Event()
    stop_when_asked = config(world, AUDIT_LOGS)
    stop.set()
    with pytest.raises(StoppedError, match="the next call goes on from here"):
        rebuild(stop_when_asked, stop, quiet)
    execute(world, "CREATE INDEX by_actor ON audit_logs (actor)")
    found = rebuilt(world, AUDIT_LOGS)
    assert (found.rows, found.events, found.is_resumed) == (20, 20, False)


def test_of_two_rebuilds_of_a_table_the_later_one_wins(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    audited(world, 30)
    is_reading, may_go_on = threading.Event(), threading.Event()

    def wait_once(_step: str, _done: int, _total: int) -> None:
        is_reading.set()
        assert may_go_on.wait(TIMEOUT_S)

    with ThreadPoolExecutor(1) as pool:
        earlier = pool.submit(rebuild, config(world, AUDIT_LOGS), threading.Event(), wait_once)
        assert is_reading.wait(TIMEOUT_S)
        try:
            assert rebuilt(world, AUDIT_LOGS).rows == 30
        finally:
            may_go_on.set()
        with pytest.raises(FencedError, match="another rebuild of it"):
            earlier.result(TIMEOUT_S)
    assert world.query(COUNT) == [(30,)]


def test_while_tables_are_swapped_the_worker_can_not_move(postgres_world: ProjectionWorld) -> None:
    place = (postgres_world.topics["audit.events"].name, 0)
    with (
        psycopg.connect(postgres_world.dsn, autocommit=True) as one,
        psycopg.connect(postgres_world.dsn, autocommit=True) as other,
    ):
        offset_store.claim(other, postgres_world.group_id, {place: 5})
        live = LiveWorker(one, config(postgres_world, AUDIT_LOGS), lambda: {place: (0, 9)}, {})
        with one.transaction():
            assert live.locked_ends({place: 3}) == {place: 5}
            other.execute("SET lock_timeout = '50ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable), other.transaction():
                offset_store.advance(other, postgres_world.group_id, {place: Step(5, 6, epoch=1)})
        offset_store.advance(other, postgres_world.group_id, {place: Step(5, 6, epoch=1)})
        with pytest.raises(ProjectionError, match="was set back"), one.transaction():
            live.locked_ends({place: 7})


def test_records_of_aborted_transactions_are_no_rows_and_markers_no_obstacle(postgres_world: ProjectionWorld) -> None:
    world, entry = postgres_world, postgres_world.topics["audit.events"]
    producer = Producer({"bootstrap.servers": world.stack.kafka, "transactional.id": world.group_id})
    producer.init_transactions(TIMEOUT_S)
    for first, end in (
        (0, producer.commit_transaction),
        (3, producer.abort_transaction),
        (6, producer.commit_transaction),
    ):
        producer.begin_transaction()
        for number in range(first, first + 3):
            producer.produce(entry.name, world.codec.encode(entry, audit(number)), b"key", 0)
        producer.flush(TIMEOUT_S)
        end(TIMEOUT_S)
    # Three records and a marker, three times: the log ends with a marker.
    assert rebuilt(world, AUDIT_LOGS).rows == 6
    assert world.query("SELECT next_offset FROM projection_offsets WHERE worker ~ '^rebuild'") == [(12,)]
    # A worker that is away has still to apply what comes: the table does not get ahead of it.
    world.send_event("audit.events", audit(9))
    world.flush()
    assert rebuilt(world, AUDIT_LOGS).rows == 6
    world.start()
    world.await_rows(COUNT, lambda rows: rows == [(7,)])
    assert verified(world, AUDIT_LOGS).is_equal


class Piece(NamedTuple):
    partition: int
    first_offset: int
    next_offset: int
    frame: pl.DataFrame


@dataclass(frozen=True)
class Archive:
    """The first messages of the audit log, in pieces of eight, as an archive keeps them."""

    registry_url: str
    messages: Sequence[Message]

    def frames(self, name: str) -> Iterator[ArchivedFrame]:
        with closing(Registry(self.registry_url)) as registry:
            decoded = ColumnarDecoder(topic(name), registry).decode([message.value() for message in self.messages])
        frame = decoded.frame.drop(ROW).with_columns(pl.Series(OFFSET, [message.offset() for message in self.messages]))
        for first in range(0, len(frame), 8):
            yield Piece(0, first, min(first + 8, len(frame)), frame[first : first + 8])


def test_rows_that_kafka_no_longer_has_are_not_lost_without_a_word(postgres_world: ProjectionWorld) -> None:
    world = postgres_world
    audited(world, 50)
    name = world.topics["audit.events"].name
    consumer = Consumer({"bootstrap.servers": world.stack.kafka, "group.id": "t", "enable.auto.commit": False})
    consumer.assign([TopicPartition(name, 0, 0)])
    # Some more than Kafka is going to lose: what both have is taken once.
    archived = consumer.consume(30, TIMEOUT_S)
    consumer.close()
    assert len(archived) == 30
    admin = AdminClient({"bootstrap.servers": world.stack.kafka})
    for future in admin.delete_records([TopicPartition(name, 0, 20)]).values():
        future.result(TIMEOUT_S)
    with pytest.raises(ShrinkError, match=f"would have 30 rows and has 50: Kafka has nothing any more of {name} .0. "
                                          "before offset 20"):  # fmt: skip
        rebuilt(world, AUDIT_LOGS)
    assert world.query(COUNT) == [(50,)]
    archive = Archive(world.stack.registry_url, archived)
    found = rebuilt(world, AUDIT_LOGS, archive=archive, from_scratch=True)
    assert (found.rows, found.events) == (50, 50)
    assert rebuilt(world, AUDIT_LOGS, allow_shrink=True).rows == 30
    assert world.query("SELECT count(*), min(subject) FROM audit_logs") == [(30, "workload/wl-20")]


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        pytest.param("CREATE MATERIALIZED VIEW frozen AS SELECT actor FROM audit_logs", "view frozen", id="view"),
        pytest.param("CREATE TABLE note (id text REFERENCES audit_logs)", "note_id_fkey", id="foreign-key"),
        pytest.param("CREATE POLICY mine ON audit_logs USING (true)", "policy mine", id="row-security"),
    ],
)
def test_a_table_that_others_hold_on_to_is_refused(
    postgres_world: ProjectionWorld, statement: str, reason: str
) -> None:
    execute(postgres_world, statement)
    with pytest.raises(ProjectionError, match=reason):
        rebuilt(postgres_world, AUDIT_LOGS)
    assert postgres_world.query("SELECT to_regclass('audit_logs__next')") == [(None,)]


def test_checksum_tells_rows_apart_but_not_their_order(postgres_world: ProjectionWorld) -> None:
    with psycopg.connect(postgres_world.dsn, autocommit=True) as connection:
        connection.execute("""
            CREATE TABLE one (a int, b text, c timestamptz DEFAULT clock_timestamp());
            CREATE TABLE other (LIKE one INCLUDING ALL);
            INSERT INTO one (a, b) VALUES (1, 'x'), (2, NULL), (2, NULL);
            INSERT INTO other (a, b) VALUES (2, NULL), (1, 'x'), (2, NULL);
        """)
        first = checksum(connection, "one", ("a", "b"))
        assert checksum(connection, "other", ("a", "b")) == first
        # Twice another row is as many rows; NULL is not the empty text.
        for change in ("INSERT INTO other (a, b) VALUES (1, 'x'); DELETE FROM other WHERE a = 2 AND ctid = '(0,1)'",
                       "UPDATE other SET b = '' WHERE b IS NULL"):  # fmt: skip
            with connection.transaction(force_rollback=True):
                connection.execute(change.encode())
                changed = checksum(connection, "other", ("a", "b"))
                assert (changed.rows, changed == first) == (3, False)


def test_the_command_fills_an_empty_database_and_says_what_it_found(postgres_world: ProjectionWorld) -> None:
    world, customers = postgres_world, topic("registry.customers")
    provision.create_topics({"bootstrap.servers": world.stack.kafka}, topics=[customers])
    with closing(Registry(world.stack.registry_url)) as registry:
        provision.register_schemas(registry, [customers])

    def hcp(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, **world.stack.environment, "HCP_POSTGRES_DSN": world.dsn}
        command = [sys.executable, "-m", "hcp", "rebuild", *arguments]
        return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)

    done = hcp("customers")
    assert done.returncode == 0, done.stderr
    assert "customers: swapped, " in done.stderr
    # The worker begins behind what is there.
    ((offset,),) = world.query("SELECT next_offset FROM projection_offsets WHERE worker = 'project-postgres'")
    assert offset >= 0
    execute(world, "INSERT INTO customers VALUES ('forged', 'Forged', 'GOLD', 1, now(), 'none')")
    found = hcp("customers", "--verify")
    assert found.returncode == 1
    assert found.stdout.startswith("customers: DIFFERENT\n  served:  ")
    assert "  only served:  (forged,Forged,GOLD,1.000000," in found.stdout
    refused = hcp("customers")
    assert refused.returncode == 1
    assert "--allow-shrink" in refused.stderr
