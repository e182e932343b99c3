"""The TimescaleDB wire server, seen by psycopg as a client of a real server sees it: types, COPY, hypertables, jobs."""

import decimal
import re
import socket
import subprocess
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, LiteralString

import psycopg
import pytest
from psycopg import sql
from psycopg.types.json import Jsonb

from deploy.local import wheel
from tests.wire_server import T0, Connection, WireServer, composed, copy_rows, count, value

pytestmark = pytest.mark.integration


def test_server_says_what_it_is(conn: Connection) -> None:
    extension = value(conn, "SELECT extversion FROM pg_extension WHERE extname = 'timescaledb'")
    assert (extension[:4], conn.info.server_version // 10000, conn.info.encoding) == ("2.23", 17, "utf-8")


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize(
    ("given", "query"),
    [
        pytest.param(7, "SELECT %s::int8", id="int8"),
        pytest.param("häß€", "SELECT %s::text", id="text"),
        pytest.param(decimal.Decimal("1.50"), "SELECT %s::numeric", id="numeric"),
        pytest.param(uuid.UUID(int=5), "SELECT %s::uuid", id="uuid"),
        pytest.param(b"\0\1\2" * 9, "SELECT %s::bytea", id="bytea"),
        pytest.param([1, 2, 3], "SELECT %s::int4[]", id="array"),
        pytest.param(T0, "SELECT %s::timestamptz", id="timestamptz"),
        pytest.param(timedelta(hours=5), "SELECT %s::interval", id="interval"),
        pytest.param(None, "SELECT %s::text", id="null"),
    ],
)
def test_value_comes_back_as_it_went(conn: Connection, given: object, query: LiteralString, binary: bool) -> None:
    assert conn.execute(query, (given,), binary=binary).fetchone() == (given,)


def test_json_comes_back_as_it_went(conn: Connection) -> None:
    assert value(conn, "SELECT %s::jsonb", (Jsonb({"a": [1]}),)) == {"a": [1]}


def test_error_leaves_the_connection_usable(conn: Connection) -> None:
    with pytest.raises(psycopg.errors.DivisionByZero):
        conn.execute("SELECT 1/0")
    with pytest.raises(psycopg.errors.UndefinedTable):
        conn.execute("SELECT * FROM nope WHERE a = %s", (1,))
    assert value(conn, "SELECT %s::int", (5,)) == 5


def test_cursor_savepoint_and_pipeline_work(wire: WireServer) -> None:
    with wire.connect(autocommit=False) as connection:
        with connection.cursor("named") as cursor:
            cursor.itersize = 100
            cursor.execute("SELECT generate_series(1, 1000)")
            assert sum(row[0] for row in cursor) == 1000 * 1001 // 2
        with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute("SELECT 1/0")
        with connection.pipeline():
            cursors = [connection.execute("SELECT %s::int", (number,)) for number in range(50)]
        assert [cursor.fetchall() for cursor in cursors] == [[(number,)] for number in range(50)]


def test_large_messages_pass_whole(conn: Connection) -> None:
    assert value(conn, "SELECT length(%s)", ("x" * 20_000_000,)) == 20_000_000
    assert len(value(conn, "SELECT repeat('y', 30000000)")) == 30_000_000
    assert len(conn.execute("SELECT i, i::text FROM generate_series(1, 200000) i").fetchall()) == 200_000


def test_binary_copy_in_a_transaction_fills_chunks(conn: Connection, table: str) -> None:
    with conn.transaction():
        copy_rows(conn, table, 200_000)  # 200,000 s: two days and some
        assert count(conn, table) == 200_000
    assert value(conn, "SELECT count(*) FROM show_chunks(%s)", (table,)) == 3
    assert value(conn, composed("SELECT count(*) FROM ONLY {}", table)) == 0


@pytest.mark.parametrize(
    ("form", "text"),
    [
        pytest.param("", "1\tone\n2\ttwo\n", id="text"),
        pytest.param("(FORMAT CSV)", '1,one\n2,"two"\n', id="csv"),
        pytest.param("WITH (FORMAT csv, HEADER true)", 'a,b\n1,one\n2,"two"\n', id="header"),
    ],
)
def test_copy_takes_text_and_csv(conn: Connection, form: LiteralString, text: str) -> None:
    conn.execute("DROP TABLE IF EXISTS copy_form; CREATE TABLE copy_form (a int, b text)")
    with conn.cursor().copy(sql.SQL("COPY copy_form FROM STDIN " + form)) as copy:
        copy.write(text)
    assert conn.execute("SELECT * FROM copy_form ORDER BY 1").fetchall() == [(1, "one"), (2, "two")]


def test_copy_out_gives_every_row(conn: Connection, table: str) -> None:
    copy_rows(conn, table, 5000)
    query = composed("COPY (SELECT device, value FROM {} ORDER BY value) TO STDOUT (FORMAT BINARY)", table)
    with conn.cursor().copy(query) as copy:
        copy.set_types(["int4", "float8"])
        rows = list(copy.rows())
    assert (len(rows), rows[:2]) == (5000, [(0, 0.0), (1, 0.5)])


@pytest.mark.parametrize("rows", [3, 50_000])
@pytest.mark.parametrize("in_transaction", [False, True])
def test_failed_copy_leaves_nothing_and_the_connection_usable(
    wire: WireServer, rows: int, in_transaction: bool
) -> None:
    with wire.connect() as connection:
        connection.execute("DROP TABLE IF EXISTS copy_error; CREATE TABLE copy_error (a int, b text)")
        if in_transaction:
            connection.execute("BEGIN; INSERT INTO copy_error VALUES (1, 'before')")
        with pytest.raises(psycopg.errors.InvalidTextRepresentation, match="bad"):
            _copy(connection, "bad\tx\n", *(f"{number}\tx\n" for number in range(rows)))
        if in_transaction:
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                connection.execute("SELECT 1")
            connection.execute("ROLLBACK")
        assert count(connection, "copy_error") == 0
        with connection.cursor().copy("COPY copy_error FROM STDIN") as copy:
            copy.write("1\tok\n")
        assert count(connection, "copy_error") == 1


def test_copy_that_the_client_gives_up_leaves_nothing(conn: Connection) -> None:
    conn.execute("DROP TABLE IF EXISTS copy_error; CREATE TABLE copy_error (a int, b text)")

    def lines() -> Iterator[str]:
        yield "1\tx\n"
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        _copy(conn, *lines())
    assert count(conn, "copy_error") == 0
    assert value(conn, "SELECT 'copy t from stdin'") == "copy t from stdin"


def _copy(connection: Connection, *lines: str) -> None:
    with connection.cursor().copy("COPY copy_error FROM STDIN") as copy:
        for line in lines:
            copy.write(line)


def test_savepoint_recovers_from_a_failed_copy(wire: WireServer) -> None:
    with wire.connect(autocommit=False) as connection:
        connection.execute("CREATE TABLE copy_savepoint (a int PRIMARY KEY)")
        with (
            pytest.raises(psycopg.errors.UniqueViolation),
            connection.transaction(),
            connection.cursor().copy("COPY copy_savepoint FROM STDIN") as copy,
        ):
            copy.write("1\n1\n")
        with connection.cursor().copy("COPY copy_savepoint FROM STDIN") as copy:
            copy.write("1\n2\n")
        assert count(connection, "copy_savepoint") == 2


def test_upsert_of_arrays_replaces_rows(conn: Connection, table: str) -> None:
    upsert = composed(
        "INSERT INTO {} SELECT * FROM unnest(%s::timestamptz[], %s::int[], %s::float8[]) "
        "ON CONFLICT (device, ts) DO UPDATE SET value = EXCLUDED.value",
        table,
    )
    times: list[Any] = [T0 + timedelta(seconds=number) for number in range(10_000)]
    for written in (0.0, 2.0):
        assert conn.execute(upsert, (times, [1] * 10_000, [written] * 10_000)).rowcount == 10_000
    assert conn.execute(composed("SELECT count(*), min(value) FROM {}", table)).fetchone() == (10_000, 2.0)


def test_time_functions_and_chunk_exclusion_work(conn: Connection, table: str) -> None:
    copy_rows(conn, table, 2000, step=timedelta(minutes=1))  # 33 hours and 20 minutes, value 0.5 a row
    hours = """SELECT time_bucket('1 hour', ts), count(*), first(value, ts), last(value, ts)
        FROM {} GROUP BY 1 ORDER BY 1"""
    rows = conn.execute(composed(hours, table)).fetchall()
    assert (len(rows), rows[0]) == (34, (T0, 60, 0.0, 29.5))
    days = """SELECT time_bucket_gapfill('1 day', ts, '2023-12-30'::timestamptz, '2024-01-04'::timestamptz),
        locf(avg(value)) FROM {} GROUP BY 1"""
    assert len(conn.execute(composed(days, table)).fetchall()) == 5
    explain = "EXPLAIN SELECT * FROM {} WHERE ts >= '2024-01-02' AND ts < '2024-01-02 06:00'"
    plan = "\n".join(row[0] for row in conn.execute(composed(explain, table)))
    assert len(set(re.findall(r"_hyper_\d+_\d+_chunk", plan))) == 1


def test_cancel_request_tls_request_and_foreign_protocol_do_no_harm(wire: WireServer, conn: Connection) -> None:
    conn.cancel()  # accepted and ignored
    assert value(conn, "SELECT 1") == 1
    with psycopg.connect(wire.dsn, sslmode="prefer") as other:
        assert value(other, "SELECT 2") == 2
    with socket.create_connection(("127.0.0.1", wire.port)) as line:
        line.sendall(b"GET / HTTP/1.1\r\n\r\n")
        line.recv(1000)
    assert value(conn, "SELECT 3") == 3


def test_psql_works_with_meta_commands_and_copy(wire: WireServer) -> None:
    script = "CREATE TABLE pq (a int);\nCOPY pq FROM stdin;\n1\n2\n\\.\nCOPY pq TO stdout;\n\\d pq\n"
    script += "SELECT count(*) FROM pq;\n"
    command = [str(wheel.postgres("psql")), "-X", "-q", "-At", "-v", "ON_ERROR_STOP=1", wire.dsn]
    done = subprocess.run(command, input=script, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert (lines[:2], lines[-1]) == (["1", "2"], "2")
