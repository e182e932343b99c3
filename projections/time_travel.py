"""A table at a moment of the past, read from the log, and put into a schema of its own."""

import re
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

import polars as pl
import psycopg
from psycopg import sql

from projections.error import UnavailableError
from projections.log_reader import LogReader, losses
from projections.state import AtOffsets, Moment, State, StateError
from projections.table import Table
from projections.writer import write
from schemas.catalog import topic
from schemas.reject import ROW

PREFIX = "state_"
_SCHEMA = re.compile(r"state_[a-z0-9_]{1,50}")

Progress = Callable[[str, int, int], None]
"""Is told a partition, how many of its offsets are read, and of how many."""


@dataclass(frozen=True, slots=True)
class Past:
    """The rows of a table, None where there are none, and what the log did not have any more, in sentences."""

    rows: pl.DataFrame | None
    losses: tuple[str, ...]


def past(
    reader: LogReader, table: Table, moment: Moment, progress: Progress, names: Mapping[str, str] | None = None
) -> Past:
    """Returns a table as it was at the moment.

    `names` gives Kafka's names of topics where they are others. Raises StateError where the offsets do not name each
    partition of the table's topics, or go beyond its end; LogReadError, ArchiveError and UnavailableError.
    """
    state, lost = State(table), []
    kafka_names = {source: (names or {}).get(source, source) for source in sorted(table.sources)}
    extents = {source: reader.extents(topic(source), name) for source, name in kafka_names.items()}
    if isinstance(moment, AtOffsets):
        _check(table, moment, {(s, p): extent.end for s, found in extents.items() for p, extent in found.items()})
    for source, name in kafka_names.items():
        entry = topic(source)
        lost += losses(entry, extents[source])
        for piece in reader.frames(entry, extents[source], name):
            state.add(source, moment.part(piece.frame, source, entry.time_field))
            extent = extents[source][piece.partition]
            progress(f"{source} [{piece.partition}]", piece.next_offset - extent.start, extent.end - extent.start)
    return Past(state.rows, tuple(lost))


def schema_name(moment: Moment) -> str:
    """Returns a name for the schema of that moment, the same every time."""
    if isinstance(moment, AtOffsets):
        return PREFIX + "_".join(["at", *(str(offset) for _, offset in sorted(moment.offsets.items()))])[:50]
    # To the second, and as much of the microseconds as there is.
    second, fraction = moment.time.strftime("%Y%m%dt%H%M%S"), moment.time.strftime("%f").rstrip("0")
    return f"{PREFIX}{second}{fraction}z"


def keep(dsn: str, table: Table, rows: pl.DataFrame | None, schema: str) -> None:
    """Puts the rows into `schema`.`table`, in the place of what was there; other tables of the schema stay.

    The schema must be named state_…, so that no table in use is replaced. Raises StateError and UnavailableError.
    """
    if not _SCHEMA.fullmatch(schema):
        raise StateError(f"the schema must be named {PREFIX} and more small letters, digits and _, not {schema!r}")
    columns = sql.SQL(", ").join(
        sql.SQL("{} {}").format(sql.Identifier(name), sql.SQL(cast("Any", kind)))
        for name, kind in table.columns.items()
    )
    name, place = sql.Identifier(table.name), sql.Identifier(schema)
    try:
        with (
            closing(psycopg.connect(dsn, autocommit=True, connect_timeout=10)) as connection,
            connection.transaction(),
        ):
            connection.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(place))
            # Only this transaction sees the schema without its name.
            connection.execute(sql.SQL("SET LOCAL search_path TO {}").format(place))
            connection.execute(sql.SQL("DROP TABLE IF EXISTS {}.{}").format(place, name))
            key = sql.SQL(", ").join(map(sql.Identifier, table.key))
            connection.execute(sql.SQL("CREATE TABLE {}.{} ({}, PRIMARY KEY ({}))").format(place, name, columns, key))
            if rows is not None:
                write(connection, table, rows.with_row_index(ROW))
    except psycopg.Error as error:
        raise UnavailableError(f"{schema}.{table.name} can't be written: {str(error).strip()}") from error


def _check(table: Table, moment: AtOffsets, ends: Mapping[Any, int]) -> None:
    wanted = moment.offsets
    if wanted.keys() != ends.keys():
        known = ", ".join(f"{name}:{partition}:{end}" for (name, partition), end in sorted(ends.items()))
        raise StateError(f"{table.name} needs an offset of each of its partitions and no other; at the end: {known}")
    for (name, partition), offset in wanted.items():
        if not 0 <= offset <= ends[name, partition]:
            raise StateError(f"{name} [{partition}] ends at offset {ends[name, partition]}, {offset} is beyond it")
