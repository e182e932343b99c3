"""Builders of snapshots, and an oracle that knows nothing of the solver: it tries everything."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from schemas import events as e
from streams.domain.allocation import modes_of
from tests import streams_event as a

PENALTY_USD_MWH = 100_000.0
TRANSFORMER_PENALTY_USD_MWH = 500_000.0
CAP_PENALTY_USD_MWH = 1_000_000.0


def asic(name: str = "m1", options: tuple[tuple[e.PowerMode, float, float], ...] | None = None) -> e.GroupInput:
    """An ASIC group: (mode, MW, USD/h); by default NORMAL 1 MW for 80 and TURBO 1.5 MW for 100 USD/h."""
    chosen = options or ((e.PowerMode.NORMAL, 1.0, 80.0), (e.PowerMode.TURBO, 1.5, 100.0))
    return e.GroupInput(
        resource_group_id=name,
        kind=e.ResourceKind.ASIC,
        units=100,
        current_mode=None,
        idle_power_mw=0.0,
        unit_power_mw=0.0,
        modes=[
            e.ModeOption(mode=e.PowerMode.OFF, power_mw=0.0, revenue_usd_h=0.0),
            *(e.ModeOption(mode=mode, power_mw=mw, revenue_usd_h=usd) for mode, mw, usd in chosen),
        ],
    )


def gpu(name: str = "g1", units: int = 8, unit_power_mw: float = 0.001) -> e.GroupInput:
    """A GPU group of 1 kW a GPU, nothing idle."""
    return e.GroupInput(
        resource_group_id=name,
        kind=e.ResourceKind.GPU,
        units=units,
        idle_power_mw=0.0,
        unit_power_mw=unit_power_mw,
        modes=[],
    )


def job(name: str = "w1", gpus: int = 4, usd_h: float = 10.0, **changes: Any) -> e.WorkloadInput:
    """A queued workload."""
    found = e.WorkloadInput(
        workload_id=name,
        state=e.WorkloadState.QUEUED,
        gpus=gpus,
        priority=0,
        revenue_usd_h=usd_h,
        preemption_cost_usd=0.0,
        remaining_s=3600,
    )
    return replace(found, **changes)


def running(name: str, group: str, gpus: int = 4, usd_h: float = 10.0, cost_usd: float = 1.0) -> e.WorkloadInput:
    """A running workload."""
    return job(
        name,
        gpus,
        usd_h,
        state=e.WorkloadState.RUNNING,
        resource_group_id=group,
        preemption_cost_usd=cost_usd,
    )


def award(product: str = "ECRS", **changes: Any) -> e.CapacityAward:
    """1 MW held for 10 USD an hour, over the first day."""
    found = e.CapacityAward(
        product=product, capacity_mw=1.0, price_usd_mw_h=10.0, starts_at=a.at(0), ends_at=a.at(86_400)
    )
    return replace(found, **changes)


def snapshot(*parts: e.GroupInput | e.WorkloadInput, **changes: Any) -> e.AllocationSnapshot:
    """A facility of 10 MW with a PUE of 1 that pays 50 USD/MWh."""
    found = e.AllocationSnapshot(
        event_id="s1",
        decision_id="d1",
        facility_id="Texas-1",
        taken_at=a.at(0),
        cause_event_id="c1",
        cause="test",
        interval_start=a.at(0),
        interval_s=300,
        cap_mw=10.0,
        pue_ratio=1.0,
        power_cost_usd_mwh=50.0,
        grid_value_usd_mwh=50.0,
        payment_usd_mwh=0.0,
        groups=[part for part in parts if isinstance(part, e.GroupInput)],
        workloads=[part for part in parts if isinstance(part, e.WorkloadInput)],
    )
    return replace(found, **changes)


def best_by_trying_everything(case: e.AllocationSnapshot) -> float:
    """Greatest objective of all feasible allocations, USD/h."""
    return max(value for value in _values(case) if value is not None)


def objective(case: e.AllocationSnapshot, modes: dict[str, e.PowerMode], places: dict[str, str]) -> float | None:
    """Objective of an allocation by the definition, or None where it breaks a cap, a gang or a group's GPUs."""
    groups = {group.resource_group_id: group for group in case.groups}
    extra_mw = dict.fromkeys(groups, 0.0)
    revenue = lost = 0.0
    for name, mode in modes.items():
        option = next(o for o in groups[name].modes if o.mode is mode)
        extra_mw[name] = max(option.power_mw - groups[name].idle_power_mw, 0)
        revenue += option.revenue_usd_h
    used = dict.fromkeys(groups, 0)
    for work in case.workloads:
        place = places.get(work.workload_id)
        if place is None:
            lost += work.preemption_cost_usd * 12 if work.resource_group_id else 0.0
            continue
        if work.resource_group_id not in {None, place}:
            return None
        used[place] += work.gpus
        extra_mw[place] += work.gpus * groups[place].unit_power_mw
        revenue += work.revenue_usd_h
    if any(used[name] > group.units for name, group in groups.items() if group.kind is e.ResourceKind.GPU):
        return None
    caps_mw = {limit.transformer_id: limit.cap_mw for limit in case.transformers}
    if not all(_carries(case, extra_mw, name, mw) for name, mw in [(None, case.cap_mw), *caps_mw.items()]):
        return None
    idle = sum(group.idle_power_mw for group in case.groups) * case.pue_ratio
    load = idle + sum(extra_mw.values()) * case.pue_ratio
    margin = revenue - lost - case.power_cost_usd_mwh * load + case.payment_usd_mwh * (case.cap_mw - load)
    if case.limit_mw is not None:
        margin -= max(load - case.limit_mw, 0.0) * PENALTY_USD_MWH
    # What is over a cap is idle load alone.
    margin -= max(idle - case.cap_mw, 0.0) * CAP_PENALTY_USD_MWH
    for limit in case.transformers:
        own = sum(group.idle_power_mw for group in case.groups if group.transformer_id == limit.transformer_id)
        margin -= max(own * case.pue_ratio - limit.cap_mw, 0.0) * TRANSFORMER_PENALTY_USD_MWH
    return margin + _capacity_usd_h(case, load - idle)


