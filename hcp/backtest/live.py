"""The decider that is the live one: what was published becomes events, and the agents' own functions decide.

Events go into `MarketState`, with forecasts as the forecast worker makes them; `trigger.next_due` says when a decision
is due, `snapshot.take` gathers its inputs and the hours ahead, `allocation.solve` plans and decides.
"""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import NAMESPACE_OID, uuid5

import numpy as np

from hcp.backtest.fleet import Fleet
from hcp.backtest.market import POLICY, Known, block_height
from schemas.events import (
    Facility,
    GridMarket,
    GridPrice,
    MarketTick,
    NetworkStats,
    Resource,
)
from streams.domain import snapshot, trigger
from streams.domain.allocation import modes_of, solve
from streams.domain.economics.mining import hashrate_of_difficulty
from streams.domain.forecast.forecaster import Forecaster
from streams.domain.forecast.history import Published
from streams.domain.market_state import BTC, CHAIN, GPU_HOUR, InputEvent, MarketState, MissingInputs
from streams.domain.standing import Standing
from streams.domain.trigger import DispatchPolicy, Progress
from streams.domain.workload import WorkloadBook

_SOURCE = "backtest"
# Auctions of the day before and of the same day: all that can still hold.
_AUCTIONS_MS = 2 * 86_400_000


class LivePath:
    """Decides as the workers do, event by event."""

    def __init__(self, fleet: Fleet, resources: Sequence[Resource]) -> None:
        self._fleet = fleet
        self._policy = DispatchPolicy(interval_s=fleet.interval_ms // 1000)
        self._state = MarketState()
        self._book = WorkloadBook()
        self._progress: Progress | None = None
        self._standing: Standing | None = None
        self._forecaster = Forecaster()
        self._seen_ms: int | None = None
        self._add((fleet.facility, *resources))

    def decide(self, known: Known, state: int) -> tuple[int, ...]:
        """As in the protocol: the newest decision that was due by now, else what runs goes on."""
        facility_id = self._fleet.facility.facility_id
        self._add(_published(known, self._fleet.facility, self._seen_ms))
        self._forecast(known)
        self._seen_ms = known.now_ms
        while due := trigger.next_due(self._state, facility_id, self._progress, self._policy):
            taken = snapshot.take(self._state, self._book, self._standing, due, POLICY)
            if not isinstance(taken, MissingInputs):
                self._standing = Standing.after(self._standing, solve(taken))
            self._progress = trigger.advanced(self._progress, due)
            self._state.forget_before(due.as_of)
        if self._standing is None:
            return tuple(int(mode) for mode in self._fleet.modes[state])
        wanted = modes_of(self._standing.newest)
        return tuple(
            next(index for index, mode in enumerate(group.modes) if mode is wanted[group.group_id])
            for group in self._fleet.groups
        )

    def _forecast(self, known: Known) -> None:
        """Forecasts as the forecast worker does where there is no day-ahead market."""
        real_time = known.prices.real_time
        if len(known.prices.day_ahead.values):
            return
        unseen = range(len(real_time.values)) if self._seen_ms is None else _after(real_time, self._seen_ms)
        for index in unseen:
            self._forecaster.add(_price(self._fleet.facility, real_time, index, GridMarket.REAL_TIME))
        found = self._forecaster.forecast() if unseen else None
        if found is not None:
            self._add((found,))

    def _add(self, events: Iterable[InputEvent]) -> None:
        for event in events:
            self._state.add(event)


def _published(known: Known, facility: Facility, seen_ms: int | None) -> list[InputEvent]:
    """What was published since it was seen, as events; what comes all the time (ticks, blocks) as it is now."""
    real_time, auction, now_ms = known.prices.real_time, known.prices.day_ahead, known.now_ms
    prices_from = int(real_time.published_ms[-1]) - 1 if seen_ms is None else seen_ms
    auctions_from = now_ms - _AUCTIONS_MS if seen_ms is None else seen_ms
    return [
        *(_price(facility, real_time, index, GridMarket.REAL_TIME) for index in _after(real_time, prices_from)),
        *(_price(facility, auction, index, GridMarket.DAY_AHEAD) for index in _after(auction, auctions_from)),
        _tick(BTC, now_ms, known.btc_price_usd),
        # No GPU is in the backtest; the state asks for their price all the same.
        _tick(GPU_HOUR, now_ms, 1.0),
        NetworkStats(
            event_id=_id("network", now_ms),
            chain=CHAIN,
            observed_at=_time(now_ms),
            block_height=block_height(now_ms),
            difficulty=known.difficulty,
            network_hashrate_ths=hashrate_of_difficulty(known.difficulty),
            block_subsidy_btc=known.subsidy_btc,
            block_fees_btc=known.fees_btc,
        ),
    ]


def _after(series: Published, at_ms: int) -> range:
    return range(int(np.searchsorted(series.published_ms, at_ms, side="right")), len(series.values))


def _price(facility: Facility, series: Published, index: int, market: GridMarket) -> GridPrice:
    start_ms = int(series.start_ms[index])
    return GridPrice(
        event_id=_id(market, start_ms),
        settlement_point=facility.settlement_point,
        market=market,
        observed_at=_time(int(series.published_ms[index])),
        interval_start=_time(start_ms),
        interval_s=series.interval_ms // 1000,
        price_usd_mwh=float(series.values[index]),
    )


def _tick(instrument: str, at_ms: int, price_usd: float) -> MarketTick:
    return MarketTick(
        event_id=_id(instrument, at_ms),
        instrument=instrument,
        observed_at=_time(at_ms),
        price_usd=price_usd,
        source=_SOURCE,
    )


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _id(kind: str, at_ms: int) -> str:
    return str(uuid5(NAMESPACE_OID, f"{_SOURCE}/{kind}/{at_ms}"))
