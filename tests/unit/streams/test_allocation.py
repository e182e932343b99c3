"""Decisions: small ones by hand, any by trying everything, and what must hold for all."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events as e
from streams.domain.allocation import modes_of, solve
from streams.domain.choice import MONEY_PER_USD, choices
from streams.domain.dispatch.merit_order import merit_order
from streams.domain.selection import extra_w, worth
from tests.unit.streams.allocation_case import (
    asic,
    best_by_trying_everything,
    chosen,
    gpu,
    job,
    objective,
    running,
    snapshot,
    snapshots,
    snapshots_within_a_plan,
)

# Rounding of each choice to a millionth of a USD, and the tie-break of the priorities.
CENT = 0.01


def test_cheap_power_runs_the_mode_that_earns_most() -> None:
    # At 30 USD/MWh: NORMAL 80 - 30 = 50 USD/h, TURBO 100 - 45 = 55.
    decision = solve(snapshot(asic(), power_cost_usd_mwh=30.0))
    assert modes_of(decision) == {"m1": e.PowerMode.TURBO}
    assert (decision.status, decision.objective_usd_h, decision.bound_usd_h) == ("OPTIMAL", 55.0, 55.0)
    assert (decision.load_mw, decision.mining_mw, decision.gpu_mw, decision.grid_mw) == (1.5, 1.5, 0.0, 0.0)
    assert decision.allocations[0].reason == "TURBO: earns 66.7 $/MWh at a cost of 30.0, its best margin"


def test_last_half_megawatt_has_to_earn_its_own_cost() -> None:
    # At 50 USD/MWh: TURBO's last 0.5 MW earn 20 USD/h and cost 25.
    assert modes_of(solve(snapshot(asic()))) == {"m1": e.PowerMode.NORMAL}


def test_dear_power_turns_miners_off() -> None:
    decision = solve(snapshot(asic(), power_cost_usd_mwh=90.0))
    assert (decision.objective_usd_h, decision.load_mw, decision.grid_mw) == (0.0, 0.0, 1.5)
    assert decision.allocations[0].reason == "OFF: could earn 80.0 $/MWh at a cost of 90.0, no mode earns its power"


def test_negative_price_pays_for_load() -> None:
    # TURBO: 100 + 20 * 1.5 = 130 USD/h.
    assert solve(snapshot(asic(), power_cost_usd_mwh=-20.0)).objective_usd_h == 130.0


def test_cap_counts_the_cooling() -> None:
    # 1 MW of IT is 1.2 MW at the meter: over a cap of 1.1.
    decision = solve(snapshot(asic(), power_cost_usd_mwh=30.0, pue_ratio=1.2, cap_mw=1.1))
    assert modes_of(decision) == {"m1": e.PowerMode.OFF}
    assert decision.allocations[0].reason == (
        "OFF: could earn 66.7 $/MWh at a cost of 30.0, TURBO would earn more, limited by the facility cap"
    )


def test_better_group_gets_the_power_that_is_short() -> None:
    # One MW for two groups of a MW each, earning 60 and 70.
    poor = asic("poor", ((e.PowerMode.NORMAL, 1.0, 60.0),))
    rich = asic("rich", ((e.PowerMode.NORMAL, 1.0, 70.0),))
    decision = solve(snapshot(poor, rich, cap_mw=1.0))
    assert modes_of(decision) == {"poor": e.PowerMode.OFF, "rich": e.PowerMode.NORMAL}


def test_best_use_per_megawatt_is_not_always_the_best_use_of_the_cap() -> None:
    # Cap 1 MW: greedy takes 0.6 MW at 60 USD/MWh over cost (36) and has no room for 1 MW at 50 (50).
    small = asic("small", ((e.PowerMode.NORMAL, 0.6, 0.6 * 110),))
    large = asic("large", ((e.PowerMode.NORMAL, 1.0, 100.0),))
    case = snapshot(small, large, cap_mw=1.0)
    found = choices(case)
    assert worth(found, merit_order(found)) == 36_000_000
    assert solve(case).objective_usd_h == 50.0


def test_workload_gets_all_of_its_gpus_in_one_group_or_none() -> None:
    # Two groups of 6 have 12 GPUs together, but no group has 8.
    decision = solve(snapshot(gpu("g1", 6), gpu("g2", 6), job(gpus=8)))
    assert [g.gpus_busy for g in decision.allocations] == [0, 0]
    assert decision.allocations[0].reason == "0 of 6 GPUs busy with 0 workloads, 1 waiting, too few GPUs free"


def test_gpus_and_workloads_of_a_group_are_reported() -> None:
    # 4 GPUs at 1 kW cost 4 kW * 50 USD/MWh = 0.2 USD/h and earn 10.
    decision = solve(snapshot(gpu(), job()))
    assert decision.allocations == [
        e.GroupAllocation(
            resource_group_id="g1",
            kind=e.ResourceKind.GPU,
            power_mode=None,
            power_mw=0.004,
            gpus_busy=4,
            workload_ids=["w1"],
            margin_usd_h=9.8,
            reason="4 of 8 GPUs busy with 1 workloads: earns 2500.0 $/MWh at a cost of 50.0",
        )
    ]


def test_running_workload_is_stopped_only_if_that_pays_its_preemption() -> None:
    # The newcomer earns 5 USD/h more; over 5 minutes a preemption of 0.40 USD costs 4.80 USD/h, one of 0.50 costs 6.
    newcomer = job("new", 8, 15.0)
    for cost_usd, runs in ((0.4, "new"), (0.5, "old")):
        decision = solve(snapshot(gpu(), running("old", "g1", 8, 10.0, cost_usd), newcomer))
        assert decision.allocations[0].workload_ids == [runs]


def test_of_equal_workloads_the_higher_priority_runs() -> None:
    decision = solve(snapshot(gpu(), job("a", 8, 10.0), job("b", 8, 10.0, priority=1)))
    assert decision.allocations[0].workload_ids == ["b"]


def test_grid_call_is_obeyed_though_the_power_would_earn() -> None:
    called = snapshot(asic(), power_cost_usd_mwh=30.0, signal_id="dr-1", limit_mw=1.0)
    decision = solve(called)
    assert modes_of(decision) == {"m1": e.PowerMode.NORMAL}
    assert decision.allocations[0].reason == (
        "NORMAL: earns 80.0 $/MWh at a cost of 30.0, TURBO would earn more,"
        " limited by the grid limit of call dr-1, 1.000 MW"
    )


def test_call_below_what_can_be_turned_off_is_still_decided() -> None:
    idle = replace(asic(), idle_power_mw=0.2)
    decision = solve(snapshot(idle, signal_id="dr-1", limit_mw=0.0))
    assert (decision.status, decision.load_mw) == ("OPTIMAL", 0.2)


def test_payment_of_a_call_is_part_of_the_cost_of_using_power() -> None:
    # At 30 + 40 USD/MWh NORMAL earns 80 - 70 = 10 more than nothing; paid for 9 MW below the cap of 10: 50 + 360.
    decision = solve(snapshot(asic(), power_cost_usd_mwh=30.0, payment_usd_mwh=40.0, limit_mw=5.0, signal_id="dr-1"))
    assert (modes_of(decision), decision.objective_usd_h) == ({"m1": e.PowerMode.NORMAL}, 410.0)


def test_reason_of_a_group_that_keeps_the_load_up_names_the_rule() -> None:
    running = replace(asic(), current_mode=e.PowerMode.NORMAL, held_s=3600, stop_cost_usd=1.0, min_down_s=900)
    least = snapshot(running, power_cost_usd_mwh=600.0, min_load_mw=0.5)
    falling = snapshot(running, power_cost_usd_mwh=600.0, load_before_mw=1.5, ramp_mw_min=0.15)
    for case, why in ((least, "but the load has to stay at its minimum"), (falling, "but the load can't fall faster")):
        (group,) = solve(case).allocations
        assert group.power_mode is e.PowerMode.NORMAL
        assert group.reason == f"NORMAL: earns 80.0 $/MWh at a cost of 600.0, OFF would earn more, {why}"


def test_facility_without_groups_has_an_empty_decision() -> None:
    decision = solve(snapshot())
    assert (decision.allocations, decision.objective_usd_h, decision.load_mw) == ([], 0.0, 0.0)


@settings(max_examples=150)
@given(snapshots())
def test_decision_is_the_best_of_all_feasible_ones(case: e.AllocationSnapshot) -> None:
    decision = solve(case)
    value = objective(case, *chosen(decision))
    assert value is not None, "infeasible"
    assert value == pytest.approx(decision.objective_usd_h, abs=CENT)
    assert value == pytest.approx(best_by_trying_everything(case), abs=CENT)
    assert decision.bound_usd_h >= decision.objective_usd_h


@settings(max_examples=50)
@given(snapshots() | snapshots_within_a_plan())
def test_solving_a_snapshot_again_gives_the_same_decision(case: e.AllocationSnapshot) -> None:
    assert repr(solve(case)) == repr(solve(case))


@settings(max_examples=50)
@given(snapshots())
def test_decision_is_feasible_and_never_worse_than_merit_order(case: e.AllocationSnapshot) -> None:
    found = choices(case)
    rule = merit_order(found)
    assert extra_w(found, rule) <= found.cap_extra_w
    assert objective(case, rule.modes, rule.places) is not None
    assert solve(case).objective_usd_h >= worth(found, rule) / MONEY_PER_USD + found.constant_usd_h


@settings(max_examples=50)
@given(snapshots() | snapshots_within_a_plan(), st.integers(1, 16))
def test_more_cap_never_lowers_the_margin(case: e.AllocationSnapshot, eighths: int) -> None:
    wider = replace(case, cap_mw=case.cap_mw + eighths / 8)
    # A call pays for load below the cap, so a wider cap is paid for as well, never less.
    assert solve(wider).objective_usd_h >= solve(case).objective_usd_h - CENT


@settings(max_examples=50)
@given(snapshots() | snapshots_within_a_plan(), st.integers(1, 200))
def test_higher_power_price_never_raises_the_load(case: e.AllocationSnapshot, quarters: int) -> None:
    dearer = replace(case, power_cost_usd_mwh=case.power_cost_usd_mwh + quarters / 4)
    assert solve(dearer).load_mw <= solve(case).load_mw + 1e-5


@settings(max_examples=50)
@given(snapshots())
def test_twice_the_money_is_the_same_choice(case: e.AllocationSnapshot) -> None:
    groups = [replace(g, modes=[replace(m, revenue_usd_h=m.revenue_usd_h * 2) for m in g.modes]) for g in case.groups]
    work = [
        replace(w, revenue_usd_h=w.revenue_usd_h * 2, preemption_cost_usd=w.preemption_cost_usd * 2)
        for w in case.workloads
    ]
    twice = replace(
        case,
        groups=groups,
        workloads=work,
        power_cost_usd_mwh=case.power_cost_usd_mwh * 2,
        payment_usd_mwh=case.payment_usd_mwh * 2,
        capacity_awards=[
            replace(entry, price_usd_mw_h=entry.price_usd_mw_h * 2, penalty_usd_mwh=entry.penalty_usd_mwh * 2)
            for entry in case.capacity_awards
        ],
        limit_mw=None,
    )
    once = replace(case, limit_mw=None)
    assert margin_usd_h(solve(twice)) == pytest.approx(2 * margin_usd_h(solve(once)), abs=CENT)


def margin_usd_h(decision: e.AllocationDecision) -> float:
    """The objective without the penalties of idle load over caps, which do not follow prices."""
    caps = {"facility cap", "transformer cap"}
    return decision.objective_usd_h + 12 * sum(g.penalty_usd for g in decision.given_up if g.rule in caps)
