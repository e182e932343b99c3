"""Which plans event time waits for."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from schemas import events as e
from simulators.lockstep import Lockstep
from simulators.timeline import to_ms

T = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
INTERVAL_S = 300
FACILITIES = ("Canada-1", "Texas-1")


def decision(
    facility_id: str, start: datetime, method: e.DecisionMethod = e.DecisionMethod.PLAN
) -> e.AllocationDecision:
    return e.AllocationDecision(
        event_id="e", decision_id="d", facility_id=facility_id, decided_at=start, cause_event_id="c", cause="c",
        snapshot_id="s", interval_start=start, interval_s=INTERVAL_S, solver="s", status="OPTIMAL", objective_usd_h=0.0,
        bound_usd_h=0.0, gap_ratio=0.0, load_mw=0.0, mining_mw=0.0, gpu_mw=0.0, grid_mw=0.0, power_cost_usd_mwh=0.0,
        allocations=[], method=method,
    )  # fmt: skip


def at(seconds: float) -> int:
    return to_ms(T + timedelta(seconds=seconds))


def test_the_interval_of_the_start_is_not_waited_for_and_the_next_one_is_two_minutes_in() -> None:
    lockstep = Lockstep(FACILITIES, INTERVAL_S, at(30))
    assert lockstep.waits_for(at(419)) == []
    assert lockstep.waits_for(at(420)) == ["Canada-1", "Texas-1"]


def test_the_first_interval_of_a_new_log_is_waited_for_where_it_is_whole() -> None:
    whole = Lockstep(FACILITIES, INTERVAL_S, at(0), is_new=True)
    assert (whole.waits_for(at(119)), whole.waits_for(at(120))) == ([], ["Canada-1", "Texas-1"])
    begun = Lockstep(FACILITIES, INTERVAL_S, at(30), is_new=True)
    assert (begun.waits_for(at(419)), begun.waits_for(at(420))) == ([], ["Canada-1", "Texas-1"])


def test_event_time_goes_on_when_every_facility_has_its_plan() -> None:
    lockstep = Lockstep(FACILITIES, INTERVAL_S, at(0))
    lockstep.hear(decision("Texas-1", T + timedelta(seconds=300)))
    assert lockstep.waits_for(at(420)) == ["Canada-1"]
    lockstep.hear(decision("Canada-1", T + timedelta(seconds=300)))
    assert lockstep.waits_for(at(719)) == []
    assert lockstep.waits_for(at(720)) == ["Canada-1", "Texas-1"]


def test_a_dispatch_an_older_plan_and_another_facility_change_nothing() -> None:
    lockstep = Lockstep(FACILITIES, INTERVAL_S, at(0))
    of_interval = decision("Texas-1", T + timedelta(seconds=300))
    lockstep.hear(replace(of_interval, method=e.DecisionMethod.DISPATCH))
    lockstep.hear(decision("Texas-1", T))
    lockstep.hear(replace(of_interval, facility_id="Elsewhere-1"))
    assert lockstep.waits_for(at(420)) == ["Canada-1", "Texas-1"]


def test_a_facility_passed_over_is_waited_for_from_its_next_plan_on() -> None:
    lockstep = Lockstep(FACILITIES, INTERVAL_S, at(0))
    lockstep.pass_over(["Texas-1"])
    assert lockstep.waits_for(at(3600)) == ["Canada-1"]
    lockstep.hear(decision("Texas-1", T + timedelta(seconds=300)))
    assert lockstep.waits_for(at(720)) == ["Canada-1", "Texas-1"]


def test_commands_are_waited_for_once_an_interval_though_its_plans_came_before() -> None:
    lockstep = Lockstep(FACILITIES, INTERVAL_S, at(0))
    for facility in FACILITIES:
        lockstep.hear(decision(facility, T + timedelta(seconds=300)))
    assert not lockstep.is_step(at(419))
    assert lockstep.is_step(at(420))
    lockstep.obeyed(at(420))
    assert not lockstep.is_step(at(719))
    assert lockstep.is_step(at(720))
