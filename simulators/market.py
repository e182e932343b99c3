"""Prices of bitcoin and of GPU-hours, and the blocks of the bitcoin network. All are functions of event time alone.

Levels are those of August 2025, when the recorded series that the project is checked against end: BTC 108,000 USD,
difficulty 129.7e12 (about 930 EH/s), H100-hours on the spot market at 2.20 USD.
"""

import math
from collections.abc import Iterator

import numpy as np

from schemas import events
from simulators.identity import event_id
from simulators.noise import MeanReverting, Noise
from simulators.timeline import DAY_MS, MINUTE_MS, multiples, to_datetime

BTC = "BTC-USD"
GPU_HOUR = "H100-HOUR-USD"
CHAIN = "bitcoin"
SOURCE = "simulator"
BTC_TICK_MS = MINUTE_MS
GPU_TICK_MS = 5 * MINUTE_MS

_BTC_LEVEL_USD = 108_000.0
# A year's volatility of 45 % (realised, 2024-2025), as a path that forgets over 30 days: over days it is a random walk.
_BTC_MEMORY_D = 30
_BTC_YEARLY_VOLATILITY = 0.45
_GPU_LEVEL_USD = 2.20
_GPU_MEMORY_D = 3
_GPU_SD = 0.18

_BLOCKS_A_DAY = 144
_ANCHOR_HEIGHT = 912_500
_ANCHOR_DAY = 20_331  # 2025-08-31
_EPOCH_BLOCKS = 2_016
_HALVING_BLOCKS = 210_000
_DIFFICULTY = 129.7e12
_FEES_BTC = 0.03
_HASHES_PER_DIFFICULTY = 2.0**32
_BLOCK_S = 600.0


class Market:
    """The ticks of both instruments."""

    def __init__(self, seed: int) -> None:
        minutes = _BTC_MEMORY_D * DAY_MS // BTC_TICK_MS
        # The stationary sd whose shocks, over a year of minutes, add up to the yearly volatility.
        sd = _BTC_YEARLY_VOLATILITY * math.sqrt(_BTC_MEMORY_D / 2 / 365)
        self._btc = MeanReverting(Noise(seed, "btc"), minutes, sd, Noise(seed, "btc/jump"), jump_chance=0.7 / 1440)
        self._gpu = MeanReverting(Noise(seed, "gpu-hour"), _GPU_MEMORY_D * DAY_MS // GPU_TICK_MS, _GPU_SD)

    def ticks(self, start_ms: int, end_ms: int) -> Iterator[events.MarketTick]:
        """Yields the ticks of [start, end)."""
        for at_ms in multiples(start_ms, end_ms, BTC_TICK_MS):
            yield _tick(BTC, at_ms, round(_BTC_LEVEL_USD * math.exp(self._btc.at(at_ms // BTC_TICK_MS)), 2))
        for at_ms in multiples(start_ms, end_ms, GPU_TICK_MS):
            yield _tick(GPU_HOUR, at_ms, self.gpu_hour_price_usd(at_ms))

    def gpu_hour_price_usd(self, at_ms: int) -> float:
        """Returns the spot price of a GPU-hour, USD."""
        return round(_GPU_LEVEL_USD * math.exp(self._gpu.at(at_ms // GPU_TICK_MS)), 4)


class Network:
    """The blocks of the network: 144 a day at random moments, so ten minutes apart on average.

    A Poisson process of which the day's count is known is that many uniform draws, sorted; with the count fixed, height
    and difficulty epoch follow from the date.
    """

    def __init__(self, seed: int) -> None:
        self._arrivals = Noise(seed, "network/arrivals")
        self._difficulty = Noise(seed, "network/difficulty")
        self._fees = Noise(seed, "network/fees")
        self._day = -1
        self._times: list[int] = []

    def blocks(self, start_ms: int, end_ms: int) -> Iterator[events.NetworkStats]:
        """Yields the blocks of [start, end)."""
        for day in range(start_ms // DAY_MS, (end_ms - 1) // DAY_MS + 1):
            if day != self._day:
                draws = np.sort(self._arrivals.generator(day).random(_BLOCKS_A_DAY))
                self._day, self._times = day, [day * DAY_MS + int(draw * DAY_MS) for draw in draws]
            for number, at_ms in enumerate(self._times):
                if start_ms <= at_ms < end_ms:
                    yield self.block(_ANCHOR_HEIGHT + _BLOCKS_A_DAY * (day - _ANCHOR_DAY) + number, at_ms)

    def block(self, height: int, at_ms: int) -> events.NetworkStats:
        """Returns the block of a height, seen at an event time."""
        difficulty = _DIFFICULTY * math.exp(0.03 * self._difficulty.normal(height // _EPOCH_BLOCKS))
        return events.NetworkStats(
            event_id=event_id("network.stats", f"{CHAIN}/{height}", at_ms),
            chain=CHAIN,
            observed_at=to_datetime(at_ms),
            block_height=height,
            difficulty=difficulty,
            # Expected hashes of a block over the time it takes (Bitcoin Core, GetNetworkHashPS).
            network_hashrate_ths=difficulty * _HASHES_PER_DIFFICULTY / _BLOCK_S / 1e12,
            block_subsidy_btc=50.0 / 2 ** (height // _HALVING_BLOCKS),
            block_fees_btc=round(_FEES_BTC * math.exp(0.6 * self._fees.normal(height)), 8),
        )


def _tick(instrument: str, at_ms: int, price_usd: float) -> events.MarketTick:
    return events.MarketTick(
        event_id=event_id("market.ticks", instrument, at_ms),
        instrument=instrument,
        observed_at=to_datetime(at_ms),
        price_usd=price_usd,
        source=SOURCE,
    )
