"""Reads the recorded market from CSV files: real-time prices as the simulators' replay does, day-ahead, Bitcoin.

When things were known: a day-ahead price at 13:30 in Texas on the day before (ERCOT Nodal Protocols 4.5.3), a price of
Bitcoin at the start of its hour where hours are recorded, and a day's close, difficulty and fees at the day's end.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl

from hcp.backtest.error import BacktestError
from hcp.backtest.market import Bitcoin, Market
from simulators import replay
from simulators.replay import AESO_POINT, Columns, IntervalPrice, ReplayError
from streams.domain.forecast.history import PriceHistory, Published, empty

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
_TEXAS = ZoneInfo("America/Chicago")
_REAL_TIME_FILES = {AESO_POINT: "aeso_pool_price_hourly_*.csv"}
_ERCOT_FILES = "ercot_rtm_spp_15min_*.csv"
_DAY_AHEAD_FILES = "ercot_dam_spp_hourly_*.csv"
_DAILY_FILES = "btc_daily_*.csv"
_HOURLY_FILES = "btc_usd_hourly_*.csv"


class KnownWhen(StrEnum):
    """When the real-time price of an interval is known."""

    AT_START = "at-start"
    AFTER = "after"


@dataclass(frozen=True, slots=True)
class Files:
    """What was named; None is looked for in `folder` by the names of its files."""

    folder: Path
    prices: Path | None = None
    day_ahead: Path | None = None
    bitcoin: Path | None = None
    bitcoin_hourly: Path | None = None
    fx: float | None = None


def read(files: Files, point: str, start: datetime, end: datetime, known: KnownWhen) -> Market:
    """Returns the market of a settlement point. Raises BacktestError that says which file or option is missing."""
    if point == AESO_POINT and files.fx is None:
        raise BacktestError(f"{AESO_POINT} is in Canadian dollars: give USD for one CAD by --fx, such as 0.73")
    start_ms, end_ms = (int(moment.timestamp() * 1000) for moment in (start, end))
    pattern = _REAL_TIME_FILES.get(point, _ERCOT_FILES)
    wanted = _Wanted("real-time", point, start_ms, end_ms, files.fx)
    real_time = _covering(_found(files.folder, files.prices, pattern, "--prices"), wanted)
    delay_ms = 0 if known is KnownWhen.AT_START else real_time[0].interval_ms
    return Market(
        point,
        PriceHistory(_published(real_time, delay_ms), _day_ahead(files, point, start_ms, end_ms)),
        _bitcoin(files, start_ms, end_ms),
    )


def _found(folder: Path, named: Path | None, pattern: str, option: str) -> list[Path]:
    found = [named] if named is not None else sorted(folder.glob(pattern))
    if not found:
        raise BacktestError(f"there is no {pattern} in {folder}: name a file by {option}, or the folder by --data")
    return found


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Prices that have to be there."""

    kind: str
    point: str
    start_ms: int
    end_ms: int
    fx: float | None = None


def _covering(files: Sequence[Path], wanted: _Wanted) -> Sequence[IntervalPrice]:
    spans = []
    for file in files:
        series = _series(file, wanted.point, wanted.fx)
        if series and series[0].at_ms <= wanted.start_ms and series[-1].at_ms + series[-1].interval_ms >= wanted.end_ms:
            return series
        span = f"{_date(series[0].at_ms)} to {_date(series[-1].at_ms)}" if series else "nothing"
        spans.append(f"{file.name} has {span}")
    raise BacktestError(
        f"no {wanted.kind} prices of {wanted.point} from {_date(wanted.start_ms)} to {_date(wanted.end_ms)}: "
        f"{'; '.join(spans)}. "
        "Choose --from and --to within, or another file"
    )


def _series(file: Path, point: str, fx: float | None) -> Sequence[IntervalPrice]:
    try:
        return replay.read(file, _columns(file, point, fx)).series.get(point, ())
    except ReplayError as error:
        raise BacktestError(f"{file.name} can't be used for {point}") from error


