"""Reads from a database the shape of declared tables and aggregates, and how it spells the declarations themselves.

How a database spells a type or a condition depends on its version, so it is asked rather than imitated: the declared
tables are made as temporary ones in a transaction that is rolled back.
"""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from projections import ddl, shape
from projections.aggregate import Refresh
from projections.hypertable import Compression, Hypertable
from projections.offset_store import Connection
from projections.shape import AggregateShape, Shape, TableShape
from projections.table import Column, Table

_SCHEMA = "CASE WHEN %(temporary)s THEN pg_my_temp_schema() ELSE 'public'::regnamespace END"
_COLUMNS = f"""
    SELECT relation.relname, attname, format_type(atttypid, atttypmod), NOT attnotnull, pg_get_expr(adbin, adrelid),
           col_description(relation.oid, attnum)
    FROM pg_class AS relation
    JOIN pg_attribute ON attrelid = relation.oid AND attnum > 0 AND NOT attisdropped
    LEFT JOIN pg_attrdef ON adrelid = relation.oid AND adnum = attnum
    WHERE relnamespace = {_SCHEMA} AND relkind IN ('r', 'p') AND relname = ANY (%(names)s)
    ORDER BY relname, attnum
"""  # noqa: S608 - nothing but the constant above
_CHECKS = f"""
    SELECT relation.relname, conname, pg_get_expr(conbin, conrelid)
    FROM pg_class AS relation JOIN pg_constraint ON conrelid = relation.oid AND contype = 'c'
    WHERE relnamespace = {_SCHEMA} AND relname = ANY (%(names)s)
    ORDER BY conname
"""  # noqa: S608 - nothing but the constant above
_INDEXES = """
    SELECT relation.relname, indisunique AND indpred IS NULL AND indexprs IS NULL,
           substring(pg_get_indexdef(indexrelid) FROM ' USING (.*)$'),
           (SELECT array_agg(attname ORDER BY place)
            FROM unnest(indkey[0:indnkeyatts - 1]) WITH ORDINALITY AS part (number, place)
            JOIN pg_attribute ON attrelid = indrelid AND attnum = number)
    FROM pg_class AS relation JOIN pg_index ON indrelid = relation.oid AND indisvalid
    WHERE relnamespace = 'public'::regnamespace AND relname = ANY (%(names)s)
"""
_REST = """
    SELECT relname, obj_description(oid, 'pg_class'), EXISTS (
        SELECT FROM pg_trigger
        WHERE tgrelid = pg_class.oid AND NOT tgisinternal AND tgenabled <> 'D' AND tgfoid IN (
            SELECT oid FROM pg_proc WHERE proname = 'touch_updated_at'
        )
    ), (SELECT option_value::int FROM pg_options_to_table(reloptions) WHERE option_name = 'fillfactor')
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY (%(names)s)
"""
_HYPERTABLES = """
    SELECT hypertable_name, column_name, time_interval FROM timescaledb_information.dimensions
    WHERE hypertable_schema = 'public' AND hypertable_name = ANY (%(names)s) AND dimension_number = 1
"""
_COMPRESSION = """
    SELECT hypertable_name, attname, segmentby_column_index IS NOT NULL, orderby_asc, orderby_nullsfirst
    FROM timescaledb_information.compression_settings
    WHERE hypertable_schema = 'public' AND hypertable_name = ANY (%(names)s)
    ORDER BY hypertable_name, segmentby_column_index, orderby_column_index
"""
# The jobs of an aggregate are listed under its view or under the hypertable behind it, as the version will.
_JOBS = """
    SELECT coalesce(view_name, job.hypertable_name), proc_name, schedule_interval,
           (config ->> 'start_offset')::interval, (config ->> 'end_offset')::interval,
           coalesce(config ->> 'compress_after', config ->> 'drop_after')::interval
    FROM timescaledb_information.jobs AS job
    LEFT JOIN timescaledb_information.continuous_aggregates AS aggregate
      ON aggregate.materialization_hypertable_name = job.hypertable_name
    WHERE proc_name IN ('policy_retention', 'policy_compression', 'policy_refresh_continuous_aggregate')
      AND coalesce(view_name, job.hypertable_name) = ANY (%(names)s)
"""
_AGGREGATES = """
    SELECT view_name, view_definition, NOT materialized_only FROM timescaledb_information.continuous_aggregates
    WHERE view_schema = 'public' AND view_name = ANY (%(names)s)
"""
_HAS_TIMESCALE = "SELECT to_regclass('timescaledb_information.hypertables') IS NOT NULL"

_Row = tuple[Any, ...]


