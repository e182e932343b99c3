"""What a decision changes on the devices and for the workloads."""

from datetime import UTC, datetime

import pytest

from schemas import events as e
from streams.domain import command, workload
from streams.domain.allocation import solve
from streams.domain.economics import EconomicsPolicy
from streams.domain.market_state import MarketState
from streams.domain.price_risk import RiskPolicy
from streams.domain.snapshot import take
from streams.domain.standing import Standing
from streams.domain.trigger import Due, Trigger, advanced, next_due, recovered
from streams.domain.workload import WorkloadBook
from tests import streams_event as a
from tests.unit.streams.test_market_state import known
from tests.unit.streams.test_trigger import POLICY
from tests.unit.streams.test_workload import in_state

ECONOMICS = EconomicsPolicy(pool_fee_ratio=0.0)


def snapshot(state: MarketState, book: WorkloadBook, before: Standing | None = None) -> e.AllocationSnapshot:
    """The snapshot of the first decision of Texas-1."""
    due = next_due(state, "Texas-1", None, POLICY)
    assert due is not None
    found = take(state, book, before, due, ECONOMICS)
    assert isinstance(found, e.AllocationSnapshot)
    return found


def book(*newest: e.WorkloadTransition) -> WorkloadBook:
    """A book of workloads."""
    return WorkloadBook({w.workload_id: w for w in newest})


def test_snapshot_prices_groups_at_the_meter() -> None:
    taken = snapshot(known(), book())
    # 100 miners * 3 kW = 0.3 MW; 100 * 150 TH/s * hashprice / 24. Hashprice: 8.64e16 / (1e14 * 4,295,032,833.0)
    # = 2.01163e-7 blocks * 3.2 BTC * 100,000 USD = 0.0643720 USD/TH/day: 40.2325 USD/h.
    normal = next(m for m in taken.groups[0].modes if m.mode is e.PowerMode.NORMAL)
    assert (normal.power_mw, round(normal.revenue_usd_h, 3)) == (0.3, 40.233)
    assert (taken.power_cost_usd_mwh, taken.grid_value_usd_mwh, taken.limit_mw) == (40.0, 40.0, None)
    gpu = taken.groups[1]
    assert (gpu.idle_power_mw, round(gpu.unit_power_mw * 1e6)) == (0.0016, 600)


def test_snapshot_has_the_running_workloads_rest_and_price() -> None:
    running = in_state(e.WorkloadState.RUNNING)
    state = known(a.price(400))
    first = next_due(state, "Texas-1", None, POLICY)
    assert first is not None
    due = next_due(state, "Texas-1", advanced(None, first), POLICY)
    assert due is not None
    taken = take(state, book(running), None, due, ECONOMICS)
    assert isinstance(taken, e.AllocationSnapshot)
    # Running from 100 s, decided at 400 s; 8 GPUs at 2.50 USD, a quarter of an hour of it is what stopping costs.
    assert taken.workloads == [
        e.WorkloadInput(
            workload_id="wl-1",
            state=e.WorkloadState.RUNNING,
            gpus=8,
            priority=0,
            revenue_usd_h=20.0,
            preemption_cost_usd=5.0,
            remaining_s=3300,
            resource_group_id="tx1-gpu",
        )
    ]


def test_snapshot_knows_the_maintenance_ahead() -> None:
    window = e.MaintenanceWindow(starts_at=a.at(400), ends_at=a.at(700))
    state = known()
    state.add(a.miners(maintenance=[window], recorded_at=a.at(-1)))
    assert snapshot(state, book()).groups[0].out_of_service == [1, 2]


def test_snapshot_prices_the_hours_ahead() -> None:
    state = known()
    for hour, price in ((0, 50.0), (1, 70.0)):
        state.add(a.day_ahead(hour, price))
    taken = snapshot(state, book())
    assert len(taken.horizon) == 48
    costs = [entry.power_cost_usd_mwh for entry in taken.horizon]
    # Real time is 30 now, 20 under the day-ahead price of the hour; the difference is halved every hour; 10 of adder.
    assert costs[0] == taken.power_cost_usd_mwh == 40.0
    assert costs[1] == pytest.approx(60.0 - 20.0 * 0.5 ** (1 / 12))
    assert costs[12] == pytest.approx(80.0 - 20.0 * 0.5)
    assert {entry.source for entry in taken.horizon[:24]} == {"REAL_TIME", "DAY_AHEAD"}
    # No market has said anything of the third hour yet.
    assert (taken.horizon[24].source, costs[24]) == ("PERSISTENCE", 40.0)


