"""The shape of tables and aggregates as the database's catalog describes them: what declared and live are compared by.

Types, defaults and conditions are in the catalog's own spelling ("timestamp with time zone").
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from projections.aggregate import BUCKET, Aggregate, Refresh
from projections.hypertable import Compression, Hypertable, interval
from projections.table import Column, Table


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table. `checks` are constraint → condition, `keys` the columns of the unique indexes, in order.

    `indexes` are the others, as the catalog prints them ("btree (state)"), in any order; `fill_percent` None: nothing
    is said of it; `retention` None: kept.
    """

    columns: Mapping[str, Column]
    keys: frozenset[tuple[str, ...]] = frozenset()
    checks: Mapping[str, str] = field(default_factory=dict)
    indexes: frozenset[str] = frozenset()
    comment: str | None = None
    has_touch_trigger: bool = False
    fill_percent: int | None = None
    hypertable: Hypertable | None = None
    compression: Compression | None = None
    retention: timedelta | None = None


@dataclass(frozen=True, slots=True)
class AggregateShape:
    """A continuous aggregate; `definition` is its query as the catalog prints it, in single spaces."""

    definition: str
    is_real_time: bool
    refresh: Refresh | None
    retention: timedelta | None


@dataclass(frozen=True, slots=True)
class Shape:
    """What a database holds of the declared tables and aggregates, by name."""

    tables: Mapping[str, TableShape] = field(default_factory=dict)
    aggregates: Mapping[str, AggregateShape] = field(default_factory=dict)


def check_name(table: Table, part: str) -> str:
    """Returns the name of a CHECK constraint, as PostgreSQL itself would give it."""
    return f"{table.name}_{part}_check"


def index_text(columns: Iterable[str]) -> str:
    """Returns an index as the catalog prints it."""
    return f"btree ({', '.join(columns)})"


def of_table(table: Table, columns: Mapping[str, Column], checks: Mapping[str, str]) -> TableShape:
    """Returns the shape that a declaration asks for; `columns` and `checks` are its own in the catalog's spelling."""
    return TableShape(
        columns=columns,
        keys=frozenset({table.key} if table.key else ()),
        checks=checks,
        indexes=frozenset(map(index_text, table.all_indexes)),
        comment=table.comment or None,
        has_touch_trigger=table.has_touch_trigger,
        fill_percent=table.fill_percent,
        hypertable=table.hypertable,
        compression=table.compression,
        retention=table.retention,
    )


def of_aggregate(table: Table, aggregate: Aggregate) -> AggregateShape:
    """Returns the shape that an aggregate asks for."""
    bucket = f"time_bucket('{interval(aggregate.bucket)}'::interval, {table.time_column(aggregate)})"
    measures = [f"{expression} AS {name}" for name, expression in aggregate.measures.items()]
    columns = [f"{bucket} AS {BUCKET}", *aggregate.group_by, *measures]
    groups = [f"({bucket})", *aggregate.group_by]
    source = aggregate.source or table.name
    query = f"SELECT {', '.join(columns)} FROM {source} GROUP BY {', '.join(groups)}"  # noqa: S608 - compared, never run
    return AggregateShape(
        definition=query,
        is_real_time=True,
        refresh=aggregate.refresh,
        retention=aggregate.retention,
    )
