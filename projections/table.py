"""How a table is declared: from which topics it comes, how its rows are written, and its columns."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

import polars as pl

FrameFunction = Callable[[pl.DataFrame], pl.DataFrame]
"""Pure: a decoded frame with `_row` to rows of the table. It may add, drop and explode rows; it keeps `_row`."""


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
class Table:
    """One projection. `columns` are name → SQL type, in the order of the frame; `order` decides which row is newest."""

    name: str
    database: Database
    mode: Mode
    sources: Mapping[str, FrameFunction]
    columns: Mapping[str, str]
    key: tuple[str, ...] = ()
    order: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuses a declaration that can't be written."""
        if (self.mode is Mode.APPEND) == bool(self.key):
            raise ValueError(f"{self.name}: {self.mode} tables have {'no' if self.mode is Mode.APPEND else 'a'} key")
        if (self.mode in {Mode.LATEST, Mode.WINDOW}) != bool(self.order):
            raise ValueError(f"{self.name}: an order belongs to a latest or window table, and only to them")
        unknown = {*self.key, *self.order} - set(self.columns)
        if unknown:
            raise ValueError(f"{self.name}: {sorted(unknown)} are not among its columns")


def newest(frame: pl.DataFrame, table: Table, row: str) -> pl.DataFrame:
    """Returns the newest row of each key: the greatest `order`, of equals the one that came last (`row`)."""
    return frame.sort(*table.order, row, nulls_last=False).unique(table.key, keep="last", maintain_order=True)


def first(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """Returns the first row of each key, in the order they came."""
    return frame.unique(table.key, keep="first", maintain_order=True)
