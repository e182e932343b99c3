"""Values with the time at which each was published: the one place where forecasts read, so that none can look ahead.

Every question names the moment of asking, and no answer was published after it. `known` cuts off the rest for good.
Times are milliseconds since the epoch, UTC.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Times = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Published:
    """Values of intervals of `interval_ms`: `start_ms`, `published_ms` and `values` of equal length.

    Starts rise and publications never fall. Raises ValueError, naming what is wrong, where it is not so or a value is
    not finite.
    """

    interval_ms: int
    start_ms: Times
    published_ms: Times
    values: Floats

    def __post_init__(self) -> None:
        """Checks lengths, order and values."""
        if not len(self.start_ms) == len(self.published_ms) == len(self.values):
            raise ValueError("start_ms, published_ms and values must be of equal length")
        if self.interval_ms <= 0 or np.any(np.diff(self.start_ms) <= 0) or np.any(np.diff(self.published_ms) < 0):
            raise ValueError("interval_ms must be positive, start_ms must rise and published_ms must never fall")
        if not np.all(np.isfinite(self.values)):
            raise ValueError("values must be finite")

    def known(self, now_ms: int) -> Self:
        """What was published by `now_ms`, as copies: nothing behind it can be reached from there."""
        end = int(np.searchsorted(self.published_ms, now_ms, side="right"))
        return type(self)(
            self.interval_ms, self.start_ms[:end].copy(), self.published_ms[:end].copy(), self.values[:end].copy()
        )

    def since(self, start_ms: int) -> Self:
        """The intervals that start at `start_ms` or later."""
        first = int(np.searchsorted(self.start_ms, start_ms))
        return type(self)(self.interval_ms, self.start_ms[first:], self.published_ms[first:], self.values[first:])

    def at(self, delivery_ms: Times, asked_ms: Times) -> Floats:
        """Value of the interval that holds each delivery, NaN where there is none or it came after `asked_ms`."""
        if not len(self.values):
            return np.full(np.shape(delivery_ms), np.nan)
        index = np.searchsorted(self.start_ms, delivery_ms, side="right") - 1
        place = np.maximum(index, 0)
        found = (index >= 0) & (delivery_ms - self.start_ms[place] < self.interval_ms)
        return np.where(found & (self.published_ms[place] <= asked_ms), self.values[place], np.nan)

    def newest(self, asked_ms: Times, back: int = 0) -> Floats:
        """The value published last by each moment, or `back` before it; NaN where there is none."""
        return self._take(self.values, asked_ms, back, np.nan)

    def newest_start(self, asked_ms: Times) -> Times:
        """Start of the interval whose value was published last by each moment; -1 where there is none."""
        return self._take(self.start_ms, asked_ms, 0, -1).astype(np.int64)

    def _take(self, values: Floats | Times, asked_ms: Times, back: int, missing: float) -> Floats:
        index = np.searchsorted(self.published_ms, asked_ms, side="right") - 1 - back
        if not len(values):
            return np.full(np.shape(asked_ms), missing)
        return np.where(index >= 0, values[np.maximum(index, 0)], missing).astype(np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class PriceHistory:
    """Prices of one settlement point in USD/MWh. `day_ahead` is empty where the market has none."""

    real_time: Published
    day_ahead: Published

    def known(self, now_ms: int) -> Self:
        """What was published by `now_ms`."""
        return type(self)(self.real_time.known(now_ms), self.day_ahead.known(now_ms))

    def since(self, start_ms: int) -> Self:
        """The intervals that start at `start_ms` or later."""
        return type(self)(self.real_time.since(start_ms), self.day_ahead.since(start_ms))


def empty(interval_ms: int) -> Published:
    """A series without values."""
    none = np.empty(0, np.int64)
    return Published(interval_ms, none, none, np.empty(0))
