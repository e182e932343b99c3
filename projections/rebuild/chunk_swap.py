"""A hypertable gets the chunks of `TABLE__next` in place of its own, in the caller's transaction.

The hypertable stays what it is: its privileges, triggers, views, policies and continuous aggregates are not touched,
and an aggregate keeps what it holds of times whose readings retention has dropped. The parts of an aggregate that the
readings are there for are refreshed afterwards (`refresh_aggregate`); until then they show what they showed.

A refresh policy whose window reaches further back than the readings do will drop what it finds there, as it does
without a rebuild. Chunks are attached uncompressed; the compression policy takes them when it is due. They keep the
names of the hypertable that they were made in, and so do their indexes. In the embedded TimescaleDB, which has one
session for all, every transaction makes all others wait: a count or a checksum of a large table too.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from psycopg import errors, sql
from psycopg.types.json import Jsonb

from projections.error import ProjectionError
from projections.offset_store import Connection
from projections.rebuild import form
from projections.rebuild.checksum import Since
from projections.rebuild.form import quoted
from projections.table import Table

_MARGIN = timedelta(hours=1)
"""A retention job that runs while a rebuild compares may drop this much more than one that ran at its beginning."""

_INSTALLED = "SELECT to_regclass('_timescaledb_catalog.hypertable') IS NOT NULL"
_DIMENSIONS = """
    SELECT column_name, column_type::text, time_interval, num_partitions
    FROM timescaledb_information.dimensions
    WHERE format('%%I.%%I', hypertable_schema, hypertable_name)::regclass = %s::regclass ORDER BY dimension_number
"""
_RETENTION = """
    SELECT now() - (config ->> 'drop_after')::interval
    FROM timescaledb_information.jobs
    WHERE proc_name = 'policy_retention' AND config ? 'drop_after'
      AND format('%%I.%%I', hypertable_schema, hypertable_name)::regclass = %s::regclass
"""
_CHUNKS = """
    SELECT chunk.schema_name, chunk.table_name,
           jsonb_object_agg(column_name, jsonb_build_array(range_start, range_end))
    FROM _timescaledb_catalog.chunk
    JOIN _timescaledb_catalog.hypertable ON hypertable.id = chunk.hypertable_id
    JOIN _timescaledb_catalog.chunk_constraint ON chunk_id = chunk.id
    JOIN _timescaledb_catalog.dimension_slice ON dimension_slice.id = dimension_slice_id
    JOIN _timescaledb_catalog.dimension ON dimension.id = dimension_id
    WHERE format('%%I.%%I', hypertable.schema_name, hypertable.table_name)::regclass = %s::regclass
    GROUP BY 1, 2 ORDER BY 1, 2
"""
# An aggregate of an aggregate reads the hypertable in which the first one keeps its rows.
_AGGREGATES = """
    WITH RECURSIVE aggregate AS (
        SELECT continuous_agg.*, 1 AS depth
        FROM _timescaledb_catalog.continuous_agg
        JOIN _timescaledb_catalog.hypertable ON hypertable.id = raw_hypertable_id
        WHERE format('%%I.%%I', schema_name, table_name)::regclass = %s::regclass
        UNION ALL
        SELECT continuous_agg.*, depth + 1
        FROM _timescaledb_catalog.continuous_agg JOIN aggregate ON continuous_agg.raw_hypertable_id
             = aggregate.mat_hypertable_id
    )
    SELECT format('%%I.%%I', user_view_schema, user_view_name) FROM aggregate ORDER BY depth, 1
