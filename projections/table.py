"""How a table is declared: from which topics it comes, how its rows are written, and all that its DDL needs."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

import polars as pl

from projections.aggregate import BUCKET, Aggregate
from projections.hypertable import Compression, Hypertable

FrameFunction = Callable[[pl.DataFrame], pl.DataFrame]
"""Pure: a decoded frame with `_row` to rows of the table. It may add, drop and explode rows; it keeps `_row`."""

_UPDATED_FILL_PERCENT = 50
"""Of pages whose rows are replaced again and again. A new version that fits into its row's page leaves the indexes as
they are, and the old one is cleared away by whoever reads the page next (PostgreSQL documentation, "Heap-Only Tuples").
In full pages hardly any does: the database took 1.8 times the CPU time and 2.3 times the log for them."""
_ORDERED = frozenset({"timestamptz", "bigint", "integer", "smallint"})
_IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}")


class Database(StrEnum):
    """Which database a table is in."""

    POSTGRES = "postgres"
    TIMESCALE = "timescale"


class Mode(StrEnum):
    """How rows are written.

    APPEND copies them. LATEST keeps the newest row of each key and never goes back in `order`. LEDGER appends a row
    unless its `key` is there already. WINDOW is for results that are revised: `key` names the window, and only a later
    revision (`order`) replaces a row.
    """

    APPEND = "append"
    LATEST = "latest"
    LEDGER = "ledger"
    WINDOW = "window"


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the database has it; `default` is SQL."""

    name: str
    sql_type: str
    nullable: bool = False
    default: str | None = None
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """One projection. `columns` are name → SQL type, in the order of the frame; `order` decides which row is newest.

    Columns are NOT NULL but the `nullable` ones. `types` are those of the DDL where they say more than the type that
    values travel as ("numeric(18, 6)"). `defaults` are column → SQL, `comments` column → text, `checks` a part of the
    constraint's name (usually the column) → condition, `indexes` column lists, each with DESC where wanted. A `touched`
    table has created_at and, where rows change, updated_at, kept by a trigger. The rest is TimescaleDB's.
    """

    name: str
    database: Database
    mode: Mode
    sources: Mapping[str, FrameFunction]
    columns: Mapping[str, str]
    key: tuple[str, ...] = ()
    order: tuple[str, ...] = ()
    comment: str = ""
    nullable: frozenset[str] = frozenset()
    types: Mapping[str, str] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    comments: Mapping[str, str] = field(default_factory=dict)
    checks: Mapping[str, str] = field(default_factory=dict)
    indexes: tuple[tuple[str, ...], ...] = ()
    touched: bool = False
    hypertable: Hypertable | None = None
    compression: Compression | None = None
    retention: timedelta | None = None
    aggregates: tuple[Aggregate, ...] = ()

    def __post_init__(self) -> None:
        """Refuses a declaration that can't be written or made."""
        if (self.mode is Mode.APPEND) == bool(self.key):
            raise ValueError(f"{self.name}: {self.mode} tables have {'no' if self.mode is Mode.APPEND else 'a'} key")
        if (self.mode in {Mode.LATEST, Mode.WINDOW}) != bool(self.order):
            raise ValueError(f"{self.name}: an order belongs to a latest or window table, and only to them")
        self._require_columns(self.key, self.order, self.nullable, self.types, self.defaults, self.comments)
        self._require_columns(*([_column(entry) for entry in index] for index in self.indexes))
        for name in (self.name, *self.columns, *self.checks, *(aggregate.name for aggregate in self.aggregates)):
            if _IDENTIFIER.fullmatch(name) is None:
                raise ValueError(f"{self.name}: {name!r} is not a name: small letters, digits and _, 63 at most")
        if not self.nullable.isdisjoint({*self.key, *self.order}):
            raise ValueError(f"{self.name}: columns of the key or the order can't be null")
        unordered = [name for name in self.order if self.columns[name] not in _ORDERED]
        if unordered:
            raise ValueError(f"{self.name}: stores agree on the order of times and whole numbers, not of {unordered}")
        self._require_hypertable()
        self._require_inputs()

    @property
    def sql_columns(self) -> tuple[Column, ...]:
        """All columns that the database has: the declared ones and those that it keeps itself."""
        declared = tuple(
            Column(
                name,
                self.types.get(name, sql_type),
                name in self.nullable,
                self.defaults.get(name),
                self.comments.get(name),
            )
            for name, sql_type in self.columns.items()
        )
        return declared + tuple(Column(name, "timestamptz", default="now()") for name in self._stamps)

    @property
    def has_touch_trigger(self) -> bool:
        """Whether a trigger keeps `updated_at`: rows of a ledger don't change."""
        return "updated_at" in self._stamps

    @property
    def fill_percent(self) -> int | None:
        """How full its pages are made; None leaves that to the database."""
        return _UPDATED_FILL_PERCENT if self.mode is Mode.LATEST and self.hypertable is None else None

    @property
    def all_indexes(self) -> tuple[tuple[str, ...], ...]:
        """The declared indexes, and one on time for a hypertable whose key does not begin with it.

        Ascending, other than TimescaleDB's own: rows come in about the order of time, so that it grows at its right
        end, where PostgreSQL inserts without a descent and fills pages up. Both are read in either direction.
        """
        column = None if self.hypertable is None else self.hypertable.column
        time = () if column is None or self.key[:1] == (column,) else ((column,),)
        return (*time, *(index for index in self.indexes if index not in time))

    def time_column(self, aggregate: Aggregate) -> str:
        """Returns the time column of an aggregate's source."""
        assert self.hypertable is not None, "checked when it was declared"
        return BUCKET if aggregate.source else self.hypertable.column

    @property
    def _stamps(self) -> tuple[str, ...]:
        if not self.touched:
            return ()
        return ("created_at", "updated_at") if self.mode in {Mode.LATEST, Mode.WINDOW} else ("created_at",)

    def _require_columns(self, *lists: Iterable[str]) -> None:
        unknown = {name for names in lists for name in names} - set(self.columns)
        if unknown:
            raise ValueError(f"{self.name}: {sorted(unknown)} are not among its columns")

    def _require_hypertable(self) -> None:
        if self.hypertable is None:
            if self.compression or self.retention or self.aggregates:
                raise ValueError(f"{self.name}: compression, retention and aggregates belong to hypertables")
            return
        if self.database is not Database.TIMESCALE:
            raise ValueError(f"{self.name}: hypertables belong to {Database.TIMESCALE}")
        self._require_columns([self.hypertable.column])
        if self.hypertable.column in self.nullable:
            raise ValueError(f"{self.name}: the time column can't be null")
        if self.key and self.hypertable.column not in self.key:
            raise ValueError(f"{self.name}: the key of a hypertable has its time column {self.hypertable.column}")
        if self.compression is not None:
            self._require_columns(self.compression.segment_by, map(_column, self.compression.order_by))

    def _require_inputs(self) -> None:
        known = {self.name: set(self.columns)}
        for aggregate in self.aggregates:
            source = aggregate.source or self.name
            if source not in known:
                raise ValueError(f"{aggregate.name}: its source {source} is not declared before it")
            unknown = aggregate.inputs - known[source]
            if unknown:
                raise ValueError(f"{aggregate.name}: {sorted(unknown)} are not among the columns of {source}")
            known[aggregate.name] = set(aggregate.columns)


def first(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Returns the first row of each key, in the order they came."""
    return frame.unique(table.key, keep="first", maintain_order=True)


def _column(entry: str) -> str:
    return entry.partition(" ")[0]
