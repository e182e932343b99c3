"""Prices of energy at the settlement points of the facilities, functions of event time alone.

ERCOT: real-time prices of HB_NORTH and HB_WEST every 5 minutes, as its security-constrained dispatch finds them (three
make a settlement interval); day-ahead prices by the hour, out at 12:30 or 13:30 Central for the next day; offers and
so prices end at 5,000 USD/MWh (PUCT, 16 TAC 25.509). Alberta: one pool price an hour in CAD, from 0 to 999.99 (AESO,
ISO rule 201.3), no day-ahead market. What prices look like is in simulators/price_shape.py.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from schemas import events
from schemas.events import GridMarket
from simulators import price_shape
from simulators.identity import event_id
from simulators.price_shape import PriceShape
from simulators.replay import AESO_POINT, ERCOT_POINTS, IntervalPrice, Replay
from simulators.scarcity import STEP_MS, Curve, Floats, Path, Scarcity
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS, floor, multiples, to_datetime

CAD_USD = 0.72
"""Rate at which Alberta's prices are shown in USD."""

ERCOT_CAP_USD = 5_000.0
ERCOT_FLOOR_USD = -38.0
"""The lowest of 2024 and 2025: what wind gives up in tax credits. Offers may go down to -250 (Protocols 4.4.9)."""

_DAY_AHEAD_PUBLISHED_MS = 18 * HOUR_MS + 30 * MINUTE_MS  # 12:30 or 13:30 Central, UTC
_OPERATING_DAY_MS = 6 * HOUR_MS  # midnight Central standard time, UTC
_STEPS_AN_HOUR = HOUR_MS // STEP_MS
_HISTORY_MS = 28 * DAY_MS


