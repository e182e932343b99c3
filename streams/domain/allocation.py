"""A decision from its snapshot: what every resource group of a facility does in an interval, proven best, with reasons.

A snapshot with a horizon is planned (`streams.domain.planning`), and the plan's first interval is decided. One without
is dispatched: the exact optimum of the interval within the plan made last,

    maximise  sum of worth(mode) * m[group, mode] + sum of worth(place) * x[workload, group] - penalty * excess
    one mode for each ASIC group; at most one group for each workload, all of its GPUs there (gang scheduling)
    GPUs of the workloads on a group <= its GPUs
    load <= facility cap;  load - excess <= grid limit of the active call;  load of a transformer's groups <= its cap
    load + short >= floor, for what ramp, minimum load, sell-back limit and capacity awards ask for

Worth is the margin an hour: revenue less the all-in cost of the energy with cooling and the payment of a call forgone,
less the wear of going to a mode and what is lost by it in the intervals ahead that it binds (`commitment`); for running
workloads with the preemption avoided.
"""

from collections.abc import Mapping
from datetime import datetime, timedelta

from schemas.events import (
    AllocationDecision,
    AllocationSnapshot,
    DecisionMethod,
    GroupAllocation,
    GroupInput,
    PowerMode,
    ResourceKind,
    WorkloadInput,
)
from streams.domain import command, identity
from streams.domain.choice import Choices, choices, is_switched, preemption_usd_h
from streams.domain.dispatch.solve import dispatched
from streams.domain.outcome import Outcome
from streams.domain.planning import planned
from streams.domain.reason import gpu_reason, mining_reason
from streams.domain.selection import Selection, draws
from streams.domain.workload import ON_GPUS


def solve(snapshot: AllocationSnapshot, only: Mapping[str, PowerMode] | None = None) -> AllocationDecision:
    """Returns the decision of a snapshot: a pure function, the same bit for bit each time. Always feasible.

    `only`: the modes that groups are held to, whatever they lose, where an interval is decided alone.
    """
    found = choices(snapshot, only)
    made = planned(snapshot) if snapshot.horizon else dispatched(snapshot, found)
    groups = [_group(snapshot, found, made, group) for group in snapshot.groups]
    mining_mw = sum((g.power_mw for g in groups if g.kind is ResourceKind.ASIC), 0.0)
    gpu_mw = sum((g.power_mw for g in groups if g.kind is ResourceKind.GPU), 0.0)
    load_mw = mining_mw + gpu_mw
    bound_usd_h = max(made.bound_usd_h, made.objective_usd_h)
    return AllocationDecision(
        event_id=identity.decision_event_id(snapshot.decision_id),
        decision_id=snapshot.decision_id,
        facility_id=snapshot.facility_id,
        decided_at=snapshot.taken_at,
        cause_event_id=snapshot.cause_event_id,
        cause=snapshot.cause,
        snapshot_id=snapshot.event_id,
        interval_start=snapshot.interval_start,
        interval_s=snapshot.interval_s,
        solver=made.solver,
        status=made.status,
        objective_usd_h=made.objective_usd_h,
        bound_usd_h=bound_usd_h,
        gap_ratio=(bound_usd_h - made.objective_usd_h) / max(abs(bound_usd_h), 1.0),
        load_mw=load_mw,
        mining_mw=mining_mw,
        gpu_mw=gpu_mw,
        grid_mw=max(min(snapshot.cap_mw, _greatest_mw(snapshot)) - load_mw, 0.0),
        power_cost_usd_mwh=snapshot.power_cost_usd_mwh,
        allocations=groups,
        method=DecisionMethod.PLAN if snapshot.horizon else DecisionMethod.DISPATCH,
        horizon=list(made.horizon),
        binding_limits=list(made.binding_limits),
        given_up=list(made.given_up),
        capacity_usd_h=made.capacity_usd_h,
    )


def _group(snapshot: AllocationSnapshot, found: Choices, made: Outcome, group: GroupInput) -> GroupAllocation:
    if group.kind is ResourceKind.GPU:
        return _gpu_group(snapshot, found, made.selection, group)
    mode = made.selection.modes[group.resource_group_id]
    option = next(option for option in group.modes if option.mode is mode)
    power_mw = max(option.power_mw, group.idle_power_mw) * snapshot.pue_ratio
    return GroupAllocation(
        resource_group_id=group.resource_group_id,
        kind=group.kind,
        power_mode=mode,
        power_mw=power_mw,
        gpus_busy=0,
        workload_ids=[],
        margin_usd_h=option.revenue_usd_h - snapshot.power_cost_usd_mwh * power_mw,
        reason=mining_reason(snapshot, found, group, mode, draws(found, made.selection)),
        planned_modes=made.planned_modes.get(group.resource_group_id, []),
        running_since=_since(snapshot, group, mode),
        hold_until=command.hold_until(snapshot, group, mode),
    )


def _since(snapshot: AllocationSnapshot, group: GroupInput, mode: PowerMode) -> datetime:
    if group.current_mode is None or is_switched(group.current_mode, mode):
        return snapshot.taken_at
    return snapshot.taken_at - timedelta(seconds=group.held_s)


def _gpu_group(
    snapshot: AllocationSnapshot, found: Choices, selection: Selection, group: GroupInput
) -> GroupAllocation:
    name = group.resource_group_id
    runs = [w for w in snapshot.workloads if selection.places.get(w.workload_id) == name]
    stopped = [
        w
        for w in snapshot.workloads
        if w.state in ON_GPUS and w.resource_group_id == name and w.workload_id not in selection.places
    ]
    busy = sum(w.gpus for w in runs)
    power_mw = (group.idle_power_mw + busy * group.unit_power_mw) * snapshot.pue_ratio
    revenue = sum((w.revenue_usd_h for w in runs), 0.0)
    lost = sum((preemption_usd_h(snapshot, w) for w in stopped), 0.0)
    return GroupAllocation(
        resource_group_id=name,
        kind=group.kind,
        power_mode=None,
        power_mw=power_mw,
        gpus_busy=busy,
        workload_ids=[w.workload_id for w in runs],
        margin_usd_h=revenue - snapshot.power_cost_usd_mwh * power_mw - lost,
        reason=gpu_reason(
            snapshot,
            found,
            group,
            runs=runs,
            stopped=stopped,
            waiting=_waiting(snapshot.workloads, selection),
            draws=draws(found, selection),
        ),
    )


def _waiting(workloads: list[WorkloadInput], selection: Selection) -> list[WorkloadInput]:
    return [w for w in workloads if w.state not in ON_GPUS and w.workload_id not in selection.places]


def _greatest_mw(snapshot: AllocationSnapshot) -> float:
    it_mw = 0.0
    for group in snapshot.groups:
        if group.kind is ResourceKind.GPU:
            it_mw += group.idle_power_mw + group.units * group.unit_power_mw
        else:
            it_mw += max((option.power_mw for option in group.modes), default=group.idle_power_mw)
    return it_mw * snapshot.pue_ratio


def modes_of(decision: AllocationDecision) -> dict[str, PowerMode]:
    """The power mode of each ASIC group of a decision."""
    return {g.resource_group_id: g.power_mode for g in decision.allocations if g.power_mode is not None}
