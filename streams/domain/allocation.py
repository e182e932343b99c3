"""A decision from its snapshot: what every resource group of a facility does in an interval, proven best, with reasons.

    maximise  sum of worth(mode) * m[group, mode] + sum of worth(place) * x[workload, group] - penalty * excess
    one mode for each ASIC group; at most one group for each workload, all of its GPUs there (gang scheduling)
    GPUs of the workloads on a group <= its GPUs
    load <= facility cap;  load - excess <= limit of the active grid call

Worth is the margin an hour: revenue less the all-in cost of the energy with cooling and the payment of a call forgone,
for running workloads with the preemption avoided. A multiple-choice knapsack with assignment; solved by CP-SAT
(OR-tools) in integers with one worker, a fixed seed and a limit in deterministic time, so the same snapshot gives the
same bytes.
"""

from functools import cache
from importlib.metadata import version
from typing import Any

from ortools.sat.python import cp_model

from schemas.events import (
    AllocationDecision,
    AllocationSnapshot,
    GroupAllocation,
    GroupInput,
    PowerMode,
    ResourceKind,
    WorkloadInput,
)
from streams.domain import identity
from streams.domain.choice import (
    MONEY_PER_USD,
    Choices,
    ModeChoice,
    PlaceChoice,
    Selection,
    choices,
    extra_w,
    merit_order,
    preemption_usd_h,
    worth,
)
from streams.domain.reason import gpu_reason, mining_reason
from streams.domain.workload import ON_GPUS

# In CP-SAT's deterministic seconds, about as long as wall seconds. What is found by then is taken, with its proven gap.
DETERMINISTIC_LIMIT = 0.5
SEED = 1


def solve(snapshot: AllocationSnapshot) -> AllocationDecision:
    """Returns the decision of a snapshot: a pure function, the same bit for bit each time. Always feasible."""
    found = choices(snapshot)
    start = merit_order(found)
    selection, status, bound = _best(found, start)
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
        solver=solver_name(),
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
    )


@cache
def solver_name() -> str:
    """Solver and version, as it stands in each decision."""
    return f"OR-tools CP-SAT {version('ortools')}"


def _best(found: Choices, start: Selection) -> tuple[Selection, str, float]:
    model = cp_model.CpModel()
    modes = {
        (choice.group, choice.mode): model.new_bool_var(f"{choice.group}/{choice.mode}")
        for options in found.modes.values()
        for choice in options
    }
    places = [model.new_bool_var(f"{p.workload.workload_id}@{p.group}") for p in found.places]
    for group, options in found.modes.items():
        model.add_exactly_one(modes[group, choice.mode] for choice in options)
    for name in {p.workload.workload_id: None for p in found.places}:
        model.add_at_most_one(
            var for p, var in zip(found.places, places, strict=True) if p.workload.workload_id == name
        )
    for group, units in found.gpus.items():
        held = [(p, var) for p, var in zip(found.places, places, strict=True) if p.group == group]
        model.add(sum(p.workload.gpus * var for p, var in held) <= units)
    variables = [*(modes[c.group, c.mode] for options in found.modes.values() for c in options), *places]
    chosen: list[ModeChoice | PlaceChoice] = [*(c for options in found.modes.values() for c in options), *found.places]
    load = cp_model.LinearExpr.weighted_sum(variables, [c.extra_w for c in chosen])
    model.add(load <= found.cap_extra_w)
    objective = cp_model.LinearExpr.weighted_sum(variables, [c.worth for c in chosen])
    if found.limit_extra_w is not None:
        excess = model.new_int_var(0, max(found.cap_extra_w, 1), "excess_w")
        model.add(load - excess <= found.limit_extra_w)
        objective -= found.penalty_per_w * excess
        model.add_hint(excess, 0)
    model.maximize(objective)
    for (group, mode), var in modes.items():
        model.add_hint(var, start.modes[group] is mode)
    for place, var in zip(found.places, places, strict=True):
        model.add_hint(var, start.places.get(place.workload.workload_id) == place.group)
    solver = _solver()
    status = solver.solve(model)
    if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        # No answer within the limit: the merit-order rule's, with a bound that needs no solver.
        return start, "FALLBACK", float(sum(max(c.worth, 0) for c in chosen))
    selection = Selection(
        {group: mode for (group, mode), var in modes.items() if solver.boolean_value(var)},
        {
            p.workload.workload_id: p.group
            for p, var in zip(found.places, places, strict=True)
            if solver.boolean_value(var)
        },
    )
    if worth(found, selection) < worth(found, start):
        selection = start
    return selection, "OPTIMAL" if status == cp_model.OPTIMAL else "FEASIBLE", solver.best_objective_bound


def _solver() -> Any:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = SEED
    solver.parameters.max_deterministic_time = DETERMINISTIC_LIMIT
    return solver


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
