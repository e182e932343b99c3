"""A table as it was: the fold of a part of the log. Pure.

Which events are in that part is a `Moment`: those that had happened by an event time, or those before given offsets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from projections.error import ProjectionError
from projections.log_column import OFFSET, PARTITION
from projections.newest import newest
from projections.table import Mode, Table, first
from schemas.message_block import Place
from schemas.reject import ROW

_FEW = 10_000

FOLDED = frozenset({Mode.LATEST, Mode.LEDGER})
"""The modes whose rows depend on the events alone, not on how they were batched."""


class StateError(ProjectionError):
    """The state that is asked for can't be told; the message says why."""


@dataclass(frozen=True, slots=True)
class AtTime:
    """All events whose own time is not after `time`, whenever they were written."""

    time: datetime

    def part(self, frame: pl.DataFrame, topic: str, time_field: str) -> pl.DataFrame:
        """Returns the events of a frame that belong to it."""
        return frame.filter(pl.col(time_field) <= self.time)


@dataclass(frozen=True, slots=True)
class AtOffsets:
    """All records before `offsets`, the next to read of each topic (its name in the catalog) and partition."""

    offsets: Mapping[Place, int]

    def part(self, frame: pl.DataFrame, topic: str, time_field: str) -> pl.DataFrame:
        """Returns the events of a frame that belong to it."""
        ours = {partition: offset for (name, partition), offset in self.offsets.items() if name == topic}
        limit = pl.col(PARTITION).replace_strict(ours, default=0, return_dtype=pl.Int64)
        return frame.filter(pl.col(OFFSET) < limit)


Moment = AtTime | AtOffsets


class State:
    """The rows of one table, event by event. `rows` has its columns, in the order of their keys."""

    def __init__(self, table: Table) -> None:
        """Raises StateError where the table's rows do not follow from the events alone."""
        if table.mode not in FOLDED:
            raise StateError(f"{table.name} is of mode {table.mode}: only latest and ledger tables have a state")
        self._table = table
        self._pieces: list[pl.DataFrame] = []
        self._events = 0
        self._held = 0
        self._loose = 0

    def add(self, source: str, frame: pl.DataFrame) -> None:
        """Takes the next events of a topic, in log order."""
        if frame.is_empty():
            return
        numbers = pl.int_range(self._events, self._events + pl.len(), dtype=pl.Int64)
        self._events += len(frame)
        rows = self._table.sources[source](frame.with_columns(numbers.alias(ROW))).select(*self._table.columns, ROW)
        self._pieces.append(rows)
        self._loose += len(rows)
        # Folding costs as much as there are rows: when they have doubled, each has been folded twice on average.
        if self._loose >= max(self._held, _FEW):
            self._fold()

    @property
    def rows(self) -> pl.DataFrame | None:
        """The rows, sorted by key; None where no event has made one."""
        self._fold()
        held = self._pieces[0] if self._pieces else None
        return None if held is None or held.is_empty() else held.drop(ROW).sort(self._table.key)

    def _fold(self) -> None:
        if self._pieces:
            all_rows = pl.concat(self._pieces)
            is_latest = self._table.mode is Mode.LATEST
            kept = newest(all_rows, self._table, ROW) if is_latest else first(all_rows.sort(ROW), self._table)
            self._pieces, self._held, self._loose = [kept], len(kept), 0
