"""The whole input of a decision, gathered from what is known as of its cause."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from schemas.events import (
    AllocationSnapshot,
    Facility,
    GroupAllocation,
    GroupInput,
    ModeOption,
    PowerMode,
    Resource,
    ResourceKind,
    TransformerLimit,
    WorkloadInput,
    WorkloadTransition,
)
from streams.domain import identity, workload
from streams.domain.commitment import reach
from streams.domain.economics import EconomicsPolicy
from streams.domain.evaluation import hashprice_of
from streams.domain.group_economics import running_modes
from streams.domain.horizon import HorizonPolicy, PriceSource, forecast_of, horizon, worth_usd_mwh
from streams.domain.market_state import FacilityInputs, MarketState, MissingInputs
from streams.domain.power_cost import power_cost
from streams.domain.price_risk import PROBABILITY, RiskPolicy, with_scenarios
from streams.domain.standing import Standing
from streams.domain.trigger import Due
from streams.domain.workload import WorkloadBook

# What stopping a workload costs, in hours of its price: the work since its last checkpoint and the restart. Assumes a
# checkpoint every half hour, so that a quarter of an hour is lost on average.
PREEMPTION_LOSS_H = 0.25


def take(
    state: MarketState,
    book: WorkloadBook,
    standing: Standing | None,
    due: Due,
    policy: EconomicsPolicy,
    *,
    ahead: HorizonPolicy | None = None,
    risk: RiskPolicy | None = None,
) -> AllocationSnapshot | MissingInputs:
    """Returns the snapshot of a decision that is due, or which inputs are missing. Deterministic.

    `standing` is what was decided before: what its groups do now. A plan's snapshot has the hours that `ahead` says (4
    by default), that of a dispatch what the plan made last has in the next intervals. `risk`: how much the plan minds
    bad prices, by default nothing.
    """
    inputs = state.as_of(due.facility_id, due.as_of)
    if isinstance(inputs, MissingInputs):
        return inputs
    call = state.active_call(due.facility_id, due.as_of, max(due.interval_end, due.as_of))
    facility = inputs.facility
    payment_usd_mwh = 0.0 if call is None else call.payment_usd_mwh
    cost = power_cost(facility, inputs.price.price_usd_mwh, due.interval_start, payment_usd_mwh)
    hashprice = hashprice_of(inputs, policy)
    hours_ahead = horizon(state, inputs, due, ahead or HorizonPolicy()) if due.is_plan else ()
    is_forecast = any(entry.source == PriceSource.FORECAST for entry in hours_ahead)
    forecast = forecast_of(state, inputs, due) if is_forecast else None
    risk = risk or RiskPolicy()
    held = {} if standing is None else standing.allocations()
    planned = {} if standing is None or due.is_plan else _planned(standing, inputs.resources, due)
    return AllocationSnapshot(
        event_id=identity.snapshot_event_id(due.decision_id),
        decision_id=due.decision_id,
        facility_id=due.facility_id,
        taken_at=due.as_of,
        cause_event_id=due.cause_event_id,
        cause=due.cause,
        interval_start=due.interval_start,
        interval_s=due.interval_s,
        cap_mw=facility.cap_mw,
        pue_ratio=facility.pue_ratio,
        power_cost_usd_mwh=cost.usd_mwh,
        grid_value_usd_mwh=cost.given_back_usd_mwh,
        payment_usd_mwh=payment_usd_mwh,
        signal_id=None if call is None else call.signal_id,
        limit_mw=None if call is None else call.limit_mw,
        groups=[
            replace(
                _group(r, hashprice, held.get(r.resource_group_id), due.as_of),
                planned_modes=planned.get(r.resource_group_id, []),
                out_of_service=_out_of_service(r, due, ahead or HorizonPolicy()),
                transformer_id=feeder(r, facility),
            )
            for r in inputs.resources
        ],
        workloads=[
            _workload(w, due)
            for w in book.at_facility(due.facility_id, due.as_of)
            if due.takes_waiting or w.to_state in workload.ON_GPUS
        ],
        load_before_mw=None if standing is None else standing.load_before_mw(due.interval_start),
        ramp_mw_min=facility.ramp_mw_min,
        min_load_mw=facility.min_load_mw,
        block_mw=facility.block_mw,
        sell_back_limit_mw=facility.sell_back_limit_mw,
        transformers=[
            TransformerLimit(transformer_id=t.transformer_id, cap_mw=t.cap_mw)
            for t in sorted(facility.transformers, key=lambda t: t.transformer_id)
        ],
        capacity_awards=[award for award in facility.capacity_awards if award.ends_at > due.interval_start],
        ahead_usd_mwh=_ahead_usd_mwh(state, inputs, due, max(map(len, planned.values()), default=0)),
        horizon=with_scenarios(hours_ahead, due.interval_s, risk),
        risk_weight=risk.weight if hours_ahead else 0.0,
        risk_tail=risk.tail,
        scenario_probability=list(PROBABILITY) if hours_ahead and risk.weight > 0 else [],
        settlement_point=inputs.facility.settlement_point,
        lmp_usd_mwh=cost.lmp_usd_mwh,
        energy_adder_usd_mwh=cost.energy_adder_usd_mwh,
        transmission_usd_mwh=cost.transmission_usd_mwh,
        btc_price_usd=inputs.btc.price_usd,
        hashprice_usd_ths_day=hashprice,
        forecast_event_id=None if forecast is None else forecast.event_id,
    )


def feeder(resource: Resource, facility: Facility) -> str | None:
    """Returns the transformer that limits a group; none where the facility has none of that name."""
    known = {transformer.transformer_id for transformer in facility.transformers}
    return resource.transformer_id if resource.transformer_id in known else None


def _out_of_service(resource: Resource, due: Due, ahead: HorizonPolicy) -> list[int]:
    length = timedelta(seconds=due.interval_s)
    count = ahead.intervals(due.interval_s) if due.is_plan else 1
    starts = [due.interval_start + n * length for n in range(count)]
    windows = resource.maintenance
    return [n for n, at in enumerate(starts) if any(w.starts_at < at + length and w.ends_at > at for w in windows)]


def _planned(standing: Standing, resources: Iterable[Resource], due: Due) -> dict[str, list[PowerMode]]:
    """What the newest plan has for the groups behind the decided interval, where they still have these modes."""
    found = {}
    plan = standing.planned_modes(due.interval_start)
    for resource in resources:
        end = reach(resource.min_up_s, resource.min_down_s, due.interval_s)
        modes = plan.get(resource.resource_group_id, [])[:end]
        if {PowerMode.OFF, *(point.mode for point in resource.modes)}.issuperset(modes):
            found[resource.resource_group_id] = modes
    return found


def _ahead_usd_mwh(state: MarketState, inputs: FacilityInputs, due: Due, count: int) -> list[float]:
    if count == 0:
        return []
    span = HorizonPolicy(timedelta(seconds=(count + 1) * due.interval_s))
    return worth_usd_mwh(horizon(state, inputs, due, span)[1:])


def _group(resource: Resource, hashprice: float, held: GroupAllocation | None, at: datetime) -> GroupInput:
    is_gpu = resource.kind is ResourceKind.GPU
    per_unit_w = resource.max_power_w - resource.idle_power_w if is_gpu else 0.0
    since = None if held is None else held.running_since
    return GroupInput(
        resource_group_id=resource.resource_group_id,
        kind=resource.kind,
        units=resource.units,
        current_mode=None if is_gpu or held is None else held.power_mode,
        idle_power_mw=resource.idle_power_w * resource.units / 1e6,
        unit_power_mw=max(per_unit_w, 0.0) / 1e6,
        modes=[] if is_gpu else _modes(resource, hashprice),
        start_cost_usd=resource.start_cost_usd,
        stop_cost_usd=resource.stop_cost_usd,
        min_up_s=resource.min_up_s,
        min_down_s=resource.min_down_s,
        held_s=0 if since is None else max(int((at - since).total_seconds()), 0),
        hold_until=None if held is None else held.hold_until,
        island_gpus=resource.island_gpus if is_gpu else 0,
    )


def _modes(resource: Resource, hashprice: float) -> list[ModeOption]:
    off = ModeOption(mode=PowerMode.OFF, power_mw=resource.idle_power_w * resource.units / 1e6, revenue_usd_h=0.0)
    running = (
        ModeOption(
            mode=point.mode,
            power_mw=point.power_w * resource.units / 1e6,
            revenue_usd_h=point.hashrate_ths * hashprice / 24 * resource.units,
        )
        for point in running_modes(resource)
    )
    return [off, *sorted(running, key=lambda option: (option.power_mw, option.mode))]


def _workload(current: WorkloadTransition, due: Due) -> WorkloadInput:
    revenue_usd_h = current.gpus * current.price_usd_gpu_hour
    return WorkloadInput(
        workload_id=current.workload_id,
        state=current.to_state,
        gpus=current.gpus,
        priority=current.priority,
        revenue_usd_h=revenue_usd_h,
        preemption_cost_usd=revenue_usd_h * PREEMPTION_LOSS_H,
        remaining_s=current.duration_s - workload.progress_s(current, due.as_of),
        resource_group_id=current.resource_group_id,
        slack_s=None if current.deadline is None else int((current.deadline - due.interval_start).total_seconds()),
        sla_penalty_usd=current.sla_penalty_usd,
    )
