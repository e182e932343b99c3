"""Recorded prices in place of simulated ones: a CSV file of real-time prices, one row an interval.

Time is the start of the interval, ISO 8601; without a zone it is taken as UTC. Columns are named by the user or found:
`hb_west_rtm_usd_per_mwh` holds the settlement point HB_WEST, `pool_price_cad_per_mwh` Alberta's pool, and
`price_usd_per_mwh` with a column `settlement_point` one point a row. ERCOT's hub average stands for those hubs of the
facilities that the file does not have.
"""

import csv
import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

from simulators.error import SimulatorError
from simulators.timeline import to_ms

HUB_AVERAGE = "HB_HUBAVG"
ERCOT_POINTS = ("HB_NORTH", "HB_WEST")
AESO_POINT = "AESO_POOL"
POINTS = (*ERCOT_POINTS, AESO_POINT)
"""Settlement points of the simulated facilities."""

_TIME_COLUMNS = ("interval_start_utc", "interval_start", "time_utc", "timestamp", "datetime", "time", "date")
_POINT_COLUMN = "settlement_point"
_PRICE_COLUMNS = ("price_usd_per_mwh", "price_usd_mwh", "price_cad_per_mwh", "lmp", "price")
_REAL_TIME_SUFFIXES = ("_rtm_usd_per_mwh", "_usd_per_mwh", "_usd_mwh")
_POOL_COLUMN = "pool_price_cad_per_mwh"


class ReplayError(SimulatorError):
    """The file can't be replayed; the message says what was found and what was expected."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """A value that is left out: where it stands in the file (line 1 is the header) and what is wrong with it."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.column}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Columns:
    """The user's choice of columns; None leaves it to the file's header. `fx` is USD per unit of its money."""

    time: str | None = None
    price: str | None = None
    point: str | None = None
    fx: float | None = None


@dataclass(frozen=True, slots=True)
class IntervalPrice:
    """A price of the interval that starts at `at_ms`."""

    at_ms: int
    interval_ms: int
    usd: float


@dataclass(frozen=True, slots=True)
class Replay:
    """Recorded series by settlement point, each sorted by time; `bad_rows` were left out, `blanks` had no price."""

    series: Mapping[str, Sequence[IntervalPrice]]
    bad_rows: tuple[BadRow, ...] = ()
    blanks: int = 0

    @property
    def start_ms(self) -> int:
        """Start of the first interval."""
        return min(entries[0].at_ms for entries in self.series.values())

    @property
    def end_ms(self) -> int:
        """End of the last interval."""
        return max(entries[-1].at_ms + entries[-1].interval_ms for entries in self.series.values())

    def prices(self, point: str, start_ms: int, end_ms: int) -> Sequence[IntervalPrice] | None:
        """Returns the prices whose interval starts in [start, end), None where the file does not have the point."""
        entries = self.series.get(point)
        if entries is None:
            return None
        low = bisect_left(entries, start_ms, key=lambda entry: entry.at_ms)
        high = bisect_left(entries, end_ms, key=lambda entry: entry.at_ms)
        return entries[low:high]


