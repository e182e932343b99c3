"""Ticks of what is traded: bitcoin, and the hour of a GPU on the spot market. Functions of event time alone.

An H100-hour is about 2.20 USD, and moves by a few percent a day: the level is that of cloud offers in August 2025, the
movement is assumed.
"""

import math
from collections.abc import Iterator

from schemas import events
from simulators.bitcoin import BitcoinPrice
from simulators.identity import event_id
from simulators.noise import MeanReverting, Noise
from simulators.timeline import DAY_MS, MINUTE_MS, multiples, to_datetime

BTC = "BTC-USD"
GPU_HOUR = "H100-HOUR-USD"
SOURCE = "simulator"
BTC_TICK_MS = MINUTE_MS
GPU_TICK_MS = 5 * MINUTE_MS

_GPU_LEVEL_USD = 2.20
_GPU_MEMORY_D = 3
_GPU_SD = 0.18


class Market:
    """The ticks of both instruments."""

    def __init__(self, seed: int) -> None:
        self._btc = BitcoinPrice(seed)
        self._gpu = MeanReverting(Noise(seed, "gpu-hour"), _GPU_MEMORY_D * DAY_MS // GPU_TICK_MS, _GPU_SD)

    def ticks(self, start_ms: int, end_ms: int) -> Iterator[events.MarketTick]:
        """Yields the ticks of [start, end)."""
        for at_ms in multiples(start_ms, end_ms, BTC_TICK_MS):
            yield _tick(BTC, at_ms, round(self._btc.usd(at_ms), 2))
        for at_ms in multiples(start_ms, end_ms, GPU_TICK_MS):
            yield _tick(GPU_HOUR, at_ms, self.gpu_hour_price_usd(at_ms))

    def gpu_hour_price_usd(self, at_ms: int) -> float:
        """Returns the spot price of a GPU-hour, USD."""
        return round(_GPU_LEVEL_USD * math.exp(self._gpu.at(at_ms // GPU_TICK_MS)), 4)


def _tick(instrument: str, at_ms: int, price_usd: float) -> events.MarketTick:
    return events.MarketTick(
        event_id=event_id("market.ticks", instrument, at_ms),
        instrument=instrument,
        observed_at=to_datetime(at_ms),
        price_usd=price_usd,
        source=SOURCE,
    )
