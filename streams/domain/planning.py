"""The plan of a facility: its snapshot as a planning problem, and what the plan says in the terms of a decision."""

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from schemas.events import (
    AllocationSnapshot,
    BindingLimit,
    GivenUpRule,
    GroupInput,
    HorizonInterval,
    PlannedInterval,
    PowerMode,
    ResourceKind,
    WorkloadInput,
)
from streams.domain import reserve
from streams.domain.commitment import intervals_to_stay, least_s, reach
from streams.domain.outcome import Outcome
from streams.domain.plan.problem import (
    AsicGroup,
    Floats,
    GivenUp,
    GpuGroup,
    Job,
    Mode,
    Plan,
    PlanProblem,
    Site,
    Transformer,
)
from streams.domain.plan.solve import solve_plan
from streams.domain.selection import Selection
from streams.domain.workload import ON_GPUS


def planned(snapshot: AllocationSnapshot) -> Outcome:
    """Plans the horizon of a snapshot. Deterministic; always gives a plan."""
    problem = problem_of(snapshot)
    plan = solve_plan(problem)
    hours = problem.intervals * problem.interval_s / 3600
    names = {group.group_id: tuple(mode.name for mode in group.modes) for group in problem.asic_groups}
    capacity_usd_h = sum(reserve.payment_usd_h(snapshot)) / problem.intervals
    return Outcome(
        selection=Selection(
            modes={group: names[group][modes[0]] for group, modes in plan.modes.items()},
            places={job: place.group_id for job, place in plan.placements.items() if place.start == 0 < place.stop},
        ),
        planned_modes={
            group.resource_group_id: _ahead(snapshot, group, names, plan)
            for group in snapshot.groups
            if group.kind is ResourceKind.ASIC
        },
        objective_usd_h=plan.objective_usd / hours + capacity_usd_h,
        bound_usd_h=plan.bound_usd / hours + capacity_usd_h,
        status=plan.status,
        solver=plan.solver,
        horizon=_horizon(snapshot, problem, plan),
        binding_limits=tuple(
            BindingLimit(
                rule=price.rule,
                subject=price.subject,
                interval=price.interval,
                unit="GPU" if price.subject in _gpu_ids(problem) else "MW",
                usd_h=price.usd_h,
            )
            for price in plan.shadow_prices
        ),
        capacity_usd_h=reserve.earned_usd_h(snapshot, float(plan.load_mw[snapshot.facility_id][0])),
        given_up=(*reserve.beyond_ramp(snapshot), *map(given_up_rule, plan.given_up)),
    )


def _ahead(
    snapshot: AllocationSnapshot, group: GroupInput, names: dict[str, tuple[PowerMode, ...]], plan: Plan
) -> list[PowerMode]:
    """What a plan has for a group after the decided interval: for dispatches within it and within the next one."""
    name, end = group.resource_group_id, 2 + reach(group.min_up_s, group.min_down_s, snapshot.interval_s)
    return [names[name][mode] for mode in plan.modes[name][1:end]]


def alone(snapshot: AllocationSnapshot) -> AllocationSnapshot:
    """Returns the snapshot with the decided interval as its horizon, at the expected price of power."""
    interval = HorizonInterval(
        power_cost_usd_mwh=snapshot.power_cost_usd_mwh,
        source="REAL_TIME",
        limit_mw=snapshot.limit_mw,
        payment_usd_mwh=snapshot.payment_usd_mwh,
    )
    groups = [replace(group, out_of_service=[0] if 0 in group.out_of_service else []) for group in snapshot.groups]
    return replace(snapshot, horizon=[interval], groups=groups, risk_weight=0.0, scenario_probability=[])


def given_up_rule(found: GivenUp) -> GivenUpRule:
    """Returns what was given up as it stands in a decision."""
    return GivenUpRule(
        rule=found.rule,
        subject=found.subject,
        interval=found.interval,
        amount=found.amount,
        unit=found.unit,
        penalty_usd=found.penalty_usd,
    )


def problem_of(snapshot: AllocationSnapshot) -> PlanProblem:
    """Returns the planning problem of a snapshot with a horizon."""
    count = len(snapshot.horizon)
    asics = tuple(_asic_group(snapshot, group) for group in snapshot.groups if group.kind is ResourceKind.ASIC)
    gpus = tuple(_gpu_group(snapshot, group) for group in snapshot.groups if group.kind is ResourceKind.GPU)
    jobs = tuple(_job(snapshot, workload, gpus) for workload in snapshot.workloads)
    return PlanProblem(
        interval_s=snapshot.interval_s,
        intervals=count,
        sites=(site_of(snapshot),),
        asic_groups=asics,
        gpu_groups=gpus,
        jobs=tuple(job for job in jobs if job.groups),
        risk_weight=snapshot.risk_weight,
        risk_tail=snapshot.risk_tail,
    )


