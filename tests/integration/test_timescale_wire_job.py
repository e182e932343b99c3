"""Aggregates, policies and their jobs on the wire server, and what a kill -9 leaves of them."""

import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.wire_server import T0, Connection, WireServer, composed, copy_rows, count, create_hypertable, value

pytestmark = pytest.mark.integration
NOW = datetime.now(UTC)  # policies ask the clock of the database, which may be in the next day by then


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[WireServer]:
    """A server that looks for due jobs every second."""
    with WireServer(tmp_path / "data", "--jobs-every", "1") as server:
        yield server


def eventually(claim: Callable[[], bool], seen: Callable[[], object]) -> None:
    """Waits until `claim` holds; fails after 180 s with what was seen."""
    deadline = time.monotonic() + 180
    while not claim():
        assert time.monotonic() < deadline, seen()
        time.sleep(0.1)


def test_aggregate_of_an_aggregate_counts_late_rows(conn: Connection, table: str) -> None:
    copy_rows(conn, table, 20_000, step=timedelta(seconds=30))  # almost 7 days
    conn.execute(
        composed(
            """CREATE MATERIALIZED VIEW by_hour WITH (timescaledb.continuous) AS
            SELECT time_bucket('1 hour', ts) AS bucket, device, count(*) AS n FROM {} GROUP BY 1, 2 WITH NO DATA""",
            table,
        )
    )
    conn.execute("""CREATE MATERIALIZED VIEW by_day WITH (timescaledb.continuous) AS
        SELECT time_bucket('1 day', bucket) AS day, device, sum(n) AS n FROM by_hour GROUP BY 1, 2 WITH NO DATA""")
    conn.execute("CALL refresh_continuous_aggregate('by_hour', NULL, NULL)")
    conn.execute("CALL refresh_continuous_aggregate('by_day', NULL, NULL)")
    assert value(conn, "SELECT sum(n) FROM by_day") == 20_000
    conn.execute(composed("INSERT INTO {} VALUES (%s, 99, 1)", table), (T0,))
    conn.execute("CALL refresh_continuous_aggregate('by_hour', '2023-12-31', '2024-01-03')")
    conn.execute("CALL refresh_continuous_aggregate('by_day', '2023-12-31', '2024-01-03')")
    assert value(conn, "SELECT sum(n) FROM by_day") == 20_001
    conn.execute("ALTER MATERIALIZED VIEW by_hour SET (timescaledb.materialized_only = false)")
    conn.execute(composed("INSERT INTO {} VALUES (%s, 99, 1)", table), (T0 + timedelta(days=30),))
    assert value(conn, "SELECT sum(n) FROM by_hour") == 20_002  # real time: not refreshed yet
    conn.execute("DROP MATERIALIZED VIEW by_day")
    conn.execute("DROP MATERIALIZED VIEW by_hour")


def test_compressed_chunks_take_rows_and_retention_drops_old_ones(conn: Connection, table: str) -> None:
    start = NOW - timedelta(days=20)
    copy_rows(conn, table, 20_000, step=timedelta(seconds=86), start=start)
    conn.execute(
        composed(
            """ALTER TABLE {} SET (timescaledb.compress, timescaledb.compress_segmentby = 'device',
            timescaledb.compress_orderby = 'ts')""",
            table,
        )
    )
    compression = value(conn, "SELECT add_compression_policy(%s::regclass, interval '10 days')", (table,))
    retention = value(conn, "SELECT add_retention_policy(%s::regclass, interval '15 days')", (table,))
    chunks = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_name = %s"
    conn.execute("CALL run_job(%s)", (compression,))
    assert value(conn, chunks + " AND is_compressed", (table,)) in range(8, 12)
    assert count(conn, table) == 20_000
    moment = start + timedelta(seconds=1)
    conn.execute(composed("INSERT INTO {} VALUES (%s, 1, 1)", table), (moment,))  # into a compressed chunk
    assert conn.execute(composed("UPDATE {} SET value = -1 WHERE ts = %s", table), (moment,)).rowcount == 1
    before = value(conn, chunks, (table,))
    kept = value(conn, chunks + " AND range_end > now() - interval '15 days'", (table,))
    conn.execute("CALL run_job(%s)", (retention,))
    assert value(conn, chunks, (table,)) == kept
    assert before - kept in {5, 6}


def test_due_jobs_run_by_themselves(busy: WireServer) -> None:
    with busy.connect() as client:
        client.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        create_hypertable(client, "m")
        copy_rows(client, "m", 20_000, step=timedelta(seconds=25), start=NOW - timedelta(days=6))
        client.execute("""CREATE MATERIALIZED VIEW m_hour WITH (timescaledb.continuous) AS
            SELECT time_bucket('1 hour', ts) AS bucket, count(*) AS n FROM m GROUP BY 1 WITH NO DATA""")
        # A refresh that a busy machine does not end in its turn goes on in the next.
        client.execute("SELECT add_continuous_aggregate_policy('m_hour', NULL, interval '1 hour', interval '1 second')")
        client.execute("SELECT add_retention_policy('m', interval '4 days', schedule_interval => interval '1 second')")
        eventually(
            lambda: count(client, "m_hour") > 90 and count(client, "m") < 18_000,
            lambda: (count(client, "m_hour"), count(client, "m")),
        )
        # The planner knows by then what a watermark costs.
        cost = "SELECT procost FROM pg_proc WHERE oid = '_timescaledb_functions.cagg_watermark(integer)'::regprocedure"
        assert value(client, cost) == 10_000


