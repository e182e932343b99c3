"""A Markov chain of real-time prices: how likely each level follows each, by time of day and by the day-ahead auction.

It says what a forecast of single prices doesn't: how long a spike lasts, once it is there, and how often one comes out
of nothing. A price between two levels counts for both, so that its mean is kept: the nearest level alone would be wrong
by more than a decision is about (linear interpolation: Miranda and Fackler, Applied Computational Economics and
Finance, 2002, chapter 6). A high price of the auction tells the hours in which spikes are apt to come and to last.
Each class of hours leans on the chain of all of them, where it has seen little.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo

import numpy as np

from streams.domain.forecast.history import Floats, PriceHistory, Times

DAY_MS = 86_400_000
FIT_DAYS = 180
"""Days that are learnt from: two seasons."""
CLASS_H = 4
"""Hours of local time in a class of the day, from midnight on."""
BAND_QUANTILES = (0.5, 0.9)
"""Of the auction's prices: what is between two is one band of them."""
SMOOTHING = 20.0
"""Steps of the chain of all hours that are added to those seen from a level in a class."""
# Sixteen even steps up to where one price in ten is higher, then each step leaves half of the prices that were left:
# spikes are few, and what they cost is not.
_QUANTILES = np.concatenate([np.linspace(0.0, 0.9, 16, endpoint=False), 1 - 0.1 * 0.5 ** np.arange(10), [1.0]])
# Where a level was never left, it stays.
_STAY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class PriceChain:
    """Levels in USD/MWh, rising, (levels,); probabilities of the next level by class, (classes, levels, levels).

    A class is a time of day in `zone` and a band of the auction's price, whose bounds in USD/MWh rise; to have no price
    of the auction is a band too.
    """

    levels_usd_mwh: Floats
    transition: Floats
    bounds_usd_mwh: Floats
    zone: tzinfo

    def weights(self, price_usd_mwh: Floats) -> Floats:
        """Share of each level in each price, (n, levels): of the two around it; a price beyond all is the last."""
        return _weights(self.levels_usd_mwh, price_usd_mwh)

    def has_seen(self, price_usd_mwh: float) -> bool:
        """Whether the price is within the levels."""
        return bool(self.levels_usd_mwh[0] <= price_usd_mwh <= self.levels_usd_mwh[-1])

    def into(self, start_ms: int, auction_usd_mwh: float) -> Floats:
        """Probabilities of each level in the interval that starts then, by the level before it: (levels, levels).

        The auction's price of that interval is NaN where there is none.
        """
        (one,) = _classes((start_ms,), np.array([auction_usd_mwh]), self.bounds_usd_mwh, self.zone)
        found: Floats = self.transition[one]
        return found


def fit(prices: PriceHistory, now_ms: int, zone: tzinfo) -> PriceChain:
    """Learns from the `FIT_DAYS` days of prices that were published by `now_ms`.

    Raises ValueError where no price has followed another.
    """
    known = prices.known(now_ms).since(now_ms - FIT_DAYS * DAY_MS)
    past, auction = known.real_time, known.day_ahead
    follows = np.flatnonzero(np.diff(past.start_ms) == past.interval_ms)
    if not len(follows):
        raise ValueError("no price has followed another; history has to begin earlier")
    levels = np.unique(np.quantile(past.values, _QUANTILES))
    weights = _weights(levels, past.values)
    bounds = np.quantile(auction.values, BAND_QUANTILES) if len(auction.values) else np.empty(0)
    starts_ms = past.start_ms[follows + 1]
    classes = _classes(starts_ms.tolist(), auction.at(starts_ms, np.full(len(starts_ms), now_ms)), bounds, zone)
    steps = _steps(weights[follows], weights[follows + 1], classes, 24 // CLASS_H * _bands(bounds))
    every = _shares(steps.sum(axis=0) + _STAY * np.eye(len(levels)))
    return PriceChain(levels, _shares(steps + SMOOTHING * every), bounds, zone)


def _classes(start_ms: Iterable[int], auction_usd_mwh: Floats, bounds_usd_mwh: Floats, zone: tzinfo) -> Times:
    times = [datetime.fromtimestamp(at_ms / 1000, zone).hour // CLASS_H for at_ms in start_ms]
    bands = np.searchsorted(bounds_usd_mwh, auction_usd_mwh, side="right") + 1
    bands[np.isnan(auction_usd_mwh)] = 0
    return np.array(times, np.int64) * _bands(bounds_usd_mwh) + bands


def _bands(bounds_usd_mwh: Floats) -> int:
    return len(bounds_usd_mwh) + 2


def _weights(levels: Floats, prices: Floats) -> Floats:
    return np.column_stack([np.interp(prices, levels, level) for level in np.eye(len(levels))])


def _steps(before: Floats, after: Floats, classes: Times, count: int) -> Floats:
    return np.array([before[classes == c].T @ after[classes == c] for c in range(count)])


def _shares(steps: Floats) -> Floats:
    found: Floats = steps / steps.sum(axis=-1, keepdims=True)
    return found
