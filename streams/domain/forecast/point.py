"""Point forecasts of the real-time price: the baselines, and the day-ahead price with a decaying deviation.

Each takes moments of asking and the deliveries asked for, two arrays of one shape, and reads the history as of the
moments; USD/MWh out, NaN where it knows nothing.
"""

from collections.abc import Callable

import numpy as np

from streams.domain.forecast.history import Floats, PriceHistory, Times

PointForecast = Callable[[PriceHistory, Times, Times], Floats]

WEEK_MS = 7 * 24 * 3_600_000
# Of a deviation. 30 minutes, 2 and 4 hours had a greater pinball loss (ERCOT hub average, 2024-07 to 2025-08).
HALF_LIFE_MS = 3_600_000


def persistence(history: PriceHistory, asked_ms: Times, delivery_ms: Times) -> Floats:
    """The newest price stays: the baseline that is hard to beat minutes ahead."""
    known = history.real_time.at(delivery_ms, asked_ms)
    return np.where(np.isnan(known), history.real_time.newest(asked_ms), known)


def last_week(history: PriceHistory, asked_ms: Times, delivery_ms: Times) -> Floats:
    """The price of the same hour a week before: the baseline of season and working day.

    `delivery_ms` is at most a week after `asked_ms`.
    """
    return history.real_time.at(delivery_ms - WEEK_MS, asked_ms)


def day_ahead(history: PriceHistory, asked_ms: Times, delivery_ms: Times) -> Floats:
    """The price of the day-ahead auction; the newest real-time price where it isn't out, or there is none."""
    auction = history.day_ahead.at(delivery_ms, asked_ms)
    return np.where(np.isnan(auction), persistence(history, asked_ms, delivery_ms), auction)


def blend(history: PriceHistory, asked_ms: Times, delivery_ms: Times) -> Floats:
    """From the newest price towards that of the day-ahead auction; a market without one keeps the newest price."""
    known = history.real_time.at(delivery_ms, asked_ms)
    newest = history.real_time.newest(asked_ms)
    newest_ms = history.real_time.newest_start(asked_ms)
    now, then = history.day_ahead.at(newest_ms, asked_ms), history.day_ahead.at(delivery_ms, asked_ms)
    return np.where(np.isnan(known), towards(newest, now, then, delivery_ms - newest_ms), known)


def towards(newest: Floats, now: Floats, then: Floats, elapsed_ms: Times) -> Floats:
    """What was expected of `then`, plus what `newest` is off from what was of `now`, halved every `HALF_LIFE_MS`.

    An AR(1) of the deviation in continuous time. The newest price where one of the two is NaN. What is expected is an
    auction's price or a forecast. A line between the middles of the auction's hours would be nearer to what comes, by a
    sixth a quarter of an hour ahead, but plans by it earned less: it has miners stop for prices that rise only in the
    forecast (weeks of `hcp backtest --decider live`).
    """
    weight = 0.5 ** (elapsed_ms / HALF_LIFE_MS)
    return np.where(np.isnan(now) | np.isnan(then), newest, then + weight * (newest - now))