def _columns(file: Path, point: str, fx: float | None) -> Columns:
    # The replay takes real-time columns by itself; a day-ahead one has to be named.
    named = f"{point.lower()}_dam_usd_per_mwh"
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            header = next(csv.reader(lines), [])
    except OSError as error:
        raise BacktestError(f"{file} can't be read") from error
    return Columns(price=named, point=point) if named in header else Columns(fx=fx if point == AESO_POINT else None)


def _published(series: Sequence[IntervalPrice], delay_ms: int) -> Published:
    start_ms = np.array([price.at_ms for price in series], np.int64)
    return Published(series[0].interval_ms, start_ms, start_ms + delay_ms, np.array([price.usd for price in series]))


def _day_ahead(files: Files, point: str, start_ms: int, end_ms: int) -> Published:
    if point == AESO_POINT:
        return empty(HOUR_MS)
    found = _found(files.folder, files.day_ahead, _DAY_AHEAD_FILES, "--day-ahead")
    series = _covering(found, _Wanted("day-ahead", point, start_ms, end_ms))
    auction = _published(series, 0)
    published_ms = np.array([_auction_ms(int(at_ms)) for at_ms in auction.start_ms], np.int64)
    return Published(auction.interval_ms, auction.start_ms, published_ms, auction.values)


def _auction_ms(delivery_ms: int) -> int:
    before = datetime.fromtimestamp(delivery_ms / 1000, _TEXAS).date() - timedelta(days=1)
    return int(datetime(before.year, before.month, before.day, 13, 30, tzinfo=_TEXAS).timestamp() * 1000)


def _bitcoin(files: Files, start_ms: int, end_ms: int) -> Bitcoin:
    file = _found(files.folder, files.bitcoin, _DAILY_FILES, "--bitcoin")[0]
    daily = _frame(file, "date_utc", ("price_usd_close", "difficulty_mean", "fees_btc", "blocks"))
    day_ms = _ms(daily["date_utc"])
    if not len(day_ms) or day_ms[0] > start_ms - DAY_MS or day_ms[-1] + DAY_MS < end_ms:
        raise BacktestError(f"{file.name} has to hold the days from before --from up to --to: choose others")
    close, difficulty, fees = (
        Published(DAY_MS, day_ms, day_ms + DAY_MS, daily[name].cast(pl.Float64).to_numpy())
        for name in ("price_usd_close", "difficulty_mean", "fees_per_block")
    )
    for hourly_file in _hourly_files(files):
        hourly = _frame(hourly_file, "hour_start_utc", ("open",))
        hour_ms = _ms(hourly["hour_start_utc"])
        if len(hour_ms) and hour_ms[0] <= start_ms and hour_ms[-1] + HOUR_MS >= end_ms:
            close = Published(HOUR_MS, hour_ms, hour_ms, hourly["open"].cast(pl.Float64).to_numpy())
    return Bitcoin(close, difficulty, fees)


def _hourly_files(files: Files) -> Iterator[Path]:
    if files.bitcoin_hourly is not None:
        yield files.bitcoin_hourly
    elif files.bitcoin is None:
        yield from sorted(files.folder.glob(_HOURLY_FILES))


def _frame(file: Path, time: str, names: tuple[str, ...]) -> pl.DataFrame:
    try:
        frame = pl.read_csv(file, infer_schema_length=None).select(time, *names).drop_nulls().unique(time).sort(time)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BacktestError(f"{file} can't be read with the columns {', '.join((time, *names))}") from error
    return frame.with_columns(fees_per_block=pl.col("fees_btc") / pl.col("blocks")) if "blocks" in names else frame


def _ms(times: pl.Series) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    parsed = [datetime.fromisoformat(text) for text in times]
    return np.array([int(t.replace(tzinfo=t.tzinfo or UTC).timestamp() * 1000) for t in parsed], np.int64)


def _date(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M}"
