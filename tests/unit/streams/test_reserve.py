"""Awarded capacity in decisions: what is kept running for it, what it earns, and what is given up."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from schemas import events as e
from streams.domain.allocation import modes_of, solve
from streams.domain.plan.problem import PlanProblem, Reserve
from streams.domain.plan.solve import solve_plan
from streams.domain.plan.value import outcome
from streams.domain.reserve import reserves
from tests.plan_case import fleet
from tests.streams_event import at
from tests.unit.streams.allocation_case import asic, award, snapshot
from tests.unit.streams.test_planning import ahead

MINE = asic(options=((e.PowerMode.NORMAL, 1.0, 80.0),))


def dear(*awards: e.CapacityAward, **changes: Any) -> e.AllocationSnapshot:
    """A mine of 1 MW that loses 10 USD an hour by running: it earns 80 USD/MWh at a cost of 90."""
    return snapshot(*changes.pop("groups", [MINE]), capacity_awards=list(awards), power_cost_usd_mwh=90.0, **changes)


def test_load_runs_at_a_loss_that_is_under_what_its_award_pays() -> None:
    # A MW held is paid 15 USD an hour, running loses 10.
    decision = solve(dear(award(price_usd_mw_h=15.0)))
    assert modes_of(decision) == {"m1": e.PowerMode.NORMAL}
    assert (decision.objective_usd_h, decision.capacity_usd_h, decision.given_up) == (5.0, 15.0, [])
    assert decision.allocations[0].reason == (
        "NORMAL: earns 80.0 $/MWh at a cost of 90.0, OFF would earn more,"
        " but the load is held ready for a capacity award"
    )


def test_award_that_pays_less_than_the_loss_is_given_up_and_named() -> None:
    decision = solve(dear(award(price_usd_mw_h=8.0)))
    assert modes_of(decision) == {"m1": e.PowerMode.OFF}
    assert (decision.objective_usd_h, decision.capacity_usd_h) == (0.0, 0.0)
    # 8 USD an hour over 5 minutes.
    assert [(f.rule, f.subject, f.amount, round(f.penalty_usd, 6)) for f in decision.given_up] == [
        ("capacity award", "ECRS", 1.0, 0.666667)
    ]


def test_penalty_of_the_contract_counts_beside_the_payment() -> None:
    decision = solve(dear(award(price_usd_mw_h=8.0, penalty_usd_mwh=4.0)))
    assert (modes_of(decision), decision.capacity_usd_h) == ({"m1": e.PowerMode.NORMAL}, 8.0)


def test_of_two_awards_the_cheaper_one_is_given_up_first() -> None:
    two = [replace(MINE, resource_group_id=name) for name in ("m1", "m2")]
    decision = solve(dear(award("NSPIN", price_usd_mw_h=5.0), award("RRS", price_usd_mw_h=15.0), groups=two))
    assert (decision.load_mw, decision.capacity_usd_h) == (1.0, 15.0)
    assert [(f.subject, f.amount) for f in decision.given_up] == [("NSPIN", 1.0)]


def test_call_under_the_floor_deploys_the_capacity_and_nothing_is_short() -> None:
    decision = solve(dear(award(price_usd_mw_h=15.0), signal_id="dr-1", limit_mw=0.0))
    assert (decision.load_mw, decision.capacity_usd_h, decision.given_up) == (0.0, 15.0, [])


def test_what_cannot_be_shed_holds_no_capacity() -> None:
    # 0.2 MW of idle devices, cooled at 1.1, or a minimum load that is more.
    idle = dear(award(), groups=[replace(MINE, idle_power_mw=0.2)], pue_ratio=1.1)
    assert reserves(idle)[0].floor_mw.tolist() == pytest.approx([1.22])
    assert reserves(replace(idle, min_load_mw=0.5))[0].floor_mw.tolist() == [1.5]


def test_ramp_too_slow_for_the_response_leaves_the_rest_unpaid() -> None:
    # 0.06 MW a minute is 0.6 MW in the ten minutes of ECRS (ERCOT Nodal Protocols, section 8.1.1.2.1).
    slow = award(price_usd_mw_h=15.0, penalty_usd_mwh=5.0, response_s=600)
    decision = solve(dear(slow, ramp_mw_min=0.06))
    # Paid 15 for a MW, of which 0.4 is charged back at 20.
    assert [decision.load_mw, decision.capacity_usd_h] == pytest.approx([1.0, 15 - 0.4 * 20])
    assert [(f.subject, round(f.amount, 9)) for f in decision.given_up] == [("ECRS", 0.4)]


def test_plan_holds_the_load_in_the_hours_of_the_award() -> None:
    later = award(price_usd_mw_h=15.0, starts_at=at(300), ends_at=at(900))
    decision = solve(dear(later, horizon=ahead(*[90.0] * 4)))
    assert [entry.mining_mw for entry in decision.horizon] == [0.0, 1.0, 1.0, 0.0]
    # Two of four intervals at 15 - 10.
    assert [decision.objective_usd_h, decision.capacity_usd_h] == pytest.approx([2.5, 0.0])
    # A MW less to hold saves the loss of 10; one more is short at 15.
    assert [(b.rule, b.subject, b.interval) for b in decision.binding_limits] == [
        ("capacity award", "ECRS", 1),
        ("capacity award", "ECRS", 2),
    ]
    assert all(10 - 1e-6 <= b.usd_h <= 15 + 1e-6 for b in decision.binding_limits)


def test_plan_names_what_it_gives_up_of_an_award() -> None:
    decision = solve(dear(award(price_usd_mw_h=8.0), horizon=ahead(90.0, 60.0)))
    assert [entry.mining_mw for entry in decision.horizon] == [0.0, 1.0]
    assert [(f.rule, f.subject, f.interval, f.amount) for f in decision.given_up] == [
        ("capacity award", "ECRS", 0, 1.0)
    ]
    assert decision.objective_usd_h == pytest.approx((0 + 20 + 8) / 2)


def test_call_to_come_deploys_the_capacity_in_its_intervals() -> None:
    horizon = [*ahead(90.0), *ahead(90.0, limit_mw=0.0)]
    decision = solve(dear(award(price_usd_mw_h=15.0), horizon=horizon))
    assert ([entry.mining_mw for entry in decision.horizon], decision.given_up) == ([1.0, 0.0], [])


def with_reserves(case: PlanProblem) -> PlanProblem:
    """Every site has two awards, of a fifth and a tenth of its cap, in turn of hours."""

    def held(cap: float, count: int) -> tuple[Reserve, ...]:
        first = np.where(np.arange(count) < count * 2 // 3, 0.2 * cap, 0.0)
        floor = first + np.where(np.arange(count) >= count // 3, 0.1 * cap, 0.0)
        return (Reserve("RRS", first, first, 30.0, 18.0), Reserve("ECRS", floor, floor - first, 12.0, 12.0))

    return replace(case, sites=tuple(replace(s, reserves=held(s.cap_mw[0], case.intervals)) for s in case.sites))


def test_both_planners_hold_awards_and_neither_passes_the_bound_of_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    case = with_reserves(fleet(7, sites=2, groups=3, jobs=3, intervals=12))
    exact = solve_plan(case)
    monkeypatch.setattr("streams.domain.plan.integral.MAX_COLUMNS", 0)
    large = solve_plan(case)
    for plan in (exact, large):
        assert plan.objective_usd == pytest.approx(outcome(case, plan.modes, plan.placements).worth_usd)
        assert min(exact.bound_usd, large.bound_usd) >= plan.objective_usd - 1e-6
    assert large.objective_usd >= exact.objective_usd - 0.02 * abs(exact.objective_usd)
    assert exact.status == "OPTIMAL"
    unaware = solve_plan(replace(case, sites=tuple(replace(place, reserves=()) for place in case.sites)))
    assert outcome(case, unaware.modes, unaware.placements).worth_usd < large.objective_usd


def test_steps_under_the_floors_add_up_to_what_is_short_of_each_award() -> None:
    first, second = reserves(
        dear(award("RRS", price_usd_mw_h=15.0), award("NSPIN", price_usd_mw_h=5.0), min_load_mw=0.5)
    )
    for load in np.linspace(0.0, 3.0, 13):
        steps = sum(r.step_usd_mwh * max(float(r.floor_mw[0]) - load, 0.0) for r in (first, second))
        shorts = sum(r.short_usd_mwh * float(r.short_mw(np.array([load]))[0]) for r in (first, second))
        assert steps == pytest.approx(shorts)
    assert second.short_mw(np.array([1.75])).tolist() == [0.75]
    assert first.short_mw(np.array([1.75])).tolist() == [0.0]


def test_award_counts_from_its_start_up_to_its_end() -> None:
    case = dear(award(starts_at=at(300), ends_at=at(600)), horizon=ahead(*[90.0] * 3))
    assert [floor > 0 for floor in reserves(case)[0].floor_mw.tolist()] == [False, True, False]
