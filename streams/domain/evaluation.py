"""The evaluation of a facility: what each use of a megawatt is worth there now, as an event."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.events import Profitability
from streams.domain import economics, identity
from streams.domain.economics import EconomicsPolicy, mining
from streams.domain.group_economics import group_economics, group_load
from streams.domain.market_state import FacilityInputs, MarketState, MissingInputs
from streams.domain.power_cost import power_cost
from streams.domain.power_use import merit_order
from streams.domain.workload import WorkloadBook

# New windows come every 15 s; once a minute is what a chart of profitability needs.
WINDOW_CADENCE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class EvaluationProgress:
    """The newest evaluation of a facility: its event time and its cause."""

    evaluated_at: datetime
    cause_event_id: str


def is_due(clock: datetime, cause_event_id: str, last: EvaluationProgress | None, *, by_window: bool) -> bool:
    """Whether an event causes an evaluation: each new price or signal does, windows do once a minute."""
    if last is None:
        return True
    if by_window:
        return clock - last.evaluated_at >= WINDOW_CADENCE
    return clock >= last.evaluated_at and cause_event_id != last.cause_event_id


def evaluate(
    state: MarketState,
    book: WorkloadBook,
    facility_id: str,
    *,
    at: datetime,
    cause_event_id: str,
    interval_s: int,
    policy: EconomicsPolicy,
) -> Profitability | MissingInputs:
    """Returns a facility's evaluation as of `at`, or which inputs are missing. Deterministic."""
    inputs = state.as_of(facility_id, at)
    if isinstance(inputs, MissingInputs):
        return inputs
    call = state.active_call(facility_id, at, at + timedelta(milliseconds=1))
    payment_usd_mwh = 0.0 if call is None else call.payment_usd_mwh
    priced = power_cost(inputs.facility, inputs.price.price_usd_mwh, at, payment_usd_mwh)
    cost = priced.usd_mwh
    hashprice = hashprice_of(inputs, policy)
    loads = [group_load(state, resource, at) for resource in inputs.resources]
    load_mw = sum(load.it_load_w for load in loads) * inputs.facility.pue_ratio / 1e6
    fallbacks = (*inputs.fallbacks, *(load.fallback for load in loads if load.fallback is not None))
    return Profitability(
        event_id=identity.profitability_event_id(facility_id, cause_event_id),
        facility_id=facility_id,
        evaluated_at=at,
        cause_event_id=cause_event_id,
        interval_start=interval_start(at, interval_s),
        lmp_usd_mwh=inputs.price.price_usd_mwh,
        power_cost_usd_mwh=cost,
        btc_price_usd=inputs.btc.price_usd,
        hashprice_usd_ths_day=hashprice,
        gpu_hour_price_usd=inputs.gpu_hour.price_usd,
        load_mw=load_mw,
        grid_value_usd_mwh=priced.given_back_usd_mwh,
        groups=[
            group_economics(resource, load.it_load_w / 1e6, hashprice, cost, inputs)
            for resource, load in zip(inputs.resources, loads, strict=True)
        ],
        inputs=sorted((*inputs.references, *(load.reference for load in loads)), key=lambda r: r.name),
        day_ahead_usd_mwh=None if inputs.day_ahead is None else inputs.day_ahead.price_usd_mwh,
        transmission_usd_mwh=priced.transmission_usd_mwh,
        uses=merit_order(
            inputs,
            hashprice=hashprice,
            cost=cost,
            call=call,
            load_mw=load_mw,
            workloads=book.at_facility(facility_id, at),
        ),
        fallbacks=sorted(fallbacks, key=lambda entry: entry.name),
    )


def hashprice_of(inputs: FacilityInputs, policy: EconomicsPolicy) -> float:
    """Hashprice of the inputs, USD/TH/s/day: of the block that is mined now, the first of a halving too."""
    network = inputs.network
    return economics.hashprice_usd_ths_day(
        inputs.btc.price_usd,
        network.difficulty,
        mining.block_subsidy_btc(network.block_height + 1),
        network.block_fees_btc,
        policy.pool_fee_ratio,
    )


def interval_start(at: datetime, interval_s: int) -> datetime:
    """Start of the dispatch interval that holds a moment; intervals are aligned to the epoch."""
    # Whole seconds only: binary fractions of a timestamp would not survive the trip through a float.
    seconds = int(at.timestamp())
    return datetime.fromtimestamp(seconds - seconds % interval_s, at.tzinfo)
