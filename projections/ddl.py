"""From a declaration to SQL. Pure: statements come back as text, identifiers quoted, repeating each changes nothing.

Statements can be repeated (IF NOT EXISTS and the like) because the same difference may reach a database twice: applied
at once where it was tried, and later as a numbered file.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, cast

from psycopg import sql

from projections.aggregate import BUCKET, Aggregate
from projections.hypertable import Compression, Hypertable, interval
from projections.shape import check_name
from projections.table import Column, Table

TOUCH_FUNCTION = """CREATE OR REPLACE FUNCTION touch_updated_at() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.updated_at := now();
    RETURN NEW;
END
$$"""
"""What the trigger of touched tables calls."""


def create_table(table: Table, *, temporary: bool = False) -> str:
    """Returns the table with its columns, conditions and key; the key of a hypertable is UNIQUE, else PRIMARY."""
    lines: list[sql.Composable] = [_column(column) for column in table.sql_columns]
    lines += [_check(table, part) for part in table.checks]
    if table.key:
        kind = "PRIMARY KEY" if table.hypertable is None else "UNIQUE"
        lines.append(sql.SQL(cast("Any", kind + " ({})")).format(_names(table.key)))
    start = "CREATE TEMPORARY TABLE" if temporary else "CREATE TABLE IF NOT EXISTS"
    end = "" if table.fill_percent is None else f" WITH (fillfactor = {table.fill_percent})"
    return _text(start + " {} (\n    {}\n)" + end, sql.Identifier(table.name), sql.SQL(",\n    ").join(lines))


def set_fill(table: str, percent: int) -> str:
    """Returns the change of how full new pages are made; those that are there stay as they are."""
    return _text("ALTER TABLE {} SET (fillfactor = {})", sql.Identifier(table), sql.Literal(percent))


def add_column(table: str, column: Column) -> str:
    """Returns a column more. Where rows are there, it has to be nullable or have a default."""
    return _text("ALTER TABLE {} ADD COLUMN IF NOT EXISTS {}", sql.Identifier(table), _column(column))


def set_default(table: str, column: Column) -> str:
    """Returns the change of a default; rows that are there keep their values."""
    names = sql.Identifier(table), sql.Identifier(column.name)
    if column.default is None:
        return _text("ALTER TABLE {} ALTER COLUMN {} DROP DEFAULT", *names)
    return _text("ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {}", *names, _raw(column.default))


def add_check(table: Table, part: str) -> str:
    """Returns a condition more: every row is checked, and one that breaks it stops the change."""
    name = sql.Identifier(check_name(table, part))
    return _text(
        "ALTER TABLE {0} DROP CONSTRAINT IF EXISTS {1}, ADD {2}", sql.Identifier(table.name), name, _check(table, part)
    )


def create_index(table: str, columns: tuple[str, ...]) -> str:
    """Returns an index, named as PostgreSQL would. Writers wait while it is built."""
    parts = [column.partition(" ") for column in columns]
    name = "_".join([table, *(column for column, _, _ in parts), "idx"])[:63]
    return _text(
        "CREATE INDEX IF NOT EXISTS {} ON {} ({})", sql.Identifier(name), sql.Identifier(table), _order(columns)
    )


def comment_on_table(table: str, comment: str | None) -> str:
    """Returns a comment; None takes it away."""
    return _text("COMMENT ON TABLE {} IS {}", sql.Identifier(table), sql.Literal(comment))


def comment_on_column(table: str, column: Column) -> str:
    """Returns the comment of a column."""
    return _text(
        "COMMENT ON COLUMN {}.{} IS {}", sql.Identifier(table), sql.Identifier(column.name), sql.Literal(column.comment)
    )


def create_trigger(table: str) -> str:
    """Returns the trigger that keeps `updated_at`."""
    return _text(
        "CREATE OR REPLACE TRIGGER touch BEFORE UPDATE ON {} FOR EACH ROW EXECUTE FUNCTION touch_updated_at()",
        sql.Identifier(table),
    )


def create_hypertable(table: str, hypertable: Hypertable) -> str:
    """Returns the cut into chunks of an empty table."""
    return _text(
        "SELECT create_hypertable({}, by_range({}, {}), create_default_indexes => false, if_not_exists => true)",
        sql.Literal(table), sql.Literal(hypertable.column), _interval(hypertable.chunk),
    )  # fmt: skip


def set_chunk(table: str, hypertable: Hypertable) -> str:
    """Returns another size of chunks; those that are there keep theirs."""
    return _text("SELECT set_chunk_time_interval({}, {})", sql.Literal(table), _interval(hypertable.chunk))


def enable_compression(table: str, compression: Compression) -> str:
    """Returns the settings of compression."""
    segment_by, order_by = ", ".join(compression.segment_by), ", ".join(compression.order_by)
    return _text(
        "ALTER TABLE {} SET (timescaledb.compress, timescaledb.compress_segmentby = {},"
        " timescaledb.compress_orderby = {})",
        sql.Identifier(table), sql.Literal(segment_by), sql.Literal(order_by),
    )  # fmt: skip


def create_aggregate(table: Table, aggregate: Aggregate) -> str:
    """Returns an aggregate without data: its policy, or a refresh by hand, fills it."""
    time = sql.SQL("time_bucket({}, {}) AS {}").format(
        _interval(aggregate.bucket), sql.Identifier(table.time_column(aggregate)), sql.Identifier(BUCKET)
    )
    columns = [
        time,
        *map(sql.Identifier, aggregate.group_by),
        *(_measure(aggregate, name) for name in aggregate.measures),
    ]
    return _text(
        "CREATE MATERIALIZED VIEW IF NOT EXISTS {}"
        " WITH (timescaledb.continuous, timescaledb.materialized_only = false) AS\n"
        "SELECT {}\nFROM {}\nGROUP BY {}\nWITH NO DATA",
        sql.Identifier(aggregate.name),
        sql.SQL(",\n       ").join(columns),
        sql.Identifier(aggregate.source or table.name),
        sql.SQL(", ").join(sql.Literal(number + 1) for number in range(1 + len(aggregate.group_by))),
    )


def make_real_time(aggregate: str) -> str:
    """Returns the change that adds what isn't materialised yet to the answers of an aggregate."""
    return _text("ALTER MATERIALIZED VIEW {} SET (timescaledb.materialized_only = false)", sql.Identifier(aggregate))