def read(file: Path, columns: Columns | None = None) -> Replay:
    """Returns the recorded prices of a CSV file.

    Values that can't be used are left out and listed in `bad_rows`. Raises ReplayError where the file can't be read,
    its columns can't be found, or nothing good is in it.
    """
    columns = columns or Columns()
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            reader = csv.DictReader(lines, strict=True)
            header = list(reader.fieldnames or ())
            time_column, sources = _mapping(header, columns)
            found = _Reading(time_column, sources, _fx(sources, columns))
            for row in reader:
                found.take(reader.line_num, row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ReplayError(f"{file} cannot be read: {error}") from error
    if not found.values:
        first = f"; the first reason: {found.bad[0]}" if found.bad else ""
        raise ReplayError(f"{file} has no price that can be used{first}")
    return Replay(_series(_spread(found.values)), tuple(found.bad), found.blanks)


@dataclass(frozen=True, slots=True)
class _Source:
    """A column of prices; `point` is None where the row itself names it."""

    column: str
    point: str | None


class _Reading:
    """What has been read so far."""

    def __init__(self, time_column: str, sources: Sequence[_Source], fx: float) -> None:
        self.values: dict[str, dict[int, float]] = {}
        self.bad: list[BadRow] = []
        self.blanks = 0
        self._time_column = time_column
        self._sources = sources
        self._fx = fx

    def take(self, line: int, row: Mapping[str, str | None]) -> None:
        try:
            at_ms = _time(row[self._time_column])
        except ValueError as error:
            self.bad.append(BadRow(line, self._time_column, str(error)))
            return
        for source in self._sources:
            point = source.point or (row.get(_POINT_COLUMN) or "").strip()
            text = row[source.column]
            if text is None or not text.strip():
                self.blanks += 1
                continue
            try:
                usd = round(_price(text) * self._fx, 4)
            except ValueError as error:
                self.bad.append(BadRow(line, source.column, str(error)))
                continue
            series = self.values.setdefault(point, {})
            if at_ms in series:
                self.bad.append(BadRow(line, self._time_column, f"{point} has a price for this time already"))
                continue
            series[at_ms] = usd


def _mapping(header: Sequence[str], columns: Columns) -> tuple[str, list[_Source]]:
    """Returns the time column and the price columns. Raises ReplayError that lists what the file has."""
    has = f"the file has the columns {', '.join(header) or '(none)'}"
    for wanted in (columns.time, columns.price):
        if wanted is not None and wanted not in header:
            raise ReplayError(f"there is no column {wanted!r}; {has}")
    time_column = columns.time or next((name for name in _TIME_COLUMNS if name in header), None)
    if time_column is None:
        raise ReplayError(f"no column of times was found: name it with --replay-time; {has}")
    if columns.point is not None and columns.point not in (*POINTS, HUB_AVERAGE):
        raise ReplayError(f"no facility settles at {columns.point!r}; the points are {', '.join(POINTS)}")
    if columns.price is not None:
        point = columns.point or _point_of(columns.price)
        if point is None and _POINT_COLUMN not in header:
            raise ReplayError(
                f"which settlement point {columns.price!r} is for is not clear: name it by --replay-point"
            )
        return time_column, [_Source(columns.price, point)]
    named = [_Source(name, point) for name in header if (point := _point_of(name)) is not None]
    if columns.point is not None:
        named = [source for source in named if source.point == columns.point]
    if named:
        return time_column, _preferred(named)
    price = next((name for name in _PRICE_COLUMNS if name in header), None)
    if price is None or (columns.point is None and _POINT_COLUMN not in header):
        raise ReplayError(f"no column of prices was found: name it with --replay-price and --replay-point; {has}")
    return time_column, [_Source(price, columns.point)]


def _point_of(column: str) -> str | None:
    name = column.lower()
    if name == _POOL_COLUMN:
        return AESO_POINT
    if "_dam_" in name:
        return None
    known = {point.lower(): point for point in (*POINTS, HUB_AVERAGE)}
    return next((known[name.removesuffix(s)] for s in _REAL_TIME_SUFFIXES if name.removesuffix(s) in known), None)


def _preferred(sources: Sequence[_Source]) -> list[_Source]:
    # The average is only for hubs that the file does not have itself.
    points = {source.point for source in sources}
    return [s for s in sources if s.point != HUB_AVERAGE or not points.issuperset(ERCOT_POINTS)]


def _fx(sources: Sequence[_Source], columns: Columns) -> float:
    in_cad = [source.column for source in sources if "cad" in source.column.lower()]
    if columns.fx is None:
        if in_cad:
            raise ReplayError(
                f"{in_cad[0]!r} is in Canadian dollars: give USD for one CAD by --replay-fx, such as 0.72"
            )
        return 1.0
    if not (math.isfinite(columns.fx) and columns.fx > 0):
        raise ReplayError(f"the exchange rate must be more than zero, got {columns.fx}")
    return columns.fx


def _spread(values: Mapping[str, dict[int, float]]) -> dict[str, dict[int, float]]:
    """Returns the series of our settlement points: the hub average stands for hubs that are missing."""
    average = values.get(HUB_AVERAGE)
    spread = {point: series for point, series in values.items() if point in POINTS}
    if average is not None:
        spread.update({point: average for point in ERCOT_POINTS if point not in spread})
    if not spread:
        raise ReplayError(
            f"no facility settles at {', '.join(sorted(values)) or '(blank)'}: name one of {', '.join(POINTS)} "
            "by --replay-point"
        )
    return spread


def _series(values: Mapping[str, Mapping[int, float]]) -> dict[str, tuple[IntervalPrice, ...]]:
    series: dict[str, tuple[IntervalPrice, ...]] = {}
    for point, prices in values.items():
        times = sorted(prices)
        interval_ms = _usual_step(times)
        series[point] = tuple(IntervalPrice(at_ms, interval_ms, prices[at_ms]) for at_ms in times)
    return series


def _usual_step(times: Sequence[int]) -> int:
    steps = Counter(later - earlier for earlier, later in pairwise(times))
    return steps.most_common(1)[0][0] if steps else 15 * 60 * 1000


def _time(text: str | None) -> int:
    if text is None or not text.strip():
        raise ValueError("no time")
    try:
        at = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ValueError(f"expected an ISO 8601 time, got {text!r}") from None
    return to_ms(at if at.tzinfo is not None else at.replace(tzinfo=UTC))


def _price(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f"expected a number, got {text!r}") from None
    if not math.isfinite(value):
        raise ValueError(f"expected a finite number, got {text!r}")
    return value


def bad_row_lines(rows: Iterable[BadRow], limit: int = 20) -> list[str]:
    """Returns the first bad rows as lines for a person, and how many more there are."""
    listed = [str(row) for row in rows]
    more = [f"… and {len(listed) - limit} more"] if len(listed) > limit else []
    return listed[:limit] + more
