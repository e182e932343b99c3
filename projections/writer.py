"""Writes rows into a table in the way its mode says, within the caller's transaction."""

from collections.abc import Sequence
from typing import Any, cast

import polars as pl
from psycopg import sql
from psycopg.adapt import Buffer, Dumper
from psycopg.pq import Format

from projections.copy_format import HEADER, TRAILER, binary_array, binary_rows
from projections.newest import newest
from projections.offset_store import Connection
from projections.table import Mode, Table, first
from schemas.reject import ROW

_ARRAY_OIDS = {
    "boolean": 1000, "bytea": 1001, "smallint": 1005, "integer": 1007, "text": 1009, "bigint": 1016, "real": 1021,
    "double precision": 1022, "date": 1182, "timestamptz": 1185, "numeric": 1231,
}  # fmt: skip
"""Object ids of the array types (src/include/catalog/pg_type.dat)."""


class _Column:
    """A column as a parameter: the array's type and its binary form."""

    def __init__(self, column: pl.Series, sql_type: str) -> None:
        self.array_oid = _ARRAY_OIDS[sql_type]
        self.data = binary_array(column, sql_type)


class _ColumnDumper(Dumper):
    format = Format.BINARY

    def get_key(self, obj: _Column, format: Any) -> Any:  # noqa: A002 - psycopg's signature
        return (_Column, obj.array_oid)

    def upgrade(self, obj: _Column, format: Any) -> Dumper:  # noqa: A002 - psycopg's signature
        dumper = type(self)(_Column)
        dumper.oid = obj.array_oid
        return dumper

    def dump(self, obj: _Column) -> Buffer:
        return obj.data


def reduced(table: Table, rows: pl.DataFrame) -> pl.DataFrame:
    """Returns those of the rows that `write` sends. Of rows reduced in parts and together the result is the same.

    Those that are copied into a hypertable go in the order of time, for its index (`Table.all_indexes`).
    """
    match table.mode:
        case Mode.APPEND:
            return rows if table.hypertable is None else rows.sort(table.hypertable.column, maintain_order=True)
        case Mode.LATEST | Mode.WINDOW:
            return newest(rows, table, ROW)
        case Mode.LEDGER:
            return first(rows, table)


def encoded(table: Table, rows: pl.DataFrame) -> tuple[memoryview, ...] | None:
    """Returns what `write` sends, where that can be made before: the rows of a table that is copied to."""
    return (binary_rows(rows, table.columns),) if table.mode is Mode.APPEND else None


def write(
    connection: Connection, table: Table, rows: pl.DataFrame, target: str | None = None,
    made: Sequence[bytes | memoryview] | None = None,
) -> int:  # fmt: skip
    """Writes the rows (the table's columns and `_row`) and returns how many the table took.

    `target` is the name of a table of the same form to write to instead; `made` is what `encoded` returned for the
    rows. Raises psycopg.Error; nothing is committed here.
    """
    if rows.is_empty():
        return 0
    name = sql.Identifier(target or table.name)
    match table.mode:
        case Mode.APPEND:
            statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(name, _columns(table))
            with connection.cursor() as cursor:
                with cursor.copy(statement) as copy:
                    for piece in (HEADER, *(made or [binary_rows(rows, table.columns)]), TRAILER):
                        copy.write(piece)
                return len(rows)
        case Mode.LATEST:
            return _insert(connection, table, name, reduced(table, rows), _update(table, name, ">="))
        case Mode.WINDOW:
            return _insert(connection, table, name, reduced(table, rows), _update(table, name, ">"))
        case Mode.LEDGER:
            return _insert(connection, table, name, reduced(table, rows), sql.SQL("DO NOTHING"))


def _insert(
    connection: Connection, table: Table, name: sql.Identifier, rows: pl.DataFrame, on_conflict: sql.Composable
) -> int:
    values, parameters = [], []
    for column, sql_type in table.columns.items():
        # PostgreSQL parses jsonb from text faster than we would make its array.
        travels_as = "text" if sql_type == "jsonb" else sql_type
        types = sql.SQL(cast("Any", travels_as)), sql.SQL(cast("Any", sql_type))
        values.append(sql.SQL("unnest(%b::{}[])::{}").format(*types))
        parameters.append(_Column(rows[column], travels_as))
    statement = sql.SQL("INSERT INTO {table} ({columns}) SELECT {values} ON CONFLICT ({key}) {on_conflict}").format(
        table=name,
        columns=_columns(table),
        values=sql.SQL(", ").join(values),
        key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
        on_conflict=on_conflict,
    )
    with connection.cursor() as cursor:
        cursor.adapters.register_dumper(_Column, _ColumnDumper)
        return cursor.execute(statement, parameters).rowcount


def _update(table: Table, name: sql.Identifier, comparison: Any) -> sql.Composed:
    changed = [column for column in table.columns if column not in table.key]
    assignments = [sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(column)) for column in changed]
    newer = [sql.SQL("EXCLUDED.{}").format(sql.Identifier(column)) for column in table.order]
    held = [sql.SQL("{}.{}").format(name, sql.Identifier(column)) for column in table.order]
    return sql.SQL("DO UPDATE SET {assignments} WHERE ({newer}) {comparison} ({held})").format(
        assignments=sql.SQL(", ").join(assignments),
        newer=sql.SQL(", ").join(newer),
        comparison=sql.SQL(comparison),
        held=sql.SQL(", ").join(held),
    )


def _columns(table: Table) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, table.columns))