def set_refresh(aggregate: Aggregate) -> str:
    """Returns the change to this policy, whatever is there."""
    refresh = aggregate.refresh
    return _text(
        "SELECT remove_continuous_aggregate_policy({0}, if_exists => true);\n"
        "SELECT add_continuous_aggregate_policy({0}, start_offset => {1}, end_offset => {2}, schedule_interval => {3})",
        sql.Literal(aggregate.name), _interval(refresh.start), _interval(refresh.end), _interval(refresh.every),
    )  # fmt: skip


def set_compress_after(table: str, after: timedelta | None) -> str:
    """Returns the change to this policy, whatever is there; None takes it away."""
    return _set_policy("compression", table, after)


def set_retention(relation: str, after: timedelta | None) -> str:
    """Returns the change to this policy, whatever is there; None takes it away: everything is kept."""
    return _set_policy("retention", relation, after)


def _set_policy(kind: str, relation: str, after: timedelta | None) -> str:
    name = sql.Literal(relation)
    remove = _text("SELECT remove_" + kind + "_policy({}, if_exists => true)", name)
    if after is None:
        return remove
    return f"{remove};\n" + _text("SELECT add_" + kind + "_policy({}, {})", name, _interval(after))


def _column(column: Column) -> sql.Composable:
    parts = [sql.Identifier(column.name), _raw(column.sql_type)]
    if not column.nullable:
        parts.append(sql.SQL("NOT NULL"))
    if column.default is not None:
        parts += [sql.SQL("DEFAULT"), _raw(column.default)]
    return sql.SQL(" ").join(parts)


def _check(table: Table, part: str) -> sql.Composable:
    name = sql.Identifier(check_name(table, part))
    return sql.SQL("CONSTRAINT {} CHECK ({})").format(name, _raw(table.checks[part]))


def _measure(aggregate: Aggregate, name: str) -> sql.Composable:
    function, column = aggregate.measure(name)
    argument = sql.SQL("*") if column == "*" else sql.Identifier(column)
    return sql.SQL("{}({}) AS {}").format(_raw(function), argument, sql.Identifier(name))


def _order(columns: Iterable[str]) -> sql.Composable:
    parts = [column.partition(" ") for column in columns]
    return sql.SQL(", ").join(sql.Identifier(name) + _raw(space + order) for name, space, order in parts)


def _names(columns: Iterable[str]) -> sql.Composable:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _interval(duration: timedelta | None) -> sql.Composable:
    return sql.SQL("NULL") if duration is None else sql.SQL("INTERVAL {}").format(sql.Literal(interval(duration)))


def _raw(fragment: str) -> sql.SQL:
    # Types, defaults and conditions are SQL in the declaration.
    return sql.SQL(cast("Any", fragment))


def _text(template: str, *parts: sql.Composable) -> str:
    return sql.SQL(cast("Any", template)).format(*parts).as_string()