def _carries(case: e.AllocationSnapshot, extra_mw: dict[str, float], name: str | None, cap_mw: float) -> bool:
    """Whether a transformer, or the facility for None, carries what is behind it, or nothing but what always draws."""
    behind = [group for group in case.groups if name is None or group.transformer_id == name]
    idle = sum(group.idle_power_mw for group in behind)
    extra = sum(extra_mw[group.resource_group_id] for group in behind)
    return (idle + extra) * case.pue_ratio <= max(cap_mw, idle * case.pue_ratio) + 1e-9


def _capacity_usd_h(case: e.AllocationSnapshot, sheddable_mw: float) -> float:
    """Payment of the awards less what is short: what can be shed is shared out, the dearest award first."""
    total_mw = sum(entry.capacity_mw for entry in case.capacity_awards)
    idle_mw = sum(group.idle_power_mw for group in case.groups) * case.pue_ratio
    is_deployed = case.limit_mw is not None and case.limit_mw < idle_mw + total_mw
    earned = 0.0
    for entry in sorted(case.capacity_awards, key=lambda x: -x.price_usd_mw_h - x.penalty_usd_mwh):
        held_mw = min(entry.capacity_mw, sheddable_mw)
        sheddable_mw -= held_mw
        short_mw = 0.0 if is_deployed else entry.capacity_mw - held_mw
        earned += entry.price_usd_mw_h * entry.capacity_mw
        earned -= (entry.price_usd_mw_h + entry.penalty_usd_mwh) * short_mw
    return earned


def chosen(decision: e.AllocationDecision) -> tuple[dict[str, e.PowerMode], dict[str, str]]:
    """Modes by group and groups by workload of a decision."""
    places = {name: group.resource_group_id for group in decision.allocations for name in group.workload_ids}
    return modes_of(decision), places


def _values(case: e.AllocationSnapshot) -> Iterator[float | None]:
    asics = [group for group in case.groups if group.kind is e.ResourceKind.ASIC]
    homes = [None, *(group.resource_group_id for group in case.groups if group.kind is e.ResourceKind.GPU)]
    for modes in itertools.product(*([option.mode for option in group.modes] for group in asics)):
        for places in itertools.product(homes, repeat=len(case.workloads)):
            held = {w.workload_id: home for w, home in zip(case.workloads, places, strict=True) if home is not None}
            yield objective(case, {g.resource_group_id: m for g, m in zip(asics, modes, strict=True)}, held)


