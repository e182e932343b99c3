"""Blocks of the bitcoin network: arrivals, difficulty, subsidy and fees, functions of event time alone.

Arrivals are a Poisson process: each takes an exponential number of times the expected hashes, and so a time by the
hashrate. Every 2,016 blocks the difficulty is set anew by the time that the last ones took, as Bitcoin Core does
(src/pow.cpp, CalculateNextWorkRequired): it measures from the first block of an epoch to its last, 2,015 gaps, and goes
up or down by four at most. The new difficulty is the hashrate times two weeks over the hashes of the epoch whatever the
one before was, so any epoch's follows from the epoch before alone; when an epoch begins is counted from a recorded
block, both ways.

Fees grow with the time that a block took, as payments gather meanwhile. Calibrated to blocks 909,458 to 934,575 of
August 2025 to February 2026 (btc_blocks_2025-08_2026-02.csv: gaps of 600 s on average with a standard deviation of 601,
fees of 0.0173 BTC in the median and 0.0218 on average), and to the 59 changes of difficulty from June 2023 to August
2025 (btc_daily_2020_2026.csv: 1.7 % on average, standard deviation 3.9 %).
"""

import math
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas import events
from simulators.identity import event_id
from simulators.noise import MeanReverting, Noise
from simulators.timeline import SECOND_MS, to_datetime

CHAIN = "bitcoin"
EPOCH_BLOCKS = 2_016
TARGET_S = 14 * 86_400
"""Time that an epoch should take."""

_LARGEST_STEP = 4
_HALVING_BLOCKS = 210_000
_HASHES_PER_DIFFICULTY = 2.0**32
_BLOCK_S = 600.0

# Block 911,232, the first of its epoch, has the header time 2025-08-22T20:47:58Z; its difficulty was 129.70e12.
_ANCHOR_EPOCH = 452
_ANCHOR_MS = 1_755_895_678 * SECOND_MS
_LEVEL_DIFFICULTY = 129.7e12
_LEVEL_THS = _LEVEL_DIFFICULTY * _HASHES_PER_DIFFICULTY / _BLOCK_S / 1e12

# Hashrate grew by 39 % a year up to the anchor. Where the price stays, growth dies out: here over a year.
_GROWTH_YEARLY = 0.39
_GROWTH_MEMORY_Y = 1.0
_EPOCHS_YEARLY = 365.25 / 14
# Changes of difficulty: 3.2 % of the 3.9 % are the luck of 2,015 arrivals (sqrt(2 / 2015)); the rest is hashrate.
_HASHRATE_MEMORY = 26
_HASHRATE_SD = 0.083

_FEES_BTC = 0.022
_FEES_POWER = 0.62
_FEES_SD = 0.45


def next_difficulty(difficulty: float, timespan_s: float) -> float:
    """Difficulty after an epoch that took so long from its first block to its last: by a factor of four at most."""
    clamped_s = min(max(timespan_s, TARGET_S / _LARGEST_STEP), TARGET_S * _LARGEST_STEP)
    return difficulty * TARGET_S / clamped_s


@dataclass(frozen=True, slots=True)
class _Epoch:
    """Difficulty, times of the blocks and their shares of the expected hashes; `end_ms` is the next epoch's start."""

    number: int
    difficulty: float
    times_ms: tuple[int, ...]
    shares: tuple[float, ...]
    end_ms: int

    @property
    def start_ms(self) -> int:
        """Time of the first block."""
        return self.times_ms[0]


