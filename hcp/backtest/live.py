"""The decider that is the live one: what was published becomes events, and the agents' own functions decide.

Events go into `MarketState`; `dispatch.next_due` says when a decision is due, `snapshot.take` gathers its inputs,
`allocation.solve` decides.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from uuid import NAMESPACE_OID, uuid5

from hcp.backtest.fleet import Fleet
from hcp.backtest.market import POLICY, Known
from schemas.events import Facility, GridMarket, GridPrice, MarketTick, NetworkStats, Resource
from streams.domain import dispatch, snapshot
from streams.domain.allocation import modes_of, solve
from streams.domain.dispatch import DispatchPolicy, Progress
from streams.domain.economics import HASHES_PER_DIFFICULTY
from streams.domain.forecast.history import Published
from streams.domain.market_state import BTC, CHAIN, GPU_HOUR, InputEvent, MarketState, MissingInputs
from streams.domain.workload import WorkloadBook

_SOURCE = "backtest"


class LivePath:
    """Decides as the workers do, event by event."""

    def __init__(self, fleet: Fleet, resources: Sequence[Resource]) -> None:
        self._fleet = fleet
        self._policy = DispatchPolicy(interval_s=fleet.interval_ms // 1000)
        self._state = MarketState()
        self._book = WorkloadBook()
        self._progress: Progress | None = None
        self._seen_ms: int | None = None
        self._add([fleet.facility, *resources])

    def decide(self, known: Known, state: int) -> tuple[int, ...]:
        """As in the protocol: the newest decision that was due by now, else what runs goes on."""
        wanted = {
            group.group_id: group.modes[mode]
            for group, mode in zip(self._fleet.groups, self._fleet.modes[state], strict=True)
        }
        self._add(_published(known, self._fleet.facility, self._seen_ms))
        self._seen_ms = known.now_ms
        while due := dispatch.next_due(self._state, self._fleet.facility.facility_id, self._progress, self._policy):
            taken = snapshot.take(self._state, self._book, wanted, due, POLICY)
            if not isinstance(taken, MissingInputs):
                wanted = modes_of(solve(taken))
            self._progress = dispatch.advanced(self._progress, due)
            self._state.forget_before(due.as_of)
        return tuple(group.modes.index(wanted[group.group_id]) for group in self._fleet.groups)

    def _add(self, events: Sequence[InputEvent | Facility | Resource]) -> None:
        for event in events:
            self._state.add(event)


def _published(known: Known, facility: Facility, seen_ms: int | None) -> list[InputEvent]:
    """What was published since it was seen, as events; at first the newest of each."""
    bitcoin = known.bitcoin
    events: list[InputEvent] = [
        *(_price(facility, known.prices.real_time, index) for index in _new(known.prices.real_time, seen_ms)),
        *(
            _tick(BTC, int(bitcoin.price_usd.published_ms[index]), float(bitcoin.price_usd.values[index]))
            for index in _new(bitcoin.price_usd, seen_ms)
        ),
        *(_network(known, index) for index in _new(bitcoin.difficulty, seen_ms)),
    ]
    if seen_ms is None:
        # No GPU is in the backtest; the state asks for their price all the same.
        events.append(_tick(GPU_HOUR, known.now_ms, 1.0))
    return events


def _new(series: Published, seen_ms: int | None) -> Iterator[int]:
    end = len(series.values)
    if seen_ms is None:
        yield from range(max(end - 1, 0), end)
        return
    while end > 0 and series.published_ms[end - 1] > seen_ms:
        end -= 1
    yield from range(end, len(series.values))


def _price(facility: Facility, series: Published, index: int) -> GridPrice:
    start_ms, published_ms = int(series.start_ms[index]), int(series.published_ms[index])
    return GridPrice(
        event_id=_id("price", published_ms),
        settlement_point=facility.settlement_point,
        market=GridMarket.REAL_TIME,
        observed_at=_time(published_ms),
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


def _network(known: Known, index: int) -> NetworkStats:
    series = known.bitcoin.difficulty
    at_ms, difficulty = int(series.published_ms[index]), float(series.values[index])
    return NetworkStats(
        event_id=_id("network", at_ms),
        chain=CHAIN,
        observed_at=_time(at_ms),
        block_height=0,
        difficulty=difficulty,
        network_hashrate_ths=difficulty * HASHES_PER_DIFFICULTY / 600 / 1e12,
        block_subsidy_btc=known.subsidy_btc,
        block_fees_btc=float(known.bitcoin.fees_btc.values[index]),
    )


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def _id(kind: str, at_ms: int) -> str:
    return str(uuid5(NAMESPACE_OID, f"{_SOURCE}/{kind}/{at_ms}"))
