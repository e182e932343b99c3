"""The recorded market of a settlement point: what was known by a moment, and what turned out to be so."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import numpy as np

from streams.domain import economics
from streams.domain.economics import EconomicsPolicy, mining
from streams.domain.forecast.history import Floats, PriceHistory, Published, Times

POLICY = EconomicsPolicy()
_END_OF_TIME = np.iinfo(np.int64).max
# Blocks at which the subsidy was halved, and the times of their headers.
_HALVING_HEIGHTS = (420_000, 630_000, 840_000)
_HALVINGS_MS = [
    int(datetime(*moment, tzinfo=UTC).timestamp() * 1000)
    for moment in ((2016, 7, 9, 16, 46, 13), (2020, 5, 11, 19, 23, 43), (2024, 4, 20, 0, 9, 27))
]


@dataclass(frozen=True, slots=True, eq=False)
class Bitcoin:
    """Price in USD, difficulty, and fees in BTC a block, each with its times of publication."""

    price_usd: Published
    difficulty: Published
    fees_btc: Published

    def known(self, now_ms: int) -> Self:
        """What was published by `now_ms`."""
        return type(self)(self.price_usd.known(now_ms), self.difficulty.known(now_ms), self.fees_btc.known(now_ms))

    def since(self, start_ms: int) -> Self:
        """The values that hold at `start_ms` or later."""
        return type(self)(
            self.price_usd.since(start_ms), self.difficulty.since(start_ms), self.fees_btc.since(start_ms)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """What a decision at `now_ms` may rest on: nothing in it was published later."""

    now_ms: int
    prices: PriceHistory
    bitcoin: Bitcoin

    @property
    def price_usd_mwh(self) -> float:
        """The newest real-time price."""
        return _newest(self.prices.real_time)

    @property
    def btc_price_usd(self) -> float:
        """The newest price of a Bitcoin."""
        return _newest(self.bitcoin.price_usd)

    @property
    def difficulty(self) -> float:
        """The newest difficulty."""
        return _newest(self.bitcoin.difficulty)

    @property
    def fees_btc(self) -> float:
        """The newest fees of a block."""
        return _newest(self.bitcoin.fees_btc)

    @property
    def subsidy_btc(self) -> float:
        """The subsidy of a block now: part of the protocol, not of the record."""
        return mining.block_subsidy_btc(block_height(self.now_ms))

    @property
    def hashprice_usd_ths_day(self) -> float:
        """Hashprice by the newest of its parts."""
        return economics.hashprice_usd_ths_day(
            self.btc_price_usd, self.difficulty, self.subsidy_btc, self.fees_btc, POLICY.pool_fee_ratio
        )


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """All that was recorded of a settlement point."""

    point: str
    prices: PriceHistory
    bitcoin: Bitcoin

    @property
    def interval_ms(self) -> int:
        """Length of a settlement interval."""
        return self.prices.real_time.interval_ms

    def known(self, now_ms: int) -> Known:
        """What was published by `now_ms`: all that a decision is given."""
        return Known(now_ms, self.prices.known(now_ms), self.bitcoin.known(now_ms))

    def since(self, start_ms: int) -> Self:
        """The market from `start_ms` on: every decision copies what is known, so less of it is faster."""
        return type(self)(self.point, self.prices.since(start_ms), self.bitcoin.since(start_ms))

    def settled_usd_mwh(self, start_ms: Times) -> Floats:
        """Prices at which intervals were settled; NaN where none is recorded."""
        return self.prices.real_time.at(start_ms, np.full(len(start_ms), _END_OF_TIME))

    def earned_usd_ths_day(self, start_ms: Times) -> Floats:
        """Hashprice of intervals by the values that held in them; where one is blank, the newest before it."""
        price, difficulty, fees = (
            _held(series, start_ms)
            for series in (self.bitcoin.price_usd, self.bitcoin.difficulty, self.bitcoin.fees_btc)
        )
        return np.array(
            [
                economics.hashprice_usd_ths_day(
                    p, d, mining.block_subsidy_btc(block_height(int(at_ms))), f, POLICY.pool_fee_ratio
                )
                for p, d, f, at_ms in zip(price, difficulty, fees, start_ms, strict=True)
            ]
        )


def block_height(at_ms: int) -> int:
    """About the height of the newest block: blocks of 600 s since the last halving, exact as to which halving.

    For times since July 2016.
    """
    last = sum(at_ms >= halving_ms for halving_ms in _HALVINGS_MS) - 1
    blocks = (at_ms - _HALVINGS_MS[last]) // (mining.BLOCK_S * 1000)
    return _HALVING_HEIGHTS[last] + min(blocks, mining.HALVING_BLOCKS - 1)


def _newest(series: Published) -> float:
    return float(series.values[-1])


def _held(series: Published, start_ms: Times) -> Floats:
    value = series.at(start_ms, np.full(len(start_ms), _END_OF_TIME))
    return np.where(np.isnan(value), series.newest(start_ms), value)
