"""Prices of energy at the settlement points, and the calls of the grid operator. Functions of event time alone.

Real-time prices revert to a daily shape, with spikes (scarcity) and, in ERCOT's west, hours below zero (wind). Levels
are set by eye to the recorded quantiles of 2024 and 2025: median 20 to 25 USD/MWh, one price in twenty over 70, one in
a hundred over 130, minimum about -30. Alberta's pool has a floor of 0 and a cap of 999.99 CAD/MWh
(AESO, ISO rule 201.3), and no day-ahead market.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from schemas import events
from schemas.events import GridMarket
from simulators.identity import event_id
from simulators.noise import MeanReverting, Noise
from simulators.replay import IntervalPrice, Replay
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS, multiples, to_datetime

REAL_TIME_MS = 5 * MINUTE_MS
"""Interval of simulated real-time prices (ERCOT's SCED; Alberta's dispatch is shown at the same step)."""

CAD_USD = 0.72

_SHOCK_MEMORY = 24  # intervals: two hours
_EPISODE_MS = 6 * HOUR_MS
_DAY_AHEAD_PUBLISHED_MS = 18 * HOUR_MS + 30 * MINUTE_MS  # 12:30 or 13:30 Central, UTC
_OPERATING_DAY_MS = 6 * HOUR_MS  # midnight Central standard time, UTC


@dataclass(frozen=True, slots=True)
class PriceShape:
    """What prices at a settlement point look like, USD/MWh; chances are of one episode in a quarter of a day."""

    level: float
    morning: float
    evening: float
    sd: float
    spike_chance: float
    dip_chance: float
    floor: float
    cap: float
    utc_offset_h: float
    day_ahead: bool


SHAPES: Mapping[str, PriceShape] = {
    "HB_WEST": PriceShape(22.0, 7.0, 20.0, 7.0, 0.22, 0.35, -250.0, 5000.0, -6.0, day_ahead=True),
    "HB_NORTH": PriceShape(23.0, 7.0, 18.0, 6.0, 0.18, 0.10, -250.0, 5000.0, -6.0, day_ahead=True),
    "AESO_POOL": PriceShape(26.0, 9.0, 16.0, 8.0, 0.20, 0.0, 0.0, 999.99 * CAD_USD, -7.0, day_ahead=False),
}


class _Point:
    """Prices of one settlement point."""

    def __init__(self, name: str, seed: int) -> None:
        self.name = name
        self.shape = SHAPES[name]
        self._shock = MeanReverting(Noise(seed, f"lmp/{name}"), _SHOCK_MEMORY, self.shape.sd)
        self._episodes = Noise(seed, f"lmp/episode/{name}")
        self._forecast = Noise(seed, f"lmp/day-ahead/{name}")
        self._episode: tuple[int, int, int, float] = (-1, 0, 0, 0.0)

    def real_time(self, at_ms: int) -> float:
        """Returns the price of the interval that starts then, USD/MWh."""
        price = self._expected(at_ms) + self._shock.at(at_ms // REAL_TIME_MS) + self._departure(at_ms)
        return round(min(max(price, self.shape.floor), self.shape.cap), 2)

    def day_ahead(self, hour_ms: int) -> float:
        """Returns the day-ahead price of the hour, USD/MWh: what is expected, with a premium for the risk of spikes."""
        error = 2.5 * self._forecast.normal(hour_ms // HOUR_MS)
        return round(1.06 * self._expected(hour_ms) + error, 2)

    def _expected(self, at_ms: int) -> float:
        hour = (at_ms / HOUR_MS + self.shape.utc_offset_h) % 24
        return (
            self.shape.level
            + self.shape.morning * _bump(hour, 7.5, 1.5)
            + self.shape.evening * _bump(hour, 19.0, 2.0)
            - 0.3 * self.shape.level * _bump(hour, 3.0, 3.0)
        )

    def _departure(self, at_ms: int) -> float:
        # At most one episode a block: a spike, or a dip below zero.
        block = at_ms // _EPISODE_MS
        if self._episode[0] != block:
            self._episode = self._draw(block)
        _, begin, end, height = self._episode
        if not begin <= at_ms < end:
            return 0.0
        # Quick up, slower down.
        share = (at_ms - begin) / (end - begin)
        return height * min(1.0, 4 * share + 0.3) * (1 - 0.6 * share)

    def _draw(self, block: int) -> tuple[int, int, int, float]:
        rng = self._episodes.generator(block)
        kind, place, length, size = rng.random(), rng.random(), rng.random(), rng.standard_normal()
        if kind < self.shape.spike_chance:
            # Lognormal: median 140, one in ten over 600, rarely thousands.
            duration, height = (20 + 70 * length) * MINUTE_MS, 140 * math.exp(1.15 * size)
        elif kind < self.shape.spike_chance + self.shape.dip_chance:
            duration, height = (60 + 180 * length) * MINUTE_MS, -38 * math.exp(0.2 * size)
        else:
            return (block, 0, 0, 0.0)
        begin = block * _EPISODE_MS + int(place * (_EPISODE_MS - duration))
        return (block, begin, begin + int(duration), height)


class Grid:
    """Prices at the settlement points of the facilities; those that a replay has come from there."""

    def __init__(self, points: Sequence[str], seed: int, replay: Replay | None) -> None:
        self._points = [_Point(name, seed) for name in sorted(set(points))]
        self._replay = replay

    def prices(self, start_ms: int, end_ms: int) -> Iterator[events.GridPrice]:
        """Yields what is published in [start, end)."""
        for point in self._points:
            recorded = self._replay.prices(point.name, start_ms, end_ms) if self._replay is not None else None
            if recorded is None:
                starts = multiples(start_ms, end_ms, REAL_TIME_MS)
                recorded = [IntervalPrice(at_ms, REAL_TIME_MS, point.real_time(at_ms)) for at_ms in starts]
            for price in recorded:
                yield _price(point.name, GridMarket.REAL_TIME, price.at_ms, price)
        for at_ms in multiples(start_ms - _DAY_AHEAD_PUBLISHED_MS, end_ms - _DAY_AHEAD_PUBLISHED_MS, DAY_MS):
            first_hour = at_ms + DAY_MS + _OPERATING_DAY_MS
            yield from self._day_ahead(at_ms + _DAY_AHEAD_PUBLISHED_MS, first_hour, first_hour + DAY_MS)

    def opening(self, start_ms: int) -> Iterator[events.GridPrice]:
        """Yields the day-ahead prices that had been published when a simulation starts, as published then."""
        today = (start_ms - _OPERATING_DAY_MS) // DAY_MS * DAY_MS + _OPERATING_DAY_MS
        published_today = start_ms % DAY_MS >= _DAY_AHEAD_PUBLISHED_MS
        yield from self._day_ahead(
            start_ms, start_ms - start_ms % HOUR_MS, today + (2 if published_today else 1) * DAY_MS
        )

    def _day_ahead(self, published_ms: int, first_hour_ms: int, end_ms: int) -> Iterator[events.GridPrice]:
        for point in self._points:
            if point.shape.day_ahead:
                for hour_ms in range(first_hour_ms, end_ms, HOUR_MS):
                    price = IntervalPrice(hour_ms, HOUR_MS, point.day_ahead(hour_ms))
                    yield _price(point.name, GridMarket.DAY_AHEAD, published_ms, price)


def _bump(hour: float, centre: float, width: float) -> float:
    """Returns a bell around an hour of the day, 1 at its centre; midnight is no seam."""
    distance = min(abs(hour - centre), 24 - abs(hour - centre))
    return math.exp(-0.5 * (distance / width) ** 2)


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
