"""The difference of declared and real tables, and its end, on the real databases."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from projections import catalog_reader, evolution, migration
from projections.error import DriftError, MigrationError
from projections.hypertable import Hypertable
from projections.offset_store import Connection
from projections.plan import Plan
from projections.table import Database, Table
from projections.tables import METRICS, WORKLOADS, tables_of
from tests.running_stack import RunningStack

pytestmark = pytest.mark.integration
ROOT = Path(__file__).parents[2]
LEDGER = "SELECT name, left(checksum, 12), statements FROM generated_changes ORDER BY id"


@pytest.fixture
def postgres(postgres_database: str) -> Iterator[Connection]:
    """A session in it."""
    with psycopg.connect(postgres_database, autocommit=True) as connection:
        yield connection


@pytest.fixture
def timescale(stack: RunningStack) -> Iterator[Connection]:
    """The session's TimescaleDB, migrated: tests change tables of their own only."""
    with psycopg.connect(stack.metrics_dsn, autocommit=True) as connection:
        migration.migrate(connection, migration.migrations(Database.TIMESCALE))
        yield connection


@pytest.fixture
def readings(timescale: Connection) -> Iterator[Table]:
    """METRICS under names of the test's own, without its aggregates but the finest; dropped at the end."""
    finest = replace(METRICS.aggregates[0], name="evolving_10s")
    yield replace(METRICS, name="evolving", aggregates=(finest,))
    for view in ("evolving_1h", "evolving_10s"):
        timescale.execute(sql.SQL("DROP MATERIALIZED VIEW IF EXISTS {}").format(sql.Identifier(view)))
    timescale.execute("DROP TABLE IF EXISTS evolving")


def apply(connection: Connection, database: Database, *tables: Table, **more: float) -> evolution.Applied:
    return evolution.apply(connection, tables, migration.migrations(database), lambda _: None, **more)


@pytest.mark.parametrize("database", list(Database))
def test_what_the_numbered_migrations_make_is_as_declared(
    postgres: Connection, timescale: Connection, database: Database
) -> None:
    connection = postgres if database is Database.POSTGRES else timescale
    tables = tables_of(database)
    assert evolution.difference(connection, tables) == Plan((), ())
    assert set(catalog_reader.live(connection, tables).tables) == {table.name for table in tables}


def test_what_the_declarations_make_is_what_the_migrations_make(postgres: Connection) -> None:
    tables = tables_of(Database.POSTGRES)
    migrated = catalog_reader.live(postgres, tables)
    for table in tables:
        postgres.execute(sql.SQL("DROP TABLE {}").format(sql.Identifier(table.name)))
    postgres.execute("DROP FUNCTION touch_updated_at")
    done = apply(postgres, Database.POSTGRES, *tables)
    assert catalog_reader.live(postgres, tables) == migrated
    assert done.name is not None
    text = "".join(f"-- {change.relation}: {change.reason}\n{change.statement};\n" for change in done.changes)
    assert postgres.execute(LEDGER).fetchall() == [(done.name, done.name.removeprefix("generated-"), text)]
    assert apply(postgres, Database.POSTGRES, *tables) == evolution.Applied(None, ())


def test_a_declaration_grows_columns_an_index_and_a_condition(postgres: Connection) -> None:
    grown = replace(
        WORKLOADS,
        columns={**WORKLOADS.columns, "region": "text", "retries": "integer"},
        nullable=WORKLOADS.nullable | {"region"},
        defaults={"retries": "0"},
        comments={"retries": "How often it was started again."},
        checks={**WORKLOADS.checks, "retries": "retries BETWEEN 0 AND 9"},
        indexes=(*WORKLOADS.indexes, ("customer_id", "requested_at DESC")),
    )
    postgres.execute("""
        INSERT INTO workloads (workload_id, state, version, customer_id, gpus, duration_s, progress_s, priority,
                               price_usd_gpu_hour, requested_at, occurred_at, reason, event_id)
        VALUES ('wl-1', 'QUEUED', 1, 'acme', 8, 60, 0, 1, 2.5, now(), now(), 'test', 'e-1')""")
    assert len(apply(postgres, Database.POSTGRES, grown).changes) == 5
    assert postgres.execute("SELECT region, retries FROM workloads").fetchall() == [(None, 0)]
    assert evolution.difference(postgres, [grown]).is_empty
    with pytest.raises(psycopg.errors.CheckViolation):
        postgres.execute("UPDATE workloads SET retries = 10")