"""


@dataclass(frozen=True, slots=True)
class Dimension:
    """How rows are divided into chunks: by ranges of a time, or else by the hash of a column."""

    column: str
    sql_type: str
    interval: timedelta | None
    partitions: int | None


def dimensions(connection: Connection, table: Table) -> list[Dimension]:
    """Returns the dimensions of a hypertable, of a plain table none.

    Raises ProjectionError for one whose first dimension is not a time: what retention keeps of it is not known.
    """
    if connection.execute(_INSTALLED).fetchone() != (True,):
        return []
    found = [Dimension(*row) for row in connection.execute(_DIMENSIONS, (quoted(table.name),)).fetchall()]
    for number, dimension in enumerate(found):
        is_time = dimension.interval is not None and dimension.sql_type == "timestamp with time zone"
        if not is_time and (number == 0 or dimension.partitions is None):
            raise ProjectionError(
                f"{table.name}: a hypertable by {dimension.column} ({dimension.sql_type}) can't be rebuilt, "
                "only one by a timestamptz and hashes"
            )
    return found


def require_attachable(connection: Connection, table: Table) -> None:
    """Raises ProjectionError where the database can't move chunks between hypertables."""
    if connection.execute("SELECT count(*) > 0 FROM pg_proc WHERE proname = 'attach_chunk'").fetchone() != (True,):
        raise ProjectionError(f"{table.name}: to swap a hypertable takes TimescaleDB 2.21 or newer (community edition)")


def make_hypertable(connection: Connection, table: Table, wanted: Sequence[Dimension]) -> None:
    """Makes an empty `TABLE__next` a hypertable; its indexes are there already."""
    name = quoted(form.next_name(table))
    connection.execute(
        "SELECT create_hypertable(%s::regclass, by_range(%s, %s), create_default_indexes => false)",
        (name, wanted[0].column, wanted[0].interval),
    )
    for dimension in wanted[1:]:
        if dimension.interval is not None:
            statement = "SELECT add_dimension(%s::regclass, by_range(%s, %s))"
        else:
            statement = "SELECT add_dimension(%s::regclass, by_hash(%s, %s))"
        connection.execute(statement, (name, dimension.column, dimension.interval or dimension.partitions))


def kept_since(connection: Connection, table: Table, wanted: Sequence[Dimension]) -> Since | None:
    """Returns from when on no retention policy has dropped a row; None where there is no such policy."""
    row = connection.execute(_RETENTION, (quoted(table.name),)).fetchone() if wanted else None
    return Since(wanted[0].column, row[0] + _MARGIN) if row is not None else None


def swap_chunks(connection: Connection, table: Table) -> None:
    """Drops the chunks of the table, attaches those of `TABLE__next`, and drops that. Raises psycopg.Error."""
    served, following = quoted(table.name), quoted(form.next_name(table))
    connection.execute("SELECT drop_chunks(%s::regclass, newer_than => '-infinity'::timestamptz)", (served,))
    for schema, chunk, slices in connection.execute(_CHUNKS, (following,)).fetchall():
        name = sql.Literal(f"{quoted(schema)}.{quoted(chunk)}")
        connection.execute(sql.SQL("CALL detach_chunk({}::regclass)").format(name))
        attach = sql.SQL("CALL attach_chunk({}::regclass, {}::regclass, {})")
        connection.execute(attach.format(sql.Literal(served), name, sql.Literal(Jsonb(slices))))
    form.drop(connection, form.next_name(table))


def aggregates(connection: Connection, table: Table) -> list[str]:
    """Returns the quoted names of the continuous aggregates of a hypertable, each after the one it is made from."""
    return [name for (name,) in connection.execute(_AGGREGATES, (quoted(table.name),)).fetchall()]


def refresh_aggregate(connection: Connection, aggregate: str, since: datetime | None) -> None:
    """Computes again what the aggregate says, of whole buckets from `since` on.

    All of it, not only what it keeps: a policy that ran over a time without rows takes it for done, and chunks that are
    swapped in do not say otherwise. `connection` is in autocommit mode. Raises psycopg.Error.
    """
    # Forced: where only the new table had chunks, nothing tells the aggregate that its part is out of date.
    statement = sql.SQL("CALL refresh_continuous_aggregate({}::regclass, {}::timestamptz, NULL, force => true)")
    with suppress(errors.InvalidParameterValue):  # No whole bucket lies in between.
        connection.execute(statement.format(sql.Literal(aggregate), sql.Literal(since)))
