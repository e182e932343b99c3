"""The economics agent: markets, grid and fleet in, and what each use of power is worth out."""

import logging
from collections.abc import Iterable

from schemas import metric
from schemas.catalog import topic
from schemas.events import FleetWindow, GridMarket, GridPrice, GridSignal, MarketTick, Profitability
from streams.agents.desk import Desk
from streams.agents.event_log import EventLog
from streams.domain import evaluation
from streams.domain.evaluation import EvaluationProgress
from streams.domain.market_state import InputEvent

log = logging.getLogger(__name__)
_PROFITABILITY = topic("economics.profitability")


async def evaluate(event: InputEvent, desk: Desk, event_log: EventLog) -> None:
    """Appends the evaluations that an input causes; none while the worker catches up, which only the newest ends."""
    if not desk.is_caught_up:
        return
    for facility_id in _concerned(event, desk):
        last, clock = desk.evaluated.get(facility_id), desk.market.clock(facility_id)
        by_window = isinstance(event, FleetWindow)
        if clock is None or not evaluation.is_due(clock, event.event_id, last, by_window=by_window):
            continue
        found = evaluation.evaluate(
            desk.market,
            desk.book,
            facility_id,
            at=clock,
            cause_event_id=event.event_id,
            interval_s=desk.dispatch.interval_s,
            policy=desk.economics,
        )
        if isinstance(found, Profitability):
            await event_log.append([(_PROFITABILITY, found)])
            desk.evaluated[facility_id] = EvaluationProgress(clock, event.event_id)


def show_prices(event: InputEvent) -> None:
    """Shows a new price as a metric."""
    match event:
        case MarketTick():
            metric.PRICE.labels(event.instrument).set(event.price_usd)
        case GridPrice(market=GridMarket.REAL_TIME):
            metric.PRICE.labels(event.settlement_point).set(event.price_usd_mwh)
        case _:
            pass


def _concerned(event: InputEvent, desk: Desk) -> Iterable[str]:
    match event:
        case GridPrice(market=GridMarket.REAL_TIME):
            return sorted(
                f.facility_id for f in desk.market.facilities.values() if f.settlement_point == event.settlement_point
            )
        case GridSignal() | FleetWindow():
            return (event.facility_id,) if event.facility_id in desk.market.facilities else ()
        case _:
            return ()