def test_the_same_difference_may_come_again_as_a_numbered_file(postgres: Connection) -> None:
    grown = replace(
        WORKLOADS,
        columns={**WORKLOADS.columns, "region": "text"},
        nullable=WORKLOADS.nullable | {"region"},
        checks={**WORKLOADS.checks, "region": "region <> ''"},
        indexes=(*WORKLOADS.indexes, ("region",)),
    )
    text = evolution.difference(postgres, [grown]).text
    files = [*migration.migrations(Database.POSTGRES), migration.Migration("9999_region", text)]
    with postgres.transaction(force_rollback=True):
        assert migration.migrate(postgres, files) == ["9999_region"]
        assert evolution.difference(postgres, [grown]).is_empty
    apply(postgres, Database.POSTGRES, grown)
    assert migration.migrate(postgres, files) == ["9999_region"]
    assert evolution.difference(postgres, [grown]).is_empty


def test_the_text_of_a_new_hypertable_can_be_run_twice(timescale: Connection, readings: Table) -> None:
    text = evolution.difference(timescale, [readings]).text
    for _ in range(2):
        with timescale.transaction():
            timescale.execute(text.encode())
        assert evolution.difference(timescale, [readings]).is_empty


def test_changes_that_do_not_lead_to_the_declaration_are_taken_back(postgres: Connection) -> None:
    # CREATE TABLE IF NOT EXISTS passes a view of that name by.
    postgres.execute("CREATE VIEW taken AS SELECT 1 AS event_id")
    (audit,) = [table for table in tables_of(Database.POSTGRES) if table.name == "audit_logs"]
    taken = replace(audit, name="taken", comment="", indexes=())
    grown = replace(audit, indexes=(*audit.indexes, ("actor",)))
    with pytest.raises(MigrationError, match="don't lead to the declaration: taken: a new table"):
        apply(postgres, Database.POSTGRES, grown, taken)
    assert evolution.difference(postgres, [audit]).is_empty