@st.composite
def snapshots(draw: st.DrawFn) -> e.AllocationSnapshot:
    """Small snapshots that everything can be tried on; numbers in steps that survive scaling."""
    mw = st.integers(0, 40).map(lambda n: n / 8)
    usd = st.integers(0, 400).map(lambda n: n / 4)
    modes = [e.PowerMode.ECO, e.PowerMode.NORMAL, e.PowerMode.TURBO]
    parts: list[e.GroupInput | e.WorkloadInput] = []
    for n in range(draw(st.integers(0, 3))):
        options = tuple((mode, draw(mw), draw(usd)) for mode in modes[: draw(st.integers(1, 3))])
        idle = draw(st.sampled_from([0.0, 0.125]))
        parts.append(replace(asic(f"m{n}", options), idle_power_mw=idle))
    homes: list[str] = [f"g{n}" for n in range(draw(st.integers(0, 2)))]
    parts.extend(gpu(home, draw(st.integers(1, 8)), unit_power_mw=draw(mw) / 8) for home in homes)
    for n in range(draw(st.integers(0, 3))):
        size, pay = draw(st.integers(1, 8)), draw(usd)
        home = draw(st.sampled_from([None, *homes]))
        if home is not None:
            parts.append(running(f"w{n}", home, size, pay, draw(usd) / 8))
        else:
            parts.append(job(f"w{n}", size, pay, priority=draw(st.integers(0, 3))))
    feeders = [f"t{n}" for n in range(draw(st.sampled_from([0, 1, 2])))]
    parts = [fed(part, draw(st.sampled_from([None, *feeders]))) for part in parts]
    called = draw(st.booleans())
    whole_usd = st.integers(0, 60).map(float)
    awards = [
        award(f"A{n}", capacity_mw=draw(mw), price_usd_mw_h=draw(whole_usd), penalty_usd_mwh=draw(whole_usd))
        for n in range(draw(st.sampled_from([0, 0, 1, 2])))
    ]
    return snapshot(
        *parts,
        capacity_awards=awards,
        transformers=[e.TransformerLimit(transformer_id=name, cap_mw=draw(mw)) for name in feeders],
        cap_mw=draw(mw) + 0.125,
        pue_ratio=draw(st.sampled_from([1.0, 1.25])),
        power_cost_usd_mwh=draw(st.integers(-80, 400)) / 4,
        signal_id="dr-1" if called else None,
        limit_mw=draw(mw) if called else None,
        payment_usd_mwh=draw(usd) if called else 0.0,
    )


def fed(part: e.GroupInput | e.WorkloadInput, transformer: str | None) -> e.GroupInput | e.WorkloadInput:
    """A group behind a transformer."""
    return replace(part, transformer_id=transformer) if isinstance(part, e.GroupInput) else part


@st.composite
def snapshots_within_a_plan(draw: st.DrawFn) -> e.AllocationSnapshot:
    """Small snapshots whose miners run or rest already, and are bound by a switch in what a plan has next."""
    case = draw(snapshots())
    ahead = draw(st.integers(1, 3))

    def underway(group: e.GroupInput) -> e.GroupInput:
        modes = [option.mode for option in group.modes]
        return replace(
            group,
            current_mode=draw(st.sampled_from(modes)),
            held_s=draw(st.sampled_from([0, 600, 3600])),
            min_up_s=draw(st.sampled_from([0, 600, 900])),
            min_down_s=draw(st.sampled_from([0, 600, 900])),
            start_cost_usd=draw(st.integers(0, 20)) / 4,
            stop_cost_usd=draw(st.integers(0, 20)) / 4,
            planned_modes=draw(st.lists(st.sampled_from(modes), min_size=ahead, max_size=ahead)),
        )

    return replace(
        case,
        groups=[underway(group) if group.kind is e.ResourceKind.ASIC else group for group in case.groups],
        ahead_usd_mwh=draw(st.lists(st.integers(-80, 400).map(lambda n: n / 4), min_size=ahead, max_size=ahead)),
    )