class SettlementPoint:
    """Prices at one settlement point. Raises ValueError for one that is not simulated."""

    def __init__(self, name: str, seed: int) -> None:
        paths = {key: Path(seed, f"price/{key}", memories) for key, memories in price_shape.MEMORIES.items()}
        real_time, day_ahead = _shapes(name)
        self.name = name
        self.interval_ms = HOUR_MS if name == AESO_POINT else STEP_MS
        self._real_time = [_curve(shape, paths) for shape in real_time]
        self._day_ahead = [_curve(shape, paths) for shape in day_ahead]
        self._usd = CAD_USD if name == AESO_POINT else 1.0

    @property
    def has_day_ahead(self) -> bool:
        """Whether there is a day-ahead market."""
        return bool(self._day_ahead)

    def real_time(self, start_ms: int, end_ms: int) -> list[IntervalPrice]:
        """Returns the prices whose interval starts in [start, end), USD/MWh."""
        starts = multiples(start_ms, end_ms, self.interval_ms)
        return _intervals(starts, self.real_time_usd(starts))

    def day_ahead(self, start_ms: int, end_ms: int) -> list[IntervalPrice]:
        """Returns the day-ahead prices of the hours that start in [start, end), USD/MWh."""
        starts = multiples(start_ms, end_ms, HOUR_MS)
        return _intervals(starts, self.day_ahead_usd(starts))

    def real_time_usd(self, starts: range) -> Floats:
        """Returns the prices of the intervals that start then (multiples of theirs), USD/MWh, shape (len(starts),)."""
        return self._usd_mwh(self._real_time, starts, 0)

    def day_ahead_usd(self, starts: range) -> Floats:
        """Returns the day-ahead prices of the hours that start then, USD/MWh, shape (len(starts),)."""
        # What the middle of an hour is like stands for the hour.
        return self._usd_mwh(self._day_ahead, starts, _STEPS_AN_HOUR // 2)

    def _usd_mwh(self, curves: Sequence[Curve], starts: range, shift: int) -> Floats:
        if not starts:
            return np.empty(0)
        every = starts.step // STEP_MS
        first, count = starts[0] // STEP_MS + shift, every * (len(starts) - 1) + 1
        usd = self._usd * np.sum([curve.prices(first, count)[::every] for curve in curves], axis=0)
        if len(curves) > 1:
            # Congestion takes a price below zero only as far as wind offers there, half as far on average.
            usd = np.where(usd < 0, usd / 2, usd)
        return np.asarray(np.clip(usd, ERCOT_FLOOR_USD, ERCOT_CAP_USD).round(2))


class Grid:
    """Prices at the settlement points of the facilities; those that a replay has come from there."""

    def __init__(self, points: Sequence[str], seed: int, replay: Replay | None) -> None:
        self._points = {name: SettlementPoint(name, seed) for name in sorted(set(points))}
        self._replay = replay

    def prices(self, start_ms: int, end_ms: int) -> Iterator[events.GridPrice]:
        """Yields what is published in [start, end)."""
        for point in self._points.values():
            for price in self.real_time(point.name, start_ms, end_ms):
                yield _price(point.name, GridMarket.REAL_TIME, price.at_ms, price)
        for at_ms in multiples(start_ms - _DAY_AHEAD_PUBLISHED_MS, end_ms - _DAY_AHEAD_PUBLISHED_MS, DAY_MS):
            first_hour = at_ms + DAY_MS + _OPERATING_DAY_MS
            yield from self._day_ahead(at_ms + _DAY_AHEAD_PUBLISHED_MS, first_hour, first_hour + DAY_MS)

    def opening(self, start_ms: int) -> Iterator[events.GridPrice]:
        """Yields what had been published when a simulation starts: day-ahead prices, the hours that run, four weeks.

        Of the weeks before, the prices of points without a day-ahead market, as published in their time: what forecasts
        learn from. All else as published at the start.
        """
        today = (start_ms - _OPERATING_DAY_MS) // DAY_MS * DAY_MS + _OPERATING_DAY_MS
        published_today = start_ms % DAY_MS >= _DAY_AHEAD_PUBLISHED_MS
        yield from self._day_ahead(
            start_ms, start_ms - start_ms % HOUR_MS, today + (2 if published_today else 1) * DAY_MS
        )
        for point in self._points.values():
            running_ms = floor(start_ms, point.interval_ms)
            if not point.has_day_ahead:
                for price in self.real_time(point.name, start_ms - _HISTORY_MS, running_ms):
                    yield _price(point.name, GridMarket.REAL_TIME, price.at_ms, price)
            if running_ms < start_ms and self._recorded(point, running_ms, start_ms) is None:
                for price in point.real_time(running_ms, start_ms):
                    yield _price(point.name, GridMarket.REAL_TIME, start_ms, price)

    def real_time(self, name: str, start_ms: int, end_ms: int) -> Sequence[IntervalPrice]:
        """Returns the real-time prices at a point whose interval starts in [start, end)."""
        point = self._points[name]
        recorded = self._recorded(point, start_ms, end_ms)
        return point.real_time(start_ms, end_ms) if recorded is None else recorded

    def day_ahead(self, name: str, start_ms: int, end_ms: int) -> Sequence[IntervalPrice]:
        """Returns the day-ahead prices at a point with such a market, of the hours that start in [start, end)."""
        return self._points[name].day_ahead(start_ms, end_ms)

    def _recorded(self, point: SettlementPoint, start_ms: int, end_ms: int) -> Sequence[IntervalPrice] | None:
        return self._replay.prices(point.name, start_ms, end_ms) if self._replay is not None else None

    def _day_ahead(self, published_ms: int, first_hour_ms: int, end_ms: int) -> Iterator[events.GridPrice]:
        for point in self._points.values():
            for price in point.day_ahead(first_hour_ms, end_ms) if point.has_day_ahead else ():
                yield _price(point.name, GridMarket.DAY_AHEAD, published_ms, price)


def _intervals(starts: range, usd: Floats) -> list[IntervalPrice]:
    return [IntervalPrice(at_ms, starts.step, price) for at_ms, price in zip(starts, usd.tolist(), strict=True)]


def _shapes(name: str) -> tuple[tuple[PriceShape, ...], tuple[PriceShape, ...]]:
    """What adds up to the real-time and to the day-ahead price."""
    north, west = ERCOT_POINTS
    shapes = {
        north: ((price_shape.NORTH,), (price_shape.NORTH_DAY_AHEAD,)),
        west: (
            (price_shape.NORTH, price_shape.WEST_BASIS),
            (price_shape.NORTH_DAY_AHEAD, price_shape.WEST_BASIS_DAY_AHEAD),
        ),
        AESO_POINT: ((price_shape.ALBERTA_CAD,), ()),
    }
    if name not in shapes:
        raise ValueError(f"no prices are simulated at {name!r}; they are at {', '.join(sorted(shapes))}")
    return shapes[name]


def _curve(shape: PriceShape, paths: Mapping[str, Path]) -> Curve:
    return Curve(Scarcity(shape.shape, paths), price_shape.RANKS, shape.prices)


def _price(point: str, market: GridMarket, published_ms: int, price: IntervalPrice) -> events.GridPrice:
    return events.GridPrice(
        event_id=event_id("grid.prices", f"{point}/{market}/{price.at_ms}", published_ms),
        settlement_point=point,
        market=market,
        observed_at=to_datetime(published_ms),
        interval_start=to_datetime(price.at_ms),
        interval_s=price.interval_ms // 1000,
        price_usd_mwh=price.usd,
    )