def test_a_hypertable_with_compressed_chunks_and_aggregates_grows(timescale: Connection, readings: Table) -> None:
    apply(timescale, Database.TIMESCALE, readings)
    old = datetime.now(UTC) - timedelta(days=5)
    insert = """INSERT INTO evolving (observed_at, device_id, facility_id, resource_group_id, kind, power_w, temp_c)
                VALUES (%s, 'd', 'Texas-1', 'g', 'ASIC', 1, 2)"""
    timescale.execute(insert, (old,))
    assert timescale.execute("SELECT count(compress_chunk(c)) FROM show_chunks('evolving') AS c").fetchall() == [(1,)]
    timescale.execute(insert, (datetime.now(UTC),))
    finest = readings.aggregates[0]
    hour = replace(METRICS.aggregates[3], name="evolving_1h", source="evolving_10s")
    grown = replace(
        readings,
        columns={**readings.columns, "firmware": "text", "fan_rpm": "integer", "is_hot": "boolean"},
        nullable=readings.nullable | {"firmware"},
        defaults={"fan_rpm": "0", "is_hot": "false"},
        checks={"fan_rpm": "fan_rpm >= 0"},
        indexes=(("device_id", "observed_at DESC"),),
        hypertable=Hypertable("observed_at", chunk=timedelta(hours=6)),
        compression=replace(readings.compression, after=timedelta(days=4)) if readings.compression else None,
        retention=None,
        aggregates=(replace(finest, refresh=replace(finest.refresh, start=timedelta(days=4))), hour),
    )
    changes = apply(timescale, Database.TIMESCALE, grown).changes
    assert [change.reason for change in changes] == [
        "column firmware is new",
        "column fan_rpm is new",
        "column is_hot is new",
        "condition (fan_rpm >= 0) is new",
        "index on device_id, observed_at DESC is new",
        "new chunks are of 6:00:00, not 1:00:00",
        "chunks are compressed after 4 days, not 2 days",
        "retention is without end, not 30 days",
        "refresh is every 0:01:00 from 4 days to 0:00:10 ago, not every 0:01:00 from 2 days to 0:00:10 ago",
        "a new aggregate",
        "refresh is every 1:00:00 from 3 days to 1:00:00 ago, not by hand",
        "retention is 180 days, not without end",
    ]
    assert evolution.difference(timescale, [grown]).is_empty
    rows = timescale.execute("SELECT firmware, fan_rpm, is_hot FROM evolving").fetchall()
    assert rows == [(None, 0, False)] * 2
    timescale.execute(insert, (old,))
    assert timescale.execute("SELECT sum(readings) FROM evolving_1h").fetchall() == [(3,)]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        pytest.param(
            "ALTER TABLE workloads ADD COLUMN extra text", "column extra: declared nothing, in the", id="extra"
        ),
        pytest.param(
            "ALTER TABLE workloads ALTER COLUMN gpus TYPE bigint",
            "column gpus: declared integer NOT NULL, in the database bigint NOT NULL",
            id="type",
        ),
        pytest.param(
            "ALTER TABLE workloads ALTER COLUMN reason DROP NOT NULL",
            "column reason: declared text NOT NULL, in the database text: ",
            id="nullability",
        ),
        pytest.param(
            "ALTER TABLE workloads DROP CONSTRAINT workloads_pkey",
            r"the unique key: declared \(workload_id\), in the database nothing",
            id="no-key",
        ),
        pytest.param(
            "CREATE UNIQUE INDEX ON workloads (event_id)",
            r"declared \(workload_id\), in the database \(event_id\) and \(workload_id\)",
            id="further-key",
        ),
        pytest.param("ALTER TABLE workloads ADD CHECK (gpus < 9)", r"a condition: .* \(gpus < 9\)", id="condition"),
        pytest.param("CREATE INDEX ON workloads (gpus) WHERE gpus > 1", "an index: declared nothing", id="index"),
        pytest.param(
            "CREATE TRIGGER touch BEFORE UPDATE ON audit_logs FOR EACH ROW EXECUTE FUNCTION touch_updated_at()",
            "audit_logs: the trigger of updated_at",
            id="trigger",
        ),
    ],
)
def test_drift_is_refused_and_nothing_is_changed(postgres: Connection, statement: str, message: str) -> None:
    postgres.execute(statement.encode())
    postgres.execute("DROP INDEX audit_logs_occurred_at")
    tables = tables_of(Database.POSTGRES)
    before = catalog_reader.live(postgres, tables)
    with pytest.raises(DriftError, match=message):
        apply(postgres, Database.POSTGRES, *tables)
    assert catalog_reader.live(postgres, tables) == before
    assert postgres.execute(LEDGER).fetchall() == []


def test_drift_of_hypertables_is_refused(timescale: Connection, readings: Table) -> None:
    apply(timescale, Database.TIMESCALE, readings)
    compression = readings.compression
    assert compression is not None
    fewer = replace(readings.aggregates[0], measures={"readings": "count(*)"})
    other = replace(readings, compression=replace(compression, segment_by=("facility_id",)), aggregates=(fewer,))
    found = evolution.difference(timescale, [other])
    assert [(drift.relation, drift.what) for drift in found.drifts] == [
        ("evolving", "compression"),
        ("evolving_10s", "the query"),
    ]
    plain = replace(readings, hypertable=None, compression=None, retention=None, aggregates=())
    found = evolution.difference(timescale, [plain])
    assert [drift.declared for drift in found.drifts if drift.what == "the table"] == ["a plain table"]
    timescale.execute("DROP MATERIALIZED VIEW evolving_10s")
    timescale.execute("DROP TABLE evolving")
    apply(timescale, Database.TIMESCALE, plain)
    with pytest.raises(DriftError, match="a hypertable by observed_at, in the database a plain table"):
        apply(timescale, Database.TIMESCALE, replace(readings, aggregates=()))