def test_clients_have_their_turn_within_a_refresh(tmp_path: Path) -> None:
    with WireServer(tmp_path / "data", "--jobs-every", "3") as server, server.connect() as client:
        client.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        create_hypertable(client, "m")
        # 40 hours; each is a piece of the refresh.
        copy_rows(client, "m", 20_000, step=timedelta(seconds=7.2), start=NOW - timedelta(days=3))
        client.execute("""CREATE MATERIALIZED VIEW m_hour WITH (timescaledb.continuous) AS
            SELECT time_bucket('1 hour', ts) AS bucket, count(*) AS n FROM m GROUP BY 1 WITH NO DATA""")
        client.execute(
            "SELECT add_continuous_aggregate_policy('m_hour', interval '4 days', interval '1 hour', interval '1 hour')"
        )
        seen, deadline = {0}, time.monotonic() + 180
        while max(seen) < 40 and time.monotonic() < deadline:
            seen.add(count(client, "m_hour"))
        assert {40, 41} & seen
        # How many of its pieces a client sees is up to the machine; a refresh in one turn shows none of them.
        assert seen - {0, 40, 41}


def test_a_refresh_goes_no_further_than_the_aggregate_below_holds(busy: WireServer) -> None:
    start = (NOW - timedelta(days=2)).replace(minute=0, second=0, microsecond=0)
    policy = "SELECT add_continuous_aggregate_policy(%s, interval '4 days', interval '1 hour', interval '1 minute')"
    with busy.connect() as client:
        client.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        create_hypertable(client, "m")
        copy_rows(client, "m", 2000, step=timedelta(seconds=36), start=start)  # 20 hours
        view = """CREATE MATERIALIZED VIEW {} WITH (timescaledb.continuous) AS
            SELECT time_bucket('{}', {}) AS bucket, {} AS n FROM {} GROUP BY 1 WITH NO DATA"""
        client.execute(view.format("hours", "1 hour", "ts", "count(*)", "m").encode())
        client.execute(view.format("pairs", "2 hours", "bucket", "sum(n)", "hours").encode())
        client.execute(view.format("other", "2 hours", "ts", "count(*)", "m").encode())
        # Real time: what it doesn't hold, those above read from the rows.
        client.execute("ALTER MATERIALIZED VIEW hours SET (timescaledb.materialized_only = false)")
        client.execute("CALL refresh_continuous_aggregate('hours', NULL, %s)", (start + timedelta(hours=10),))
        client.execute(policy, ("pairs",))
        client.execute(policy, ("other",))
        # Jobs have their turns in this order.
        eventually(lambda: count(client, "other") >= 10, lambda: count(client, "other"))
        newest = value(client, "SELECT max(bucket) FROM pairs")
        assert start + timedelta(hours=5) <= newest <= start + timedelta(hours=8)


def test_killed_server_has_every_committed_row_and_no_other(busy: WireServer) -> None:
    with busy.connect() as client:
        client.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        create_hypertable(client, "m")
    expected = 0
    for crash in range(3):
        client = busy.connect()
        copy_rows(client, "m", 1000, start=NOW + timedelta(days=crash))
        expected += 1000
        client.execute("BEGIN")
        copy_rows(client, "m", 1000, start=NOW + timedelta(days=20))  # never committed
        busy.stop()
        client.close()
        busy.start()
        with busy.connect() as client:
            # The first statement is an insert: the library has to be loaded by now.
            client.execute("INSERT INTO m VALUES (%s, 1, 1)", (NOW + timedelta(days=40 + crash),))
            expected += 1
            assert count(client, "m") == expected
    assert busy.stop(signal.SIGTERM) == 0
    busy.start()
    with busy.connect() as client:
        assert count(client, "m") == expected


def test_log_is_checkpointed_as_it_grows(busy: WireServer) -> None:
    lag = "SELECT pg_wal_lsn_diff(pg_current_wal_lsn(), redo_lsn)::bigint FROM pg_control_checkpoint()"
    with busy.connect() as client:
        client.execute("CREATE TABLE w (a int, b text)")
        client.execute("INSERT INTO w SELECT i, repeat('x', 100) FROM generate_series(1, 700000) i")
        eventually(lambda: value(client, lag) < 64 << 20, lambda: value(client, lag))


def test_second_server_on_the_same_folder_is_refused(wire: WireServer) -> None:
    done = subprocess.run(wire.command("--port", "0"), capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 1
    assert "in use" in done.stderr