def live(connection: Connection, tables: Sequence[Table]) -> Shape:
    """Returns the shape that these tables and their aggregates have now; what isn't there is left out."""
    names = [table.name for table in tables]

    views = [aggregate.name for table in tables for aggregate in table.aggregates]
    ((has_timescale,),) = connection.execute(_HAS_TIMESCALE).fetchall()

    def of_timescale(statement: str, names: list[str] = names) -> list[_Row]:
        return _rows(connection, statement, names) if has_timescale else []

    jobs = {(name, kind): tuple(row) for name, kind, *row in of_timescale(_JOBS, names + views)}
    hypertables = {name: Hypertable(*row) for name, *row in of_timescale(_HYPERTABLES)}
    compression = _grouped(of_timescale(_COMPRESSION))
    columns, checks = _columns_and_checks(connection, names, temporary=False)
    indexes = _grouped(_rows(connection, _INDEXES, names))
    rest = {name: tuple(row) for name, *row in _rows(connection, _REST, names)}
    found = {
        name: TableShape(
            columns=columns[name],
            checks=checks[name],
            keys=frozenset(tuple(key) for is_key, _, key in indexes.get(name, ()) if is_key),
            indexes=frozenset(text.replace('"', "") for is_key, text, _ in indexes.get(name, ()) if not is_key),
            comment=rest[name][0],
            has_touch_trigger=rest[name][1],
            fill_percent=rest[name][2],
            hypertable=hypertables.get(name),
            compression=_compression(compression.get(name, []), _after(jobs.get((name, "policy_compression")))),
            retention=_after(jobs.get((name, "policy_retention"))),
        )
        for name in columns
    }
    aggregates = {
        name: AggregateShape(
            _single_spaced(definition),
            is_real_time,
            _refresh(jobs.get((name, "policy_refresh_continuous_aggregate"))),
            _after(jobs.get((name, "policy_retention"))),
        )
        for name, definition, is_real_time in of_timescale(_AGGREGATES, views)
    }
    return Shape(found, aggregates)


def declared(connection: Connection, tables: Sequence[Table]) -> Shape:
    """Returns the shape that the declarations ask for, in the spelling of this database. Changes nothing there."""
    names = [table.name for table in tables]
    with connection.transaction(force_rollback=True):
        for table in tables:
            connection.execute(ddl.create_table(table, temporary=True).encode())
        columns, checks = _columns_and_checks(connection, names, temporary=True)
    return Shape(
        {
            table.name: shape.of_table(table, _commented(table, columns[table.name]), checks[table.name])
            for table in tables
        },
        {
            aggregate.name: shape.of_aggregate(table, aggregate)
            for table in tables
            for aggregate in table.aggregates
        },
    )  # fmt: skip


def _rows(connection: Connection, statement: str, names: list[str], **more: object) -> list[_Row]:
    return connection.execute(statement.encode(), {"names": names, **more}).fetchall()


def _columns_and_checks(
    connection: Connection, names: list[str], *, temporary: bool
) -> tuple[dict[str, dict[str, Column]], dict[str, dict[str, str]]]:
    columns: dict[str, dict[str, Column]] = defaultdict(dict)
    for table, name, *rest in _rows(connection, _COLUMNS, names, temporary=temporary):
        columns[table][name] = Column(name, *rest)
    checks: dict[str, dict[str, str]] = defaultdict(dict)
    for table, name, condition in _rows(connection, _CHECKS, names, temporary=temporary):
        checks[table][name] = condition
    return columns, checks


def _commented(table: Table, columns: Mapping[str, Column]) -> dict[str, Column]:
    return {
        name: Column(name, found.sql_type, found.nullable, found.default, table.comments.get(name))
        for name, found in columns.items()
    }


def _grouped(rows: Sequence[_Row]) -> dict[str, list[_Row]]:
    grouped: dict[str, list[_Row]] = defaultdict(list)
    for name, *rest in rows:
        grouped[name].append(tuple(rest))
    return grouped


def _compression(rows: list[_Row], after: timedelta | None) -> Compression | None:
    if not rows:
        return None
    return Compression(
        segment_by=tuple(column for column, is_segment, _, _ in rows if is_segment),
        order_by=tuple(
            _ordering(column, ascending, nulls_first)
            for column, is_segment, ascending, nulls_first in rows
            if not is_segment
        ),
        after=after,
    )


def _ordering(column: str, ascending: bool, nulls_first: bool) -> str:
    text = column if ascending else f"{column} DESC"
    # Descending puts nulls first unless told otherwise, ascending last.
    if nulls_first is not ascending:
        return text
    return f"{text} NULLS {'FIRST' if nulls_first else 'LAST'}"


def _after(job: _Row | None) -> timedelta | None:
    return None if job is None else job[3]


def _refresh(job: _Row | None) -> Refresh | None:
    return None if job is None else Refresh(job[1], job[2], job[0])


def _single_spaced(definition: str) -> str:
    """Versions before 16 name the source before each column."""
    text = re.sub(r"\s+", " ", definition.replace('"', "")).strip().removesuffix(";")
    source = re.search(r" FROM (?:public\.)?(\w+)", text)
    return text if source is None else text.replace(f"{source[1]}.", "")
