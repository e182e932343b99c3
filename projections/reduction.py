"""The rows of a batch that can matter to a store, and their place in the order, for stores that know no SQL."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from projections.error import ProjectionError
from projections.newest import newest
from projections.table import Mode, Table, first
from schemas.reject import ROW

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def reduced(table: Table, frame: pl.DataFrame) -> pl.DataFrame:
    """Returns one row of each key with the table's columns: the newest, or the first of a ledger.

    Raises ProjectionError for an append table: without a key, writing a row twice would show.
    """
    match table.mode:
        case Mode.LATEST | Mode.WINDOW:
            rows = newest(frame, table, ROW)
        case Mode.LEDGER:
            rows = first(frame, table)
        case Mode.APPEND:
            raise ProjectionError(f"{table.name}: rows without a key belong into a database that takes them once")
    return rows.select(list(table.columns))


def rank(table: Table, row: dict[str, Any]) -> tuple[int, ...]:
    """Returns the place of a row in the table's order: whole numbers, times as microseconds since the epoch.

    Raises ProjectionError for an order by anything else: stores do not agree on the order of texts and of fractions.
    """
    return tuple(_whole(table, column, row[column]) for column in table.order)


def _whole(table: Table, column: str, value: object) -> int:
    match value:
        case datetime():
            return (value - _EPOCH) // timedelta(microseconds=1)
        case int():
            return value
        case _:
            raise ProjectionError(f"{table.name}.{column}: {value!r} is no time and no whole number: no order by it")
