"""PostgreSQL reads back what was written in its binary forms, by COPY and as arrays, of every type that tables have."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import polars as pl
import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from projections.error import RefusedError
from projections.offset_store import Connection
from projections.sinks.postgres import translated
from projections.table import Database, Mode, Table
from projections.writer import write
from schemas.reject import ROW
from tests.running_stack import RunningStack

pytestmark = pytest.mark.integration

COLUMNS = {
    "id": "integer",
    "name": "text",
    "flag": "boolean",
    "small": "smallint",
    "large": "bigint",
    "single": "real",
    "double": "double precision",
    "at": "timestamptz",
    "day": "date",
    "raw": "bytea",
    "price": "numeric",
    "details": "jsonb",
}
TYPES: dict[str, Any] = {
    "id": pl.Int32, "name": pl.String, "flag": pl.Boolean, "small": pl.Int16, "large": pl.Int64, "single": pl.Float32,
    "double": pl.Float64, "at": pl.Datetime("ms", "UTC"), "day": pl.Date, "raw": pl.Binary,
    "price": pl.Decimal(18, 6), "details": pl.String, ROW: pl.UInt32,
}  # fmt: skip
TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "name": TEXT,
    "flag": st.booleans(),
    "small": st.integers(-(2**15), 2**15 - 1),
    "large": st.integers(-(2**63), 2**63 - 1),
    "single": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "at": st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - bounds of hypothesis are naive
        lambda at: at.replace(microsecond=at.microsecond // 1000 * 1000)
    ),
    "day": st.dates(date(1900, 1, 1), date(2200, 1, 1)),
    "raw": st.binary(max_size=20),
    "price": st.integers(-(10**18) + 1, 10**18 - 1).map(lambda units: Decimal(units).scaleb(-6)),
    "details": st.dictionaries(TEXT, st.integers() | TEXT | st.lists(TEXT), max_size=3).map(json.dumps),
}
ROWS = st.lists(st.fixed_dictionaries({name: st.none() | value for name, value in VALUES.items()}), max_size=8)
EDGES = {
    "name": "", "flag": False, "small": -(2**15), "large": -(2**63), "single": 0.0, "double": -0.0,
    "at": datetime(1999, 12, 31, 23, 59, 59, 999000, UTC), "day": date(1999, 12, 31), "raw": b"",
    "price": Decimal("-0.000001"), "details": "{}",
}  # fmt: skip


@pytest.fixture(scope="module")
def connection(stack: RunningStack) -> Iterator[Connection]:
    """A session with an empty table of every type, gone with it."""
    with psycopg.connect(stack.postgres_dsn, autocommit=True) as found:
        listed = ", ".join(f"{name} {sql_type}" for name, sql_type in COLUMNS.items())
        found.execute(f"CREATE TEMP TABLE every_type ({listed}, UNIQUE (id))".encode())
        yield found


def in_frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    numbered = [{"id": number, **row, ROW: number} for number, row in enumerate(rows)]
    return pl.DataFrame(numbered, schema=TYPES)


def value_of(row: dict[str, Any], name: str) -> Any:
    """A value as it is read: jsonb comes parsed."""
    return json.loads(row[name]) if name == "details" and row[name] is not None else row[name]


@pytest.mark.parametrize("mode", [Mode.APPEND, Mode.LEDGER, Mode.LATEST], ids=str)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(rows=[EDGES, dict.fromkeys(VALUES)])
@example(rows=[dict.fromkeys(VALUES)])
@given(rows=ROWS)
def test_what_was_written_is_read_back(connection: Connection, mode: Mode, rows: list[dict[str, Any]]) -> None:
    key = () if mode is Mode.APPEND else ("id",)
    order = ("id",) if mode is Mode.LATEST else ()
    table = Table("every_type", Database.POSTGRES, mode, {}, COLUMNS, key=key, order=order)
    connection.execute("TRUNCATE every_type")
    assert write(connection, table, in_frame(rows)) == len(rows)
    # The text of a real is the shortest that tells it from its neighbours; as a double it is all of it.
    listed = ", ".join("single::double precision" if name == "single" else name for name in COLUMNS)
    found = connection.execute(f"SELECT {listed} FROM every_type ORDER BY id".encode()).fetchall()
    assert found == [(number, *(value_of(row, name) for name in VALUES)) for number, row in enumerate(rows)]


def test_one_long_text_does_not_make_all_rows_long(connection: Connection) -> None:
    # As a matrix 2,000 rows as wide as the longest would be 2 GB.
    rows = [{**EDGES, "name": "x"} for _ in range(2_000)]
    rows[777]["name"] = "é" * 500_000
    table = Table("every_type", Database.POSTGRES, Mode.APPEND, {}, COLUMNS)
    connection.execute("TRUNCATE every_type")
    assert write(connection, table, in_frame(rows)) == 2_000
    lengths = connection.execute("SELECT length(name), count(*) FROM every_type GROUP BY 1 ORDER BY 1").fetchall()
    assert lengths == [(1, 1_999), (500_000, 1)]


def test_a_value_that_its_column_can_not_hold_is_refused_and_not_cut(connection: Connection) -> None:
    table = Table("every_type", Database.POSTGRES, Mode.APPEND, {}, {"id": "integer"})
    frame = pl.DataFrame({"id": [1, 2**40], ROW: [0, 1]}, schema={"id": pl.Int64, ROW: pl.UInt32})
    connection.execute("TRUNCATE every_type")
    with pytest.raises(RefusedError), translated(), connection.transaction():
        write(connection, table, frame)
    assert connection.execute("SELECT count(*) FROM every_type").fetchall() == [(0,)]
