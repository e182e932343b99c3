"""From a snapshot with a horizon to a plan, and from the plan to its first interval's decision."""

from dataclasses import replace

import pytest

from schemas import events as e
from streams.domain import command, planning
from streams.domain.allocation import modes_of, solve
from tests import streams_event as a
from tests.unit.streams.allocation_case import asic, gpu, job, running, snapshot


def ahead(*costs: float, limit_mw: float | None = None) -> list[e.HorizonInterval]:
    """A horizon of those costs."""
    return [e.HorizonInterval(power_cost_usd_mwh=cost, source="FORECAST", limit_mw=limit_mw) for cost in costs]


def held(mode: e.PowerMode, **changes: float) -> e.GroupInput:
    """An ASIC group of 1 MW for 80 USD/h that has been in a mode for an hour."""
    group = replace(asic(options=((e.PowerMode.NORMAL, 1.0, 80.0),)), current_mode=mode, held_s=3600)
    return replace(group, **changes)  # type: ignore[arg-type]


def test_plan_decides_its_first_interval_and_says_what_is_next() -> None:
    decision = solve(snapshot(asic(), horizon=ahead(50.0, 500.0, 500.0)))
    assert decision.method is e.DecisionMethod.PLAN
    assert modes_of(decision) == {"m1": e.PowerMode.NORMAL}
    assert decision.allocations[0].planned_modes[0] is e.PowerMode.OFF
    assert [entry.mining_mw for entry in decision.horizon] == [1.0, 0.0, 0.0]
    # 80 - 50 over one of three intervals.
    assert decision.objective_usd_h == pytest.approx(10.0)


def test_short_spike_is_sat_out_where_the_wear_costs_more() -> None:
    # Off for five minutes of 200 USD/MWh saves 10 USD; stopping and starting costs 12.
    group = held(e.PowerMode.NORMAL, start_cost_usd=8.0, stop_cost_usd=4.0)
    case = snapshot(group, power_cost_usd_mwh=200.0, horizon=ahead(200.0, *[50.0] * 11))
    stays = solve(case)
    assert modes_of(stays) == {"m1": e.PowerMode.NORMAL}
    assert stays.allocations[0].reason == (
        "NORMAL: earns 80.0 $/MWh at a cost of 200.0, OFF would earn more,"
        " but not for long enough to be worth 4.00 USD of wear to stop"
    )
    cheap = replace(case, groups=[replace(group, start_cost_usd=4.0)])
    assert modes_of(solve(cheap)) == {"m1": e.PowerMode.OFF}


def test_group_stays_for_its_minimum_time() -> None:
    started = held(e.PowerMode.NORMAL, held_s=300, min_up_s=900)
    case = snapshot(started, power_cost_usd_mwh=200.0, horizon=ahead(*[200.0] * 6))
    decision = solve(case)
    assert [entry.mining_mw for entry in decision.horizon] == [1.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    assert decision.allocations[0].reason.endswith("OFF would earn more, but it has to stay so for 15 min, 5 so far")


def test_call_is_planned_for() -> None:
    horizon = [*ahead(50.0), *ahead(50.0, limit_mw=0.5)]
    decision = solve(snapshot(asic(), horizon=horizon))
    assert [entry.mining_mw for entry in decision.horizon] == [1.0, 0.0]


def test_cap_has_a_shadow_price() -> None:
    decision = solve(snapshot(asic(), cap_mw=0.5, horizon=ahead(50.0)))
    limits = {(limit.rule, limit.subject, limit.interval): limit for limit in decision.binding_limits}
    # Another half MW would let NORMAL run: of its 30 USD an hour the first half is worth nothing without it, so the
    # relaxation's price is 30 USD/h for a MW.
    assert limits["facility cap", "Texas-1", 0].usd_h == pytest.approx(30.0)


def test_job_waits_for_cheap_power_but_not_past_its_deadline() -> None:
    # A job of 4 kW and one interval that pays 10 USD/h: at 5,000 USD/MWh it loses 10.
    late = job("w1", usd_h=10.0, remaining_s=300, slack_s=900, sla_penalty_usd=5.0)
    case = snapshot(gpu(), late, power_cost_usd_mwh=5000.0, horizon=ahead(5000.0, 5000.0, 50.0, 50.0))
    decision = solve(case)
    assert [entry.gpu_mw for entry in decision.horizon] == [0.0, 0.0, 0.004, 0.0]
    assert command.commands(case, decision) == ()
    soon = replace(case, workloads=[replace(late, slack_s=300)])
    assert [entry.gpu_mw for entry in solve(soon).horizon] == [0.004, 0.0, 0.0, 0.0]


def test_running_job_goes_on_through_the_plan() -> None:
    decision = solve(snapshot(gpu(), running("w1", "g1"), horizon=ahead(50.0, 50.0)))
    assert decision.allocations[0].workload_ids == ["w1"]


def test_group_in_maintenance_is_off_and_its_jobs_wait() -> None:
    out = [replace(asic(), out_of_service=[0]), replace(gpu(), out_of_service=[0])]
    decision = solve(snapshot(*out, job("w1", remaining_s=300), horizon=ahead(50.0, 50.0)))
    assert [(entry.mining_mw, entry.gpu_mw) for entry in decision.horizon] == [(0.0, 0.0), (1.0, 0.004)]
    assert decision.allocations[0].reason == "OFF: out of service for maintenance"
    alone = solve(snapshot(*out, job("w1", remaining_s=300)))
    assert (alone.mining_mw, alone.gpu_mw) == (0.0, 0.0)


def test_same_snapshot_gives_the_same_decision() -> None:
    case = snapshot(asic(), gpu(), job(), running("w2", "g1"), horizon=ahead(*range(20, 68)))
    assert solve(case) == solve(case)


def test_problem_scales_ramp_to_the_interval() -> None:
    problem = planning.problem_of(snapshot(asic(), ramp_mw_min=0.2, load_before_mw=1.0, horizon=ahead(50.0)))
    assert problem.sites[0].ramp_mw == pytest.approx(1.0)
    assert problem.sites[0].load_before_mw == 1.0


def test_mode_holds_and_is_renewed_in_time() -> None:
    first = solve(snapshot(asic(), horizon=ahead(50.0)))
    (group,) = first.allocations
    # The interval ends at 300 s; half an hour after it the devices stop by themselves.
    assert group.hold_until == a.at(2100)
    (told,) = command.commands(snapshot(asic()), first)
    assert (told.hold_until, told.fallback_mode) == (a.at(2100), e.PowerMode.OFF)

    def again(seconds: int) -> tuple[e.AllocationCommand, ...]:
        now = replace(asic(), current_mode=group.power_mode, hold_until=group.hold_until, held_s=seconds)
        case = snapshot(now, interval_start=a.at(seconds), taken_at=a.at(seconds), horizon=ahead(50.0))
        return command.commands(case, solve(case))

    assert again(300) == ()
    assert again(1500) == ()
    (renewed,) = again(1800)
    assert (renewed.power_mode, renewed.hold_until) == (group.power_mode, a.at(3900))