def site_of(snapshot: AllocationSnapshot) -> Site:
    """Returns the facility of a snapshot with a horizon, with its limits and prices."""
    count = len(snapshot.horizon)
    ramp = snapshot.ramp_mw_min * snapshot.interval_s / 60
    cost = np.array([[entry.power_cost_usd_mwh for entry in snapshot.horizon]])
    error_usd_mwh = np.zeros((1, count))
    if snapshot.scenario_probability:
        error_usd_mwh = np.array([entry.scenario_error_usd_mwh for entry in snapshot.horizon]).T
    return Site(
        facility_id=snapshot.facility_id,
        cap_mw=_constant(snapshot.cap_mw, count),
        cost_usd_mwh=cost + error_usd_mwh,
        probability=np.array(snapshot.scenario_probability) if snapshot.scenario_probability else np.ones(1),
        limit_mw=np.array([math.inf if e.limit_mw is None else e.limit_mw for e in snapshot.horizon]),
        payment_usd_mwh=np.array([entry.payment_usd_mwh for entry in snapshot.horizon]),
        block_mw=_constant(snapshot.block_mw, count),
        sell_back_mw=snapshot.sell_back_limit_mw if snapshot.block_mw > 0 else math.inf,
        ramp_mw=ramp if ramp > 0 else math.inf,
        load_before_mw=snapshot.load_before_mw,
        min_load_mw=snapshot.min_load_mw,
        transformers=tuple(
            Transformer(limit.transformer_id, _constant(limit.cap_mw, count)) for limit in snapshot.transformers
        ),
        reserves=reserve.reserves(snapshot),
    )


def _asic_group(snapshot: AllocationSnapshot, group: GroupInput) -> AsicGroup:
    off, *running = group.modes
    modes = (off, *sorted(running, key=lambda option: (option.power_mw, option.mode)))
    before = next((n for n, option in enumerate(modes) if option.mode is group.current_mode), 0)
    return AsicGroup(
        group_id=group.resource_group_id,
        facility_id=snapshot.facility_id,
        modes=tuple(
            Mode(o.mode, max(o.power_mw, group.idle_power_mw) * snapshot.pue_ratio, o.revenue_usd_h) for o in modes
        ),
        mode_before=before,
        # Before its first command a group may do anything at once.
        held=_held(snapshot, group),
        start_cost_usd=0.0 if group.current_mode is None else group.start_cost_usd,
        stop_cost_usd=group.stop_cost_usd,
        change_cost_usd=0.0,
        min_up=math.ceil(group.min_up_s / snapshot.interval_s),
        min_down=math.ceil(group.min_down_s / snapshot.interval_s),
        available=_in_service(snapshot, group),
        transformer_id=group.transformer_id,
    )


def _held(snapshot: AllocationSnapshot, group: GroupInput) -> int:
    """Intervals that a group has run or rested before the decided one, of those that it has to."""
    if group.current_mode is None:
        return len(snapshot.horizon)
    least = math.ceil(least_s(group, group.current_mode) / snapshot.interval_s)
    return max(least - intervals_to_stay(snapshot, group), 0)


def _gpu_group(snapshot: AllocationSnapshot, group: GroupInput) -> GpuGroup:
    return GpuGroup(
        group_id=group.resource_group_id,
        facility_id=snapshot.facility_id,
        units=_in_service(snapshot, group) * group.units,
        idle_power_mw=group.idle_power_mw * snapshot.pue_ratio,
        unit_power_mw=group.unit_power_mw * snapshot.pue_ratio,
        island_gpus=max(group.island_gpus, 1),
        transformer_id=group.transformer_id,
    )


def _job(snapshot: AllocationSnapshot, workload: WorkloadInput, gpus: tuple[GpuGroup, ...]) -> Job:
    runs = workload.state in ON_GPUS
    homes = tuple(
        group.group_id
        for group in gpus
        if workload.gpus <= group.units.max() and (not runs or group.group_id == workload.resource_group_id)
    )
    return Job(
        job_id=workload.workload_id,
        gpus=workload.gpus,
        # One that has run for longer than it said is still on its GPUs: it ends when its scheduler says so.
        intervals=max(math.ceil(workload.remaining_s / snapshot.interval_s), 1),
        revenue_usd_h=workload.revenue_usd_h,
        priority=workload.priority,
        groups=homes,
        running_on=workload.resource_group_id if runs else None,
        preemption_cost_usd=workload.preemption_cost_usd,
        deadline=None if workload.slack_s is None else max(workload.slack_s, 0) // snapshot.interval_s,
        sla_penalty_usd=workload.sla_penalty_usd,
    )


def _horizon(snapshot: AllocationSnapshot, problem: PlanProblem, plan: Plan) -> tuple[PlannedInterval, ...]:
    mining = np.zeros(problem.intervals)
    for asic in problem.asic_groups:
        mining += np.array([mode.power_mw for mode in asic.modes])[plan.modes[asic.group_id]]
    units = {group.group_id: group.unit_power_mw for group in problem.gpu_groups}
    gpu = _constant(sum(group.idle_power_mw for group in problem.gpu_groups), problem.intervals)
    sizes = {job.job_id: job.gpus for job in problem.jobs}
    for name, place in sorted(plan.placements.items()):
        gpu[place.start : place.stop] += sizes[name] * units[place.group_id]
    return tuple(
        PlannedInterval(power_cost_usd_mwh=entry.power_cost_usd_mwh, mining_mw=float(mw), gpu_mw=float(gpu_mw))
        for entry, mw, gpu_mw in zip(snapshot.horizon, mining, gpu, strict=True)
    )


def _gpu_ids(problem: PlanProblem) -> frozenset[str]:
    return frozenset(group.group_id for group in problem.gpu_groups)


def _in_service(snapshot: AllocationSnapshot, group: GroupInput) -> NDArray[np.bool_]:
    found = np.ones(len(snapshot.horizon), dtype=np.bool_)
    found[group.out_of_service] = False
    return found


def _constant(value: float, count: int) -> Floats:
    return np.full(count, value, dtype=np.float64)
