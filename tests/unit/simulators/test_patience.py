"""Customers withdraw what waits too long: when, what for, and again after a restart."""

from dataclasses import replace
from datetime import timedelta

import numpy as np

from schemas import events as e
from schemas.events import CommandKind, WorkloadAction
from simulators.identity import request_event_id
from simulators.patience import Patience
from simulators.timeline import DAY_MS, to_ms
from tests.simulators_world import START, START_MS, a_simulation, emitted, slices, workload_command


def _submission(workload_id: str = "wl-1", deadline_h: float | None = None, duration_s: int = 600) -> e.WorkloadRequest:
    return e.WorkloadRequest(
        event_id=request_event_id(workload_id, WorkloadAction.SUBMIT, START_MS),
        workload_id=workload_id,
        action=WorkloadAction.SUBMIT,
        observed_at=START,
        customer_id="cust-spot" if deadline_h is None else "cust-on-demand",
        gpus=8,
        duration_s=duration_s,
        deadline=None if deadline_h is None else START + timedelta(hours=deadline_h),
    )


def _withdrawn(patience: Patience, until_ms: int = START_MS + 2 * DAY_MS) -> list[e.WorkloadRequest]:
    return list(patience.withdrawals(START_MS, until_ms))


def test_without_a_deadline_half_of_those_that_outlast_five_minutes_are_gone_after_35() -> None:
    patience = Patience(1)
    for number in range(2_000):
        patience.learn(_submission(f"wl-{number}"))
    waits_min = np.array([(w.observed_at - START).total_seconds() / 60 for w in _withdrawn(patience)])
    assert len(waits_min) == 2_000
    assert 5 <= waits_min.min() < 6
    assert 31 < np.median(waits_min) < 39
    assert 0.22 < np.mean(waits_min > 195) < 0.28
    assert waits_min.max() <= 24 * 60


def test_with_a_deadline_a_workload_is_withdrawn_when_it_cannot_be_met_any_more() -> None:
    patience = Patience(1)
    patience.learn(_submission("wl-late", deadline_h=5, duration_s=3_600))
    patience.learn(_submission("wl-tight", deadline_h=1, duration_s=3_600))
    found = {w.workload_id: w for w in _withdrawn(patience)}
    assert found["wl-late"].observed_at - START == timedelta(hours=4)
    assert found["wl-tight"].observed_at - START == timedelta(hours=1)
    assert found["wl-late"].customer_id == "cust-on-demand"
    assert (found["wl-late"].action, found["wl-late"].reason) == (
        WorkloadAction.CANCEL,
        "withdrawn: too late to be done",
    )


def test_what_runs_has_ended_or_is_withdrawn_already_is_not_withdrawn() -> None:
    patience = Patience(1)
    for name in ("wl-runs", "wl-ended", "wl-cancelled", "wl-waits"):
        patience.learn(_submission(name))
    patience.obey(workload_command(workload_id="wl-runs"))
    patience.learn(replace(_submission("wl-ended"), action=WorkloadAction.REPORT_FAILED))
    patience.learn(replace(_submission("wl-cancelled"), action=WorkloadAction.CANCEL))
    assert [w.workload_id for w in _withdrawn(patience)] == ["wl-waits"]
    assert _withdrawn(patience) == []


def test_a_preempted_workload_waits_anew() -> None:
    patience = Patience(1)
    patience.learn(_submission())
    patience.obey(workload_command())
    stopped_at = START + timedelta(hours=30)
    patience.obey(workload_command(CommandKind.STOP_WORKLOAD, at=stopped_at))
    (withdrawn,) = _withdrawn(patience, to_ms(stopped_at) + DAY_MS)
    assert withdrawn.observed_at >= stopped_at + timedelta(minutes=5)


def test_a_restart_finds_the_same_customers_waiting_for_the_same_time() -> None:
    commands = [
        workload_command(workload_id="wl-runs"),
        workload_command(workload_id="wl-stopped"),
        workload_command(CommandKind.STOP_WORKLOAD, workload_id="wl-stopped", at=START + timedelta(minutes=2)),
    ]
    names = ("wl-runs", "wl-stopped", "wl-ended", "wl-waits")
    requests = [_submission(name) for name in names]
    requests.append(replace(_submission("wl-ended"), action=WorkloadAction.REPORT_COMPLETED))
    lived, restarted = Patience(1), Patience(1)
    for request in requests:
        lived.learn(request)
    for command in commands:
        lived.obey(command)
    # A duplicate in the log changes nothing, and what somebody else has asked for is theirs to withdraw.
    theirs = replace(_submission("wl-theirs"), event_id="e-1")
    restarted.restore(commands, [*requests, requests[2], theirs])
    found = _withdrawn(restarted)
    assert found == _withdrawn(lived)
    assert {w.workload_id for w in found} == {"wl-stopped", "wl-waits"}


def test_a_simulation_withdraws_what_gets_no_gpus_and_nobody_else_has_cancelled() -> None:
    simulation = a_simulation()
    opening = emitted(slices(simulation, 15), "workloads.requests")
    cancelled = next(request for request in opening if request.deadline is None)
    simulation.hear(replace(cancelled, action=WorkloadAction.CANCEL))
    found = [*opening, *emitted(slices(simulation, 65 * 60), "workloads.requests")]
    submitted = {r.workload_id: r for r in found if r.action is WorkloadAction.SUBMIT}
    withdrawn = {r.workload_id: r for r in found if r.action is WorkloadAction.CANCEL}
    assert withdrawn.keys() < submitted.keys() - {cancelled.workload_id}
    assert {submitted[name].deadline is None for name in withdrawn} == {True, False}
    assert all(w.observed_at >= START + timedelta(minutes=5) for w in withdrawn.values())