class Network:
    """The chain under a seed, from block 0 on. Not thread-safe (it caches)."""

    def __init__(self, seed: int) -> None:
        self._arrivals = Noise(seed, "network/arrivals")
        self._fees = Noise(seed, "network/fees")
        self._hashrate = MeanReverting(Noise(seed, "network/hashrate"), _HASHRATE_MEMORY, _HASHRATE_SD)
        self._starts_ms = {_ANCHOR_EPOCH: _ANCHOR_MS}
        self._cached: _Epoch | None = None

    def blocks(self, start_ms: int, end_ms: int) -> Iterator[events.NetworkStats]:
        """Yields the blocks of [start, end); none before block 0."""
        epoch = self._at(start_ms)
        while epoch is not None and epoch.start_ms < end_ms:
            first = bisect_left(epoch.times_ms, start_ms)
            for place in range(first, bisect_left(epoch.times_ms, end_ms)):
                yield self._block(epoch, place)
            epoch = self._epoch(epoch.number + 1) if epoch.end_ms < end_ms else None

    def _at(self, at_ms: int) -> _Epoch | None:
        """The epoch that holds the time; the first where it lies before it."""
        number = _ANCHOR_EPOCH if self._cached is None else self._cached.number
        while number > 0 and self._start_ms(number) > at_ms:
            number -= 1
        while self._start_ms(number + 1) <= at_ms:
            number += 1
        return self._epoch(number)

    def _epoch(self, number: int) -> _Epoch:
        if self._cached is None or self._cached.number != number:
            self._cached = self._drawn(number)
        return self._cached

    def _drawn(self, number: int) -> _Epoch:
        start_ms, end_ms = self._start_ms(number), self._start_ms(number + 1)
        shares = self._shares(number)
        after_s = np.cumsum(shares) - shares[0]
        unit_ms = self._block_s(number) * SECOND_MS
        times = tuple(start_ms + int(after * unit_ms) for after in after_s.tolist())
        return _Epoch(number, self._difficulty(number), times, tuple(shares.tolist()), end_ms)

    def _start_ms(self, number: int) -> int:
        for epoch in range(max(self._starts_ms), number):
            self._starts_ms[epoch + 1] = self._starts_ms[epoch] + self._length_ms(epoch)
        for epoch in range(min(self._starts_ms), number, -1):
            self._starts_ms[epoch - 1] = self._starts_ms[epoch] - self._length_ms(epoch - 1)
        return self._starts_ms[number]

    def _length_ms(self, number: int) -> int:
        # The next epoch's first block is found at the next epoch's difficulty.
        within_s = float(self._shares(number)[1:].sum()) * self._block_s(number)
        after_s = float(self._shares(number + 1)[0]) * self._block_s(number + 1)
        return int((within_s + after_s) * SECOND_MS)

    def _shares(self, number: int) -> NDArray[np.float64]:
        return self._arrivals.generator(number).standard_exponential(EPOCH_BLOCKS)

    def _difficulty(self, number: int) -> float:
        if number == 0:
            return _LEVEL_DIFFICULTY
        expected_s = _block_s(_LEVEL_DIFFICULTY, self._hashrate_ths(number - 1))
        return next_difficulty(_LEVEL_DIFFICULTY, expected_s * float(self._shares(number - 1)[1:].sum()))

    def _block_s(self, number: int) -> float:
        return _block_s(self._difficulty(number), self._hashrate_ths(number))

    def _hashrate_ths(self, number: int) -> float:
        years = max(number - _ANCHOR_EPOCH, 0) / _EPOCHS_YEARLY
        growth = _GROWTH_YEARLY * _GROWTH_MEMORY_Y * -math.expm1(-years / _GROWTH_MEMORY_Y)
        return _LEVEL_THS * math.exp(growth + self._hashrate.at(number))

    def _block(self, epoch: _Epoch, place: int) -> events.NetworkStats:
        height, at_ms = epoch.number * EPOCH_BLOCKS + place, epoch.times_ms[place]
        luck = math.exp(_FEES_SD * self._fees.normal(height))
        return events.NetworkStats(
            event_id=event_id("network.stats", f"{CHAIN}/{height}", at_ms),
            chain=CHAIN,
            observed_at=to_datetime(at_ms),
            block_height=height,
            difficulty=epoch.difficulty,
            # Expected hashes of a block over the time that it should take (Bitcoin Core, GetNetworkHashPS).
            network_hashrate_ths=epoch.difficulty * _HASHES_PER_DIFFICULTY / _BLOCK_S / 1e12,
            block_subsidy_btc=50.0 / 2 ** (height // _HALVING_BLOCKS),
            block_fees_btc=round(_FEES_BTC * epoch.shares[place] ** _FEES_POWER * luck, 8),
        )


def _block_s(difficulty: float, hashrate_ths: float) -> float:
    return difficulty * _HASHES_PER_DIFFICULTY / hashrate_ths / 1e12