def test_snapshot_has_the_transmission_charge_of_each_interval_ahead() -> None:
    state = known()
    state.add(a.facility(transmission_usd_kw_year=60, recorded_at=a.at(-1)))
    assert {entry.power_cost_usd_mwh for entry in snapshot(state, book()).horizon} == {40.0}  # no peak in January
    # 19:30 UTC of a Tuesday in August is 14:30 Central: possible peaks begin half an hour later, 6 intervals ahead.
    start = datetime(2026, 8, 18, 19, 30, tzinfo=UTC)
    due = Due("d1", "Texas-1", start, 300, start, "c1", "test", Trigger.PLAN)
    taken = take(state, book(), None, due, ECONOMICS)
    assert isinstance(taken, e.AllocationSnapshot)
    costs = [entry.power_cost_usd_mwh for entry in taken.horizon]
    # One of 16 quarter hours in one of 25 days: 21 that work, 10 of weekends that count 0.4; 60 USD/kW a year.
    assert costs == pytest.approx([40.0] * 6 + [40.0 + 60_000 / (25 * 16)] * 42)
    assert (taken.transmission_usd_mwh, taken.power_cost_usd_mwh) == (0.0, costs[0])


def test_snapshot_carries_the_price_scenarios_where_risk_has_a_weight() -> None:
    due = next_due(known(), "Texas-1", None, POLICY)
    assert due is not None
    bare, minded = (take(known(), book(), None, due, ECONOMICS, risk=RiskPolicy(weight)) for weight in (0.0, 0.5))
    assert isinstance(bare, e.AllocationSnapshot)
    assert isinstance(minded, e.AllocationSnapshot)
    assert (bare.risk_weight, bare.scenario_probability, minded.risk_weight, minded.risk_tail) == (0.0, [], 0.5, 0.1)
    assert {len(entry.scenario_error_usd_mwh) for entry in bare.horizon} == {0}
    assert {len(entry.scenario_error_usd_mwh) for entry in minded.horizon} == {len(minded.scenario_probability)} == {6}


def test_workload_of_the_future_is_not_in_a_decision_about_the_past() -> None:
    later = workload.handle(a.submit(seconds=30), WorkloadBook(), workload.Directory.of([a.gpus()], {"acme": 2.5}))
    assert isinstance(later, tuple)
    assert snapshot(known(), book(later[-1])).workloads == []


def test_only_changes_are_commanded() -> None:
    queued = in_state(e.WorkloadState.QUEUED)
    first = snapshot(known(), book(queued))
    decision = solve(first)
    found = command.commands(first, decision)
    assert [(c.kind, c.resource_group_id, c.power_mode, c.workload_id, c.gpus, c.duration_s) for c in found] == [
        (e.CommandKind.SET_POWER_MODE, "tx1-asic", e.PowerMode.TURBO, None, 0, 0),
        (e.CommandKind.START_WORKLOAD, "tx1-gpu", None, "wl-1", 8, 3600),
    ]
    assert {c.expires_at for c in found} == {a.at(300)}
    (step,) = command.steps(first, decision, book(queued))
    assert (step.to_state, step.resource_group_id, step.decision_id) == (
        e.WorkloadState.SCHEDULED,
        "tx1-gpu",
        decision.decision_id,
    )
    again = snapshot(known(), book(step), Standing(decision))
    assert command.commands(again, solve(again)) == ()
    assert command.steps(again, solve(again), book(step)) == ()


def test_dropped_workload_is_stopped_and_queued_again() -> None:
    running = in_state(e.WorkloadState.SCHEDULED)
    taken = snapshot(known(a.signal(0, limit_mw=0.0)), book(running))
    decision = solve(taken)
    (stop, *_) = command.commands(taken, decision)
    assert (stop.kind, stop.workload_id, stop.resource_group_id) == (
        e.CommandKind.STOP_WORKLOAD,
        "wl-1",
        "tx1-gpu",
    )
    assert [s.to_state for s in command.steps(taken, decision, book(running))] == [
        e.WorkloadState.PREEMPTED,
        e.WorkloadState.QUEUED,
    ]


def test_cancelled_workload_is_stopped_where_it_ran() -> None:
    running = in_state(e.WorkloadState.RUNNING)
    request = a.report(e.WorkloadAction.CANCEL, seconds=200)
    found = workload.handle(request, book(running), workload.Directory.of([], {}))
    assert isinstance(found, tuple)
    stop = command.stop(running, found[-1])
    assert (stop.kind, stop.resource_group_id, stop.gpus, stop.issued_at) == (
        e.CommandKind.STOP_WORKLOAD,
        "tx1-gpu",
        8,
        a.at(200),
    )


def test_recovered_progress_asks_for_the_same_next_decision() -> None:
    state = known(a.signal(100), a.price(300), a.price(600), a.signal(700, status=e.SignalStatus.ENDED), a.tick(710))
    progress, dues = None, []
    decisions: list[e.AllocationDecision] = []
    while (due := next_due(state, "Texas-1", progress, POLICY)) is not None:
        taken = take(state, book(), Standing.of(decisions), due, ECONOMICS)
        assert isinstance(taken, e.AllocationSnapshot)
        decisions.append(solve(taken))
        dues.append(due)
        progress = advanced(progress, due)
    assert len(dues) == 10
    for made in range(1, len(dues)):
        assert next_due(state, "Texas-1", recovered(decisions[:made]), POLICY) == dues[made]
    assert next_due(state, "Texas-1", recovered(decisions), POLICY) is None
