"""The whole input of a decision, gathered from what is known as of its cause."""

from collections.abc import Mapping

from schemas.events import (
    AllocationSnapshot,
    GroupInput,
    ModeOption,
    PowerMode,
    Resource,
    ResourceKind,
    WorkloadInput,
    WorkloadTransition,
)
from streams.domain import economics, identity, workload
from streams.domain.dispatch import Due
from streams.domain.economics import EconomicsPolicy
from streams.domain.evaluation import hashprice_of
from streams.domain.group_economics import running_modes
from streams.domain.market_state import MarketState, MissingInputs
from streams.domain.workload import WorkloadBook

# What stopping a workload costs, in hours of its price: the work since its last checkpoint and the restart. Assumes a
# checkpoint every half hour, so that a quarter of an hour is lost on average.
PREEMPTION_LOSS_H = 0.25


def take(
    state: MarketState,
    book: WorkloadBook,
    modes: Mapping[str, PowerMode],
    due: Due,
    policy: EconomicsPolicy,
) -> AllocationSnapshot | MissingInputs:
    """Returns the snapshot of a decision that is due, or which inputs are missing. Deterministic.

    `modes` are the power modes commanded last, by resource group.
    """
    inputs = state.as_of(due.facility_id, due.as_of)
    if isinstance(inputs, MissingInputs):
        return inputs
    call = state.active_call(due.facility_id, due.as_of, max(due.interval_end, due.as_of))
    cost = economics.power_cost_usd_mwh(inputs.price.price_usd_mwh, inputs.facility.energy_adder_usd_mwh)
    hashprice = hashprice_of(inputs, policy)
    return AllocationSnapshot(
        event_id=identity.snapshot_event_id(due.decision_id),
        decision_id=due.decision_id,
        facility_id=due.facility_id,
        taken_at=due.as_of,
        cause_event_id=due.cause_event_id,
        cause=due.cause,
        interval_start=due.interval_start,
        interval_s=due.interval_s,
        cap_mw=inputs.facility.cap_mw,
        pue_ratio=inputs.facility.pue_ratio,
        power_cost_usd_mwh=cost,
        grid_value_usd_mwh=economics.grid_value_usd_mwh(cost, None if call is None else call.payment_usd_mwh),
        payment_usd_mwh=0.0 if call is None else call.payment_usd_mwh,
        signal_id=None if call is None else call.signal_id,
        limit_mw=None if call is None else call.limit_mw,
        groups=[_group(r, hashprice, modes.get(r.resource_group_id)) for r in inputs.resources],
        workloads=[_workload(w, due) for w in book.at_facility(due.facility_id, due.as_of)],
    )


def _group(resource: Resource, hashprice: float, current: PowerMode | None) -> GroupInput:
    is_gpu = resource.kind is ResourceKind.GPU
    per_unit_w = resource.max_power_w - resource.idle_power_w if is_gpu else 0.0
    return GroupInput(
        resource_group_id=resource.resource_group_id,
        kind=resource.kind,
        units=resource.units,
        current_mode=None if is_gpu else current,
        idle_power_mw=resource.idle_power_w * resource.units / 1e6,
        unit_power_mw=max(per_unit_w, 0.0) / 1e6,
        modes=[] if is_gpu else _modes(resource, hashprice),
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
    )
