"""A hypertable rebuilt on the real TimescaleDB: it keeps its aggregates and policies, and its worker goes on writing.

The database is shared by the session, so the hypertable is one of this module's own.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest

from projections.error import FencedError
from projections.rebuild.filling import StoppedError
from projections.rebuild.run import rebuild
from tests.projection_world import TIMEOUT_S, ProjectionWorld
from tests.rebuild_world import PROBE, config, quiet, rebuilt, verified, worker
from tests.rollup_world import reading

pytestmark = pytest.mark.integration

MAKE = """
    CREATE TABLE rebuild_probe (
        observed_at timestamptz NOT NULL, device_id text NOT NULL, power_w double precision NOT NULL
    );
    COMMENT ON TABLE rebuild_probe IS 'probe';
    SELECT create_hypertable('rebuild_probe', by_range('observed_at', INTERVAL '1 hour'));
    CREATE INDEX rebuild_probe_device ON rebuild_probe (device_id, observed_at);
    CREATE VIEW rebuild_probe_newest AS SELECT device_id, max(observed_at) AS at FROM rebuild_probe GROUP BY 1;
    ALTER TABLE rebuild_probe SET (timescaledb.compress, timescaledb.compress_segmentby = 'device_id',
                                   timescaledb.compress_orderby = 'observed_at DESC');
"""
AGGREGATE = """
    CREATE MATERIALIZED VIEW rebuild_probe_{name} WITH (timescaledb.continuous, timescaledb.materialized_only = {kept})
    AS SELECT time_bucket(INTERVAL '{width}', {time}) AS bucket, {count} AS n, sum({power}) AS power_w
    FROM rebuild_probe{source} GROUP BY 1 WITH NO DATA
"""
POLICIES = """
    SELECT add_compression_policy('rebuild_probe', INTERVAL '2 days');
    SELECT add_retention_policy('rebuild_probe', INTERVAL '30 days');
    SELECT add_retention_policy('rebuild_probe_1m', INTERVAL '60 days');
    SELECT add_continuous_aggregate_policy(
        'rebuild_probe_1m', INTERVAL '2 days', INTERVAL '1 minute', INTERVAL '1 minute');
"""
DROP = """
    DROP MATERIALIZED VIEW IF EXISTS rebuild_probe_5m;
    DROP MATERIALIZED VIEW IF EXISTS rebuild_probe_1m;
    DROP VIEW IF EXISTS rebuild_probe_newest;
    DROP TABLE IF EXISTS rebuild_probe__next;
    DROP TABLE IF EXISTS rebuild_probe;