def test_a_change_that_rows_break_changes_nothing(postgres: Connection) -> None:
    postgres.execute("INSERT INTO audit_logs VALUES ('e-1', 'acme', 'a', 's', 'ACCEPTED', 'r', '{}', now())")
    (audit,) = [table for table in tables_of(Database.POSTGRES) if table.name == "audit_logs"]
    stricter = replace(
        audit, checks={**audit.checks, "actor": "actor <> 'acme'"}, columns={**audit.columns, "via": "text"},
        nullable=frozenset({"via"}),
    )  # fmt: skip
    with pytest.raises(MigrationError, match=r"condition .* is new: the database refuses it"):
        apply(postgres, Database.POSTGRES, stricter)
    assert evolution.difference(postgres, [audit]).is_empty


def test_a_table_that_others_hold_is_not_waited_for(postgres: Connection, postgres_database: str) -> None:
    grown = replace(
        WORKLOADS, columns={**WORKLOADS.columns, "region": "text"}, nullable=WORKLOADS.nullable | {"region"}
    )
    with psycopg.connect(postgres_database) as reader:
        reader.execute("SELECT count(*) FROM workloads")
        with pytest.raises(MigrationError, match="others hold the table"):
            apply(postgres, Database.POSTGRES, grown, lock_wait_s=0.05)
    assert evolution.difference(postgres, [WORKLOADS]).is_empty
    assert apply(postgres, Database.POSTGRES, grown).name is not None


def test_deployments_at_one_time_take_turns(postgres_database: str) -> None:
    grown = replace(
        WORKLOADS, columns={**WORKLOADS.columns, "region": "text"}, nullable=WORKLOADS.nullable | {"region"}
    )
    together = threading.Barrier(4)

    def deploy(_: int) -> int:
        with psycopg.connect(postgres_database, autocommit=True) as connection:
            together.wait(120)
            return len(apply(connection, Database.POSTGRES, grown).changes)

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(deploy, range(4))) == [0, 0, 0, 1]


def test_the_numbered_migrations_come_first(postgres: Connection) -> None:
    files = [*migration.migrations(Database.POSTGRES), migration.Migration("9999_more", "SELECT 1")]
    with pytest.raises(MigrationError, match="9999_more is not applied yet"):
        evolution.apply(postgres, [WORKLOADS], files, lambda _: None)


def hcp(stack: RunningStack, postgres_database: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **stack.environment, "HCP_POSTGRES_DSN": postgres_database}
    return subprocess.run(
        [sys.executable, "-m", "hcp", "projections", *arguments],
        capture_output=True, text=True, cwd=ROOT, env=environment, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.usefixtures("timescale")
def test_the_command_plans_applies_and_refuses(
    stack: RunningStack, postgres_database: str, postgres: Connection
) -> None:
    index = 'CREATE INDEX IF NOT EXISTS "workloads_state_idx" ON "workloads" ("state");'
    postgres.execute("DROP INDEX workloads_state")
    planned = hcp(stack, postgres_database, "plan", "--database", "postgres", "--exit-code")
    expected = f"-- database postgres\n-- workloads: index on state is new\n{index}\n"
    assert (planned.returncode, planned.stdout) == (4, expected), planned.stderr
    applied = hcp(stack, postgres_database, "apply")
    assert applied.returncode == 0, applied.stderr
    assert "postgres: workloads: index on state is new" in applied.stderr
    assert "metrics: nothing to do" in applied.stderr
    again = hcp(stack, postgres_database, "apply", "--dry-run")
    assert (again.returncode, again.stdout) == (
        0,
        "-- database postgres\n-- nothing to do\n-- database metrics\n-- nothing to do\n",
    )
    postgres.execute("ALTER TABLE workloads ADD COLUMN extra text")
    refused = hcp(stack, postgres_database, "apply")
    assert refused.returncode == 1
    assert "column extra: declared nothing, in the database text" in refused.stderr
