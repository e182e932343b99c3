"""A continuous aggregate: sums by time bucket that TimescaleDB keeps up to date."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

BUCKET = "bucket"
"""The time column of every aggregate."""

_MEASURE = re.compile(r"(count|sum|min|max)\((\*|[a-z_][a-z0-9_]*)\)")


@dataclass(frozen=True, slots=True)
class Refresh:
    """Every `every`, what lies between `start` and `end` before now is made again where it changed."""

    start: timedelta | None
    end: timedelta | None
    every: timedelta


@dataclass(frozen=True, slots=True)
class Aggregate:
    """Real-time: what isn't materialised yet is added at the time of the query.

    `measures` are column → `function(column)` of count, sum, min, max: those that coarser aggregates can be made from
    exactly. `source` is the aggregate that this one is made from; None: the table.
    """

    name: str
    bucket: timedelta
    group_by: tuple[str, ...]
    measures: Mapping[str, str]
    refresh: Refresh
    source: str | None = None
    retention: timedelta | None = None

    def __post_init__(self) -> None:
        """Refuses measures that aren't a function of one column."""
        for name, expression in self.measures.items():
            if _MEASURE.fullmatch(expression) is None:
                raise ValueError(f"{self.name}: {name} is {expression!r}, not count, sum, min or max of one column")

    def measure(self, name: str) -> tuple[str, str]:
        """Returns function and column (or `*`) of a measure."""
        found = _MEASURE.fullmatch(self.measures[name])
        assert found is not None, "checked when it was declared"
        return found[1], found[2]

    @property
    def inputs(self) -> set[str]:
        """The columns of its source that it reads, the time column apart."""
        return {*self.group_by, *(self.measure(name)[1] for name in self.measures)} - {"*"}

    @property
    def columns(self) -> tuple[str, ...]:
        """Its own columns."""
        return (BUCKET, *self.group_by, *self.measures)