"""
NAMED = "WHERE hypertable_name ~ 'rebuild_probe' OR view_name ~ 'rebuild_probe'"
INFORMATION = (
    "SELECT * FROM timescaledb_information.continuous_aggregates WHERE view_name ~ 'rebuild_probe' ORDER BY view_name",
    # When a job runs next changes by itself.
    """SELECT job_id, application_name, schedule_interval, max_runtime, max_retries, retry_period, proc_name, owner,
       scheduled, fixed_schedule, config::text, hypertable_name FROM timescaledb_information.jobs ORDER BY job_id""",
    "SELECT * FROM timescaledb_information.dimensions WHERE hypertable_name = 'rebuild_probe'",
    "SELECT * FROM timescaledb_information.hypertable_compression_settings WHERE hypertable::text = 'rebuild_probe'",
    "SELECT indexdef FROM pg_indexes WHERE tablename = 'rebuild_probe' ORDER BY 1",
    "SELECT oid, relacl::text, obj_description(oid) FROM pg_class WHERE relname ~ '^rebuild_probe' ORDER BY 1",
)
HOUR = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
"""Retention looks at the clock, so the readings are of today."""


def execute(world: ProjectionWorld, script: str) -> None:
    with psycopg.connect(world.dsn, autocommit=True) as connection:
        for statement in script.split(";\n"):
            connection.execute(statement.encode())


@pytest.fixture
def probe(timescale_world: ProjectionWorld) -> Iterator[ProjectionWorld]:
    """The hypertable with an aggregate of an aggregate and all kinds of policies."""
    execute(timescale_world, DROP)
    execute(timescale_world, MAKE)
    minute = {"name": "1m", "kept": "false", "width": "1 minute", "time": "observed_at", "count": "count(*)"}
    execute(timescale_world, AGGREGATE.format(**minute, power="power_w", source=""))
    five = {"name": "5m", "kept": "true", "width": "5 minutes", "time": "bucket", "count": "sum(n)"}
    execute(timescale_world, AGGREGATE.format(**five, power="power_w", source="_1m"))
    execute(timescale_world, POLICIES)
    yield timescale_world
    execute(timescale_world, DROP)


def send(world: ProjectionWorld, first: int, count: int) -> None:
    """Readings a minute apart, from six hours ago on, each of as many watts as its number."""
    for number in range(first, first + count):
        event = reading(0, f"probe-{number % 3}", power_w=float(number))
        moment = HOUR - timedelta(hours=6) + timedelta(minutes=number % 300, milliseconds=number // 300)
        world.send_event("telemetry.asic", replace(event, observed_at=moment), number % 4)


def information(world: ProjectionWorld) -> list[list[tuple[Any, ...]]]:
    return [world.query(statement) for statement in INFORMATION]


TOTAL = "SELECT count(*), sum(power_w) FROM rebuild_probe"


def test_a_hypertable_is_swapped_under_its_worker_with_aggregates_and_policies_intact(probe: ProjectionWorld) -> None:
    send(probe, 0, 300)
    probe.flush()
    with worker(probe, PROBE):
        probe.await_rows(TOTAL, lambda rows: rows == [(300, 299 * 150.0)])
        # What is not what the log says: a forged reading, in the table and in both aggregates, and compressed.
        execute(probe, f"UPDATE rebuild_probe SET power_w = 1e6 WHERE observed_at = '{HOUR - timedelta(hours=6)}'")
        execute(probe, "CALL refresh_continuous_aggregate('rebuild_probe_1m', NULL, NULL)")
        execute(probe, "CALL refresh_continuous_aggregate('rebuild_probe_5m', NULL, NULL)")
        execute(probe, "SELECT compress_chunk(c) FROM show_chunks('rebuild_probe') AS c LIMIT 2")
        assert probe.query("SELECT sum(power_w) FROM rebuild_probe_5m") == [(1e6 + 299 * 150.0,)]
        verdict = verified(probe, PROBE)
        assert (len(verdict.only_served), len(verdict.only_rebuilt)) == (1, 1)
        before = information(probe)
        stop = threading.Event()
        with ThreadPoolExecutor(1) as pool:

            def go_on() -> int:
                number = 300
                while not stop.wait(0.005):
                    send(probe, number, 10)
                    number += 10
                return number

            sending = pool.submit(go_on)
            found = rebuilt(probe, PROBE)
            stop.set()
            last = sending.result(TIMEOUT_S)
        probe.flush()
        assert found.rows >= 300
        # 0 + 1 + … + (last - 1): nothing is doubled or lost, the forged reading is as it was sent.
        total = (last, last * (last - 1) / 2.0)
        probe.await_rows(TOTAL, lambda rows: rows[0][0] >= last)
        assert probe.query(TOTAL) == [total]
        assert information(probe) == before
        assert verified(probe, PROBE).is_equal
    # The rebuild refreshed what was materialised; what came since is the policy's.
    execute(probe, "CALL refresh_continuous_aggregate('rebuild_probe_1m', NULL, NULL)")
    execute(probe, "CALL refresh_continuous_aggregate('rebuild_probe_5m', NULL, NULL)")
    assert probe.query("SELECT sum(n)::int, sum(power_w) FROM rebuild_probe_5m") == [total]
    assert probe.query("SELECT count(*) FROM rebuild_probe_newest") == [(3,)]


def test_aggregates_are_what_the_rebuilt_table_says_and_keep_what_is_older(probe: ProjectionWorld) -> None:
    send(probe, 0, 60)
    probe.flush()
    assert rebuilt(probe, PROBE).rows == 60  # a worker that has never run: filled from the log
    old = HOUR - timedelta(days=40)
    execute(probe, f"INSERT INTO rebuild_probe VALUES ('{old}', 'gone', 7)")
    execute(probe, f"UPDATE rebuild_probe SET power_w = 1e6 WHERE observed_at = '{HOUR - timedelta(hours=6)}'")
    execute(probe, "CALL refresh_continuous_aggregate('rebuild_probe_1m', NULL, NULL)")
    execute(probe, "CALL refresh_continuous_aggregate('rebuild_probe_5m', NULL, NULL)")
    # 40 days are beyond retention, so the row that only the aggregates will remember is no loss.
    assert rebuilt(probe, PROBE).rows == 60
    total = 59 * 30.0
    assert probe.query(TOTAL) == [(60, total)]
    for name in ("1m", "5m"):
        assert probe.query(f"SELECT sum(n)::int, sum(power_w) FROM rebuild_probe_{name}") == [(61, total + 7)]


def test_a_rebuild_that_slept_can_not_swap_what_a_later_one_fills(probe: ProjectionWorld) -> None:
    send(probe, 0, 30)
    probe.flush()
    assert rebuilt(probe, PROBE).rows == 30
    sleeps, may_wake = threading.Event(), threading.Event()

    def sleep_before_the_swap(step: str, _done: int, _total: int) -> None:
        if step.endswith("reading the rebuilt table"):
            sleeps.set()
            assert may_wake.wait(TIMEOUT_S)

    with ThreadPoolExecutor(1) as pool:
        earlier = pool.submit(rebuild, config(probe, PROBE), threading.Event(), sleep_before_the_swap)
        assert sleeps.wait(TIMEOUT_S)
        later = threading.Event()
        later.set()
        try:
            # It has taken the half-filled table over, and stops: what the earlier one would swap is this.
            with pytest.raises(StoppedError):
                rebuild(config(probe, PROBE, from_scratch=True), later, quiet)
        finally:
            may_wake.set()
        with pytest.raises(FencedError, match="another rebuild of it"):
            earlier.result(TIMEOUT_S)
    assert probe.query("SELECT count(*) FROM rebuild_probe") == [(30,)]
