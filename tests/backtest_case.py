"""Small recorded markets and fleets for the backtest's tests. Time starts at Monday 2025-06-02, 0:00 UTC."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from hcp.backtest.fleet import Fleet, Floats
from hcp.backtest.market import Bitcoin, Market
from schemas import events as e
from streams.domain.forecast.history import PriceHistory, Published, empty
from tests import streams_event

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
MONDAY_MS = 1_748_822_400_000
HISTORY_DAYS = 8
AUCTION_LEAD_MS = 3 * HOUR_MS


def published(values: Sequence[float] | Floats, interval_ms: int = HOUR_MS, delay_ms: int = HOUR_MS) -> Published:
    """Values of intervals from `HISTORY_DAYS` before the start on, each published `delay_ms` after its start."""
    start_ms = MONDAY_MS - HISTORY_DAYS * DAY_MS + np.arange(len(values), dtype=np.int64) * interval_ms
    return Published(interval_ms, start_ms, start_ms + delay_ms, np.asarray(values, np.float64))


def wavy_prices(days: int = HISTORY_DAYS + 7, seed: int = 1) -> Floats:
    """Hourly prices with a daily wave, noise, some negative hours and some spikes."""
    random = np.random.default_rng(seed)
    hours = np.arange(days * 24)
    prices = 45 + 35 * np.sin(hours * 2 * np.pi / 24) + random.normal(0, 12, len(hours))
    return np.where(random.random(len(hours)) < 0.03, prices + random.exponential(500, len(hours)), prices)


def market(
    prices: Sequence[float] | Floats, auction: Sequence[float] | Floats = (), *, delay_ms: int = HOUR_MS
) -> Market:
    """Hourly prices, known as each hour ends; 100,000 USD a Bitcoin at a difficulty of 1e14.

    Those of an auction, where there is one, are known `AUCTION_LEAD_MS` before.
    """
    days = len(prices) // 24 + 2
    bitcoin = Bitcoin(
        published([100_000.0] * days, DAY_MS, 0),
        published([1e14] * days, DAY_MS, 0),
        published([0.05] * days, DAY_MS, 0),
    )
    day_ahead = published(auction, delay_ms=-AUCTION_LEAD_MS) if len(auction) else empty(HOUR_MS)
    return Market("HB_WEST", PriceHistory(published(prices, delay_ms=delay_ms), day_ahead), bitcoin)


def resources() -> tuple[e.Resource, ...]:
    """Two groups of 100 miners: one with wear and least times, the other with half the hashrate."""
    first = streams_event.miners("a", start_cost_usd=4.0, stop_cost_usd=2.0, min_up_s=7200, min_down_s=10_800)
    second = streams_event.miners("b")
    halved = [replace(point, hashrate_ths=point.hashrate_ths / 2) for point in second.modes]
    return first, replace(second, modes=halved)


def fleet(cap_mw: float = 0.6, interval_ms: int = HOUR_MS) -> Fleet:
    """They draw 0.33 MW each in NORMAL and 0.44 in TURBO, at the meter."""
    return Fleet(streams_event.facility(cap_mw=cap_mw), resources(), interval_ms)
