"""The evaluation of a facility: what each use of a megawatt is worth there now, as an event."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from schemas.events import GroupEconomics, PowerMode, PowerModePoint, Profitability, Resource, ResourceKind
from streams.domain import economics, identity
from streams.domain.economics import EconomicsPolicy
from streams.domain.market_state import FacilityInputs, MarketState, MissingInputs

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
    hashprice = hashprice_of(inputs, policy)
    cost = economics.power_cost_usd_mwh(inputs.price.price_usd_mwh, inputs.facility.energy_adder_usd_mwh)
    loads = {r.resource_group_id: state.load.it_load_w(facility_id, r.resource_group_id) for r in inputs.resources}
    windows = (
        state.load.reference(facility_id, r.resource_group_id, at, state.staleness.window) for r in inputs.resources
    )
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
        load_mw=sum(loads.values()) * inputs.facility.pue_ratio / 1e6,
        grid_value_usd_mwh=economics.grid_value_usd_mwh(cost, None if call is None else call.payment_usd_mwh),
        groups=[
            _group(resource, loads[resource.resource_group_id] / 1e6, hashprice, cost, inputs)
            for resource in inputs.resources
        ],
        inputs=sorted((*inputs.references, *windows), key=lambda reference: reference.name),
    )


def hashprice_of(inputs: FacilityInputs, policy: EconomicsPolicy) -> float:
    """Hashprice of the inputs, USD/TH/s/day."""
    network = inputs.network
    return economics.hashprice_usd_ths_day(
        inputs.btc.price_usd,
        network.difficulty,
        network.block_subsidy_btc,
        network.block_fees_btc,
        policy.pool_fee_ratio,
    )


def running_modes(resource: Resource) -> tuple[PowerModePoint, ...]:
    """The modes in which a group does work: all but OFF."""
    return tuple(point for point in resource.modes if point.mode is not PowerMode.OFF)


def interval_start(at: datetime, interval_s: int) -> datetime:
    """Start of the dispatch interval that holds a moment; intervals are aligned to the epoch."""
    # Whole seconds only: binary fractions of a timestamp would not survive the trip through a float.
    seconds = int(at.timestamp())
    return datetime.fromtimestamp(seconds - seconds % interval_s, at.tzinfo)


def _group(resource: Resource, load_mw: float, hashprice: float, cost: float, inputs: FacilityInputs) -> GroupEconomics:
    pue = inputs.facility.pue_ratio
    mode: PowerMode | None = None
    if resource.kind is ResourceKind.GPU:
        value = economics.gpu_value_usd_mwh(inputs.gpu_hour.price_usd, resource.max_power_w, pue)
    else:
        best = economics.best_mode(
            [economics.mode_economics(point, hashprice, pue) for point in running_modes(resource)], cost
        )
        mode, value = (None, 0.0) if best is None else (best.mode, best.value_usd_mwh)
    return GroupEconomics(
        resource_group_id=resource.resource_group_id,
        kind=resource.kind,
        load_mw=load_mw,
        value_usd_mwh=value,
        break_even_usd_mwh=value,
        margin_usd_mwh=value - cost,
        best_mode=mode,
    )
