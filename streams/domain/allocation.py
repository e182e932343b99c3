"""A decision from its snapshot: what every resource group of a facility does in an interval, proven best, with reasons.

    maximise  sum of worth(mode) * m[group, mode] + sum of worth(place) * x[workload, group] - penalty * excess
    one mode for each ASIC group; at most one group for each workload, all of its GPUs there (gang scheduling)
    GPUs of the workloads on a group <= its GPUs
    load <= facility cap;  load - excess <= limit of the active grid call

Worth is the margin an hour: revenue less the all-in cost of the energy with cooling and the payment of a call forgone,
for running workloads with the preemption avoided. A multiple-choice knapsack with assignment, solved exactly by
`streams.domain.knapsack` and, where that would take too long, by CP-SAT. Both count in integers and work by work done,
never by time, so the same snapshot gives the same bytes.
"""

from schemas.events import (
    AllocationDecision,
    AllocationSnapshot,
    BindingLimit,
    GroupAllocation,
    GroupInput,
    PowerMode,
    ResourceKind,
    WorkloadInput,
)
from streams.domain import cp_sat, identity, knapsack
from streams.domain.choice import (
    MONEY_PER_USD,
    Choices,
    Selection,
    choices,
    extra_w,
    merit_order,
    preemption_usd_h,
    worth,
)
from streams.domain.dual import Dual, dual, interval
from streams.domain.reason import gpu_reason, mining_reason
from streams.domain.workload import ON_GPUS


def solve(snapshot: AllocationSnapshot) -> AllocationDecision:
    """Returns the decision of a snapshot: a pure function, the same bit for bit each time. Always feasible."""
    found = choices(snapshot)
    best = knapsack.optimum(found)
    if best is not None:
        selection, status, bound = best.selection, "OPTIMAL", float(best.worth)
        solver, prices = knapsack.NAME, best.prices
    else:
        selection, status, bound = cp_sat.best(found, merit_order(found))
        solver, prices = cp_sat.name(), dual(interval(found, merged=True))
    objective_usd_h = worth(found, selection) / MONEY_PER_USD + found.constant_usd_h
    bound_usd_h = max(bound / MONEY_PER_USD + found.constant_usd_h, objective_usd_h)
    groups = [_group(snapshot, found, selection, group) for group in snapshot.groups]
    mining_mw = sum((g.power_mw for g in groups if g.kind is ResourceKind.ASIC), 0.0)
    gpu_mw = sum((g.power_mw for g in groups if g.kind is ResourceKind.GPU), 0.0)
    load_mw = mining_mw + gpu_mw
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
        solver=solver,
        status=status,
        objective_usd_h=objective_usd_h,
        bound_usd_h=bound_usd_h,
        gap_ratio=(bound_usd_h - objective_usd_h) / max(abs(bound_usd_h), 1.0),
        load_mw=load_mw,
        mining_mw=mining_mw,
        gpu_mw=gpu_mw,
        grid_mw=max(min(snapshot.cap_mw, _greatest_mw(snapshot)) - load_mw, 0.0),
        power_cost_usd_mwh=snapshot.power_cost_usd_mwh,
        allocations=groups,
        binding_limits=binding_limits(snapshot, found, prices),
    )


def binding_limits(snapshot: AllocationSnapshot, found: Choices, prices: Dual) -> list[BindingLimit]:
    """What limits a decision and the worth of one more MW or GPU, USD an hour, by rule and subject.

    They are the prices of the linear relaxation (Dantzig, "Linear Programming and Extensions", 1963, on duals): what a
    small change is worth on average, not what the next whole mode or workload is worth. What a call pays for the cap
    itself is not in them.
    """
    # Money units for a W and USD for a MW are the same number.
    is_called = found.limit_extra_w is not None and found.limit_extra_w < found.cap_extra_w
    call = min(prices.watt, found.penalty_per_w) if is_called else 0.0
    gpu = prices.gpu if len(prices.gpu) == len(found.gpus) else prices.gpu * len(found.gpus)
    rows = [("GPUs", group, "GPU", price / MONEY_PER_USD) for group, price in zip(found.gpus, gpu, strict=True)]
    rows += [
        ("facility cap", snapshot.facility_id, "MW", prices.watt - call),
        ("grid call", snapshot.signal_id or "", "MW", call),
    ]
    return [
        BindingLimit(rule=rule, subject=subject, interval=0, unit=unit, usd_h=usd_h)
        for rule, subject, unit, usd_h in rows
        if usd_h > 0
    ]


def _group(snapshot: AllocationSnapshot, found: Choices, selection: Selection, group: GroupInput) -> GroupAllocation:
    if group.kind is ResourceKind.GPU:
        return _gpu_group(snapshot, found, selection, group)
    mode = selection.modes[group.resource_group_id]
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
        reason=mining_reason(snapshot, found, group, mode, extra_w(found, selection)),
    )


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
            load_extra_w=extra_w(found, selection),
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
