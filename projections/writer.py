"""Writes rows into a table in the way its mode says, within the caller's transaction."""

import polars as pl
from psycopg import sql

from projections.copy_format import binary_copy
from projections.offset_store import Connection
from projections.table import Mode, Table, first, newest
from schemas.columnar import ROW


def write(connection: Connection, table: Table, rows: pl.DataFrame) -> int:
    """Writes the rows (the table's columns and `_row`) and returns how many the table took.

    Raises psycopg.Error; nothing is committed here.
    """
    if rows.is_empty():
        return 0
    match table.mode:
        case Mode.APPEND:
            statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT BINARY)").format(_table(table), _columns(table))
            with connection.cursor() as cursor:
                with cursor.copy(statement) as copy:
                    copy.write(binary_copy(rows, table.columns))
                return len(rows)
        case Mode.LATEST:
            return _insert(connection, table, newest(rows, table, ROW), _update(table))
        case Mode.LEDGER:
            return _insert(connection, table, first(rows, table), sql.SQL("DO NOTHING"))


def _insert(connection: Connection, table: Table, rows: pl.DataFrame, on_conflict: sql.Composable) -> int:
    arrays, values = [], []
    for name, sql_type in table.columns.items():
        # An array of jsonb would have to be quoted twice: it travels as text.
        travels_as = "text" if sql_type == "jsonb" else sql_type
        arrays.append(sql.SQL("%s::{}[]").format(sql.SQL(travels_as)))
        values.append(sql.SQL("{}::{}").format(sql.Identifier(name), sql.SQL(sql_type)))
    statement = sql.SQL(
        "INSERT INTO {table} ({columns}) SELECT {values} FROM unnest({arrays}) AS batch ({columns})"
        " ON CONFLICT ({key}) {on_conflict}"
    ).format(
        table=_table(table),
        columns=_columns(table),
        values=sql.SQL(", ").join(values),
        arrays=sql.SQL(", ").join(arrays),
        key=sql.SQL(", ").join(map(sql.Identifier, table.key)),
        on_conflict=on_conflict,
    )
    parameters = [rows[name].to_list() for name in table.columns]
    return connection.execute(statement, parameters).rowcount


def _update(table: Table) -> sql.Composed:
    changed = [name for name in table.columns if name not in table.key]
    assignments = [sql.SQL("{0} = EXCLUDED.{0}").format(sql.Identifier(name)) for name in changed]
    newer = [sql.SQL("EXCLUDED.{}").format(sql.Identifier(name)) for name in table.order]
    held = [sql.SQL("{}.{}").format(_table(table), sql.Identifier(name)) for name in table.order]
    return sql.SQL("DO UPDATE SET {assignments} WHERE ({newer}) >= ({held})").format(
        assignments=sql.SQL(", ").join(assignments),
        newer=sql.SQL(", ").join(newer),
        held=sql.SQL(", ").join(held),
    )


def _table(table: Table) -> sql.Identifier:
    return sql.Identifier(table.name)


def _columns(table: Table) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, table.columns))
