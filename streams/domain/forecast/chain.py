"""A Markov chain of real-time prices: how likely each level follows each, by the time of day, as learnt from the past.

It says what a forecast of single prices doesn't: how long a spike lasts, once it is there, and how often one comes out
of nothing. A price between two levels counts for both, so that its mean is kept: the nearest level alone would be wrong
by more than a decision is about (linear interpolation: Miranda and Fackler, Applied Computational Economics and
Finance, 2002, chapter 6). Each time of day leans on the chain of all times, where it has seen little.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, tzinfo

import numpy as np

from streams.domain.forecast.history import Floats, Published, Times

DAY_MS = 86_400_000
FIT_DAYS = 180
"""Days that are learnt from: two seasons."""
CLASS_H = 4
"""Hours of local time in a class of the day, from midnight on."""
SMOOTHING = 20.0
"""Steps of the chain of all times that are added to those seen from a level in a class."""
# Sixteen even steps up to where one price in ten is higher, then each step leaves half of the prices that were left:
# spikes are few, and what they cost is not.
_QUANTILES = np.concatenate([np.linspace(0.0, 0.9, 16, endpoint=False), 1 - 0.1 * 0.5 ** np.arange(10), [1.0]])
# Where a level was never left, it stays.
_STAY = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class PriceChain:
    """Levels in USD/MWh, rising, (levels,); probabilities of the next level by class, (classes, levels, levels).

    The classes are those of the local time in `zone`.
    """

    levels_usd_mwh: Floats
    transition: Floats
    zone: tzinfo

    def weights(self, price_usd_mwh: Floats) -> Floats:
        """Share of each level in each price, (n, levels): of the two around it; a price beyond all is the last."""
        return _weights(self.levels_usd_mwh, price_usd_mwh)

    def has_seen(self, price_usd_mwh: float) -> bool:
        """Whether the price is within the levels."""
        return bool(self.levels_usd_mwh[0] <= price_usd_mwh <= self.levels_usd_mwh[-1])

    def into(self, start_ms: int) -> Floats:
        """Probabilities of each level in the interval that starts then, by the level before it: (levels, levels)."""
        found: Floats = self.transition[_classes((start_ms,), self.zone)[0]]
        return found


def fit(prices: Published, now_ms: int, zone: tzinfo) -> PriceChain:
    """Learns from the `FIT_DAYS` days of prices that were published by `now_ms`.

    Raises ValueError where no price has followed another.
    """
    past = prices.known(now_ms).since(now_ms - FIT_DAYS * DAY_MS)
    follows = np.flatnonzero(np.diff(past.start_ms) == past.interval_ms)
    if not len(follows):
        raise ValueError("no price has followed another; history has to begin earlier")
    levels = np.unique(np.quantile(past.values, _QUANTILES))
    weights = _weights(levels, past.values)
    classes = _classes(past.start_ms[follows + 1].tolist(), zone)
    steps = _steps(weights[follows], weights[follows + 1], classes)
    every = _shares(steps.sum(axis=0) + _STAY * np.eye(len(levels)))
    return PriceChain(levels, _shares(steps + SMOOTHING * every), zone)


def _classes(start_ms: Iterable[int], zone: tzinfo) -> Times:
    return np.array([datetime.fromtimestamp(at_ms / 1000, zone).hour // CLASS_H for at_ms in start_ms], np.int64)


def _weights(levels: Floats, prices: Floats) -> Floats:
    return np.column_stack([np.interp(prices, levels, level) for level in np.eye(len(levels))])


def _steps(before: Floats, after: Floats, classes: Times) -> Floats:
    return np.array([before[classes == c].T @ after[classes == c] for c in range(24 // CLASS_H)])


def _shares(steps: Floats) -> Floats:
    found: Floats = steps / steps.sum(axis=-1, keepdims=True)
    return found
