"""The TimescaleDB wire server as a test sees it: on a port and in a folder of its own, with options of its own."""

import os
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, LiteralString, Self

import psycopg
import pytest
from psycopg import sql

from deploy.local import wheel
from deploy.local.port import free_ports
from deploy.local.progress import Progress
from deploy.local.timescaledb import TIMESCALE, unpack
from tests.stack_fixture import parts_directory

T0 = datetime(2024, 1, 1, tzinfo=UTC)
Connection = psycopg.Connection[tuple[Any, ...]]


class WireServer:
    """server.mjs in a process of ours."""

    def __init__(self, data: Path, *options: str) -> None:
        self.data, self.options = data, options
        self.start()

    def start(self) -> None:
        """Starts the server and waits for its ready line."""
        self.port = free_ports(self.data, ["wire"])["wire"]
        with self.data.with_suffix(".log").open("ab") as log:
            self.process = subprocess.Popen(self.command("--port", str(self.port)), stdout=subprocess.PIPE, stderr=log)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line.startswith(b"ready "), f"the server did not start: {line!r}"

    def command(self, *options: str) -> Sequence[str]:
        """Returns the words that start a server on this folder."""
        assert TIMESCALE.part is not None
        part = TIMESCALE.part.provide(parts_directory(), Progress())
        unpack(part, self.data)
        return [str(wheel.node()), str(part / "server.mjs"), "--data", str(self.data), *self.options, *options]

    @property
    def dsn(self) -> str:
        """Where the server listens; it takes any user and database."""
        return f"host=127.0.0.1 port={self.port} user=postgres password=ignored dbname=any"

    def connect(self, *, autocommit: bool = True, prepare_threshold: int | None = 5) -> Connection:
        """Returns a new connection."""
        return psycopg.connect(self.dsn, connect_timeout=99, autocommit=autocommit, prepare_threshold=prepare_threshold)

    def stop(self, stop_signal: signal.Signals = signal.SIGKILL) -> int:
        """Sends a signal and returns the exit status."""
        self.process.send_signal(stop_signal)
        status = self.process.wait(120)
        if self.process.stdout is not None:
            self.process.stdout.close()
        return status

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        """Ends the server if it still runs."""
        if self.process.poll() is None:
            self.stop()


@pytest.fixture(scope="session")
def wire(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WireServer]:
    """One server without background rounds; must end cleanly."""
    with WireServer(tmp_path_factory.mktemp("wire") / "data", "--jobs-every", "0") as server:
        with server.connect() as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
        yield server
        assert server.stop(signal.SIGTERM) == 0


@pytest.fixture
def conn(wire: WireServer) -> Iterator[Connection]:
    """A connection to `wire`."""
    with wire.connect() as connection:
        yield connection


@pytest.fixture
def table(conn: Connection, request: pytest.FixtureRequest) -> str:
    """A fresh hypertable on `wire`, named after the test."""
    return create_hypertable(conn, request.node.name.split("[")[0][:60])


def drop_line(connection: Connection) -> None:
    """Resets the TCP connection without a word, as a client that crashed does."""
    line = socket.socket(fileno=os.dup(connection.fileno()))
    line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    line.shutdown(socket.SHUT_RDWR)
    line.close()


def create_hypertable(connection: Connection, name: str) -> str:
    """Creates hypertable `name` (ts timestamptz, device int, value float8; a chunk a day) and returns its name."""
    columns = "(ts timestamptz NOT NULL, device int NOT NULL, value float8, UNIQUE (device, ts))"
    connection.execute(sql.SQL("CREATE TABLE {} " + columns).format(sql.Identifier(name)))
    connection.execute("SELECT create_hypertable(%s, by_range('ts', interval '1 day'))", (name,))
    return name


def composed(template: LiteralString, table: str) -> sql.Composed:
    """Returns `template` with {} replaced by the table's name."""
    return sql.SQL(template).format(sql.Identifier(table))


def value(connection: Connection, query: LiteralString | sql.Composed, parameters: Sequence[Any] = ()) -> Any:
    """Returns the first column of the first row."""
    row = connection.execute(query, parameters or None).fetchone()
    assert row is not None
    return row[0]


def count(connection: Connection, table: str) -> int:
    """Returns how many rows a table has."""
    return int(value(connection, composed("SELECT count(*) FROM {}", table)))


def copy_rows(
    connection: Connection, table: str, rows: int, step: timedelta = timedelta(seconds=1), start: datetime = T0
) -> None:
    """Copies rows in binary: one a `step` from `start`, devices 0 to 9 in turn, values 0, 0.5, 1 …"""
    statement = composed("COPY {} (ts, device, value) FROM STDIN (FORMAT BINARY)", table)
    with connection.cursor() as cursor, cursor.copy(statement) as copy:
        copy.set_types(["timestamptz", "int4", "float8"])
        for number in range(rows):
            copy.write_row((start + step * number, number % 10, number * 0.5))
