"""What holds at a facility before a decision."""

from dataclasses import replace

from schemas import events as e
from streams.domain import trigger
from streams.domain.allocation import solve
from streams.domain.economics import EconomicsPolicy
from streams.domain.market_state import MarketState
from streams.domain.snapshot import take
from streams.domain.standing import Standing
from streams.domain.trigger import Due, Trigger
from streams.domain.workload import WorkloadBook
from tests import streams_event as a
from tests.unit.streams.test_market_state import known
from tests.unit.streams.test_trigger import POLICY
from tests.unit.streams.test_workload import in_state

NORMAL, OFF = e.PowerMode.NORMAL, e.PowerMode.OFF


def taken_of(state: MarketState, standing: Standing | None, due: Due) -> e.AllocationSnapshot:
    """The snapshot of a decision."""
    found = take(state, WorkloadBook(), standing, due, EconomicsPolicy())
    assert isinstance(found, e.AllocationSnapshot)
    return found


def course(state: MarketState) -> list[tuple[Due, e.AllocationSnapshot, e.AllocationDecision]]:
    """All decisions that are due, with their snapshots."""
    found: list[tuple[Due, e.AllocationSnapshot, e.AllocationDecision]] = []
    progress, standing = None, None
    while (due := trigger.next_due(state, "Texas-1", progress, POLICY)) is not None:
        taken = taken_of(state, standing, due)
        decision = solve(taken)
        standing, progress = Standing.after(standing, decision), trigger.advanced(progress, due)
        found.append((due, taken, decision))
    return found


def test_load_before_is_that_of_the_interval_before_however_often_an_interval_is_decided() -> None:
    made = course(known(a.signal(400, limit_mw=0.1), a.price(300), a.tick(410), a.price(600)))
    loads: dict[object, set[float | None]] = {}
    for due, taken, _ in made:
        loads.setdefault(due.interval_start, set()).add(taken.load_before_mw)
    last = {due.interval_start: decision.load_mw for due, _, decision in made}
    assert len(made) > len(loads)
    assert loads == {a.at(0): {None}, a.at(300): {last[a.at(0)]}, a.at(600): {last[a.at(300)]}}


def test_ramp_is_not_used_twice_in_an_interval() -> None:
    # 0.12 MW in an interval is one mode (0.11 MW at the meter), for its dispatch and its plan together.
    ramped = a.facility(ramp_mw_min=0.024, recorded_at=a.at(-1), event_id="ramped")
    (_, _, before), (_, _, dispatch), (_, _, plan) = course(known(ramped, a.price(300, usd_mwh=500.0)))
    modes = [d.allocations[0].power_mode for d in (before, dispatch, plan)]
    assert modes == [e.PowerMode.TURBO, NORMAL, NORMAL]


def test_dispatch_has_what_the_newest_plan_has_behind_its_interval() -> None:
    resources = (a.miners(min_up_s=900, min_down_s=900, event_id="slow", recorded_at=a.at(-1)),)
    (_, _, plan), *_ = course(known(*resources))
    modes = [e.PowerMode.ECO, NORMAL, NORMAL, OFF, OFF]
    plan = replace(plan, allocations=[replace(g, planned_modes=modes) for g in plan.allocations])
    state = known(*resources, a.tick(20), a.price(300, usd_mwh=70.0), a.price(600))

    def planned(at: float, cause: Trigger) -> list[e.PowerMode]:
        start = a.at(at // 300 * 300)
        due = Due("d", "Texas-1", start, 300, a.at(at), "c", "test", cause)
        taken = taken_of(state, Standing(plan, plan), due)
        (group,) = (g for g in taken.groups if g.kind is e.ResourceKind.ASIC)
        assert len(taken.ahead_usd_mwh) == len(group.planned_modes)
        return group.planned_modes

    assert planned(20, Trigger.TICK) == modes[:4]
    assert planned(300, Trigger.INTERVAL) == modes[1:5]
    assert planned(900, Trigger.INTERVAL) == modes[3:]
    assert planned(300, Trigger.PLAN) == []
    assert planned(3000, Trigger.INTERVAL) == []


def test_plan_of_modes_that_a_group_no_longer_has_is_passed_over() -> None:
    (_, _, plan), *_ = course(known())
    plan = replace(plan, allocations=[replace(g, planned_modes=[e.PowerMode.ECO]) for g in plan.allocations])
    eco_less = [p for p in a.miners().modes if p.mode is not e.PowerMode.ECO]
    state = known(a.miners(modes=eco_less, event_id="no eco", recorded_at=a.at(-1)))
    due = Due("d", "Texas-1", a.at(0), 300, a.at(0), "c", "test", Trigger.TICK)
    assert [g.planned_modes for g in taken_of(state, Standing(plan, plan), due).groups] == [[], []]


def test_dispatch_of_an_interval_leaves_what_waits_to_its_plan() -> None:
    (_, _, plan), *_ = course(known())
    running = replace(in_state(e.WorkloadState.RUNNING), workload_id="runs")
    book = WorkloadBook({w.workload_id: w for w in (running, in_state(e.WorkloadState.QUEUED))})

    def workloads(cause: Trigger) -> list[str]:
        due = Due("d", "Texas-1", a.at(300), 300, a.at(300), "c", "test", cause)
        taken = take(known(a.price(300)), book, Standing(plan, plan), due, EconomicsPolicy())
        assert isinstance(taken, e.AllocationSnapshot)
        return [w.workload_id for w in taken.workloads]

    assert workloads(Trigger.INTERVAL) == ["runs"]
    assert workloads(Trigger.PLAN) == workloads(Trigger.TICK) == ["runs", "wl-1"]
