"""The site's scheduler: workloads on GPUs, as commanded."""

from datetime import timedelta

import polars as pl
import pytest

from schemas import events as e
from schemas.events import CommandKind, WorkloadAction
from simulators.gpu.board import Throttle
from simulators.simulation import GPU_TOPIC, Simulation, Slice
from tests.simulators_world import START, START_MS, a_simulation, emitted, slices, workload_command


def _reports(found: list[Slice], workload_id: str = "wl-1") -> list[e.WorkloadRequest]:
    return [
        request
        for request in emitted(found, "workloads.requests")
        if request.workload_id == workload_id and request.action is not WorkloadAction.SUBMIT
    ]


def _busy(simulation: Simulation, group: str = "texas-1-h100") -> int:
    frames = [{t.name: f for t, f in part.readings}["telemetry.gpu"] for part in slices(simulation, 15)]
    held = pl.concat(frames).filter(pl.col("workload_id").is_not_null(), pl.col("resource_group_id") == group)
    return held.height


def test_a_started_workload_reports_its_start_and_after_its_duration_its_end() -> None:
    simulation = a_simulation()
    assert simulation.obey(workload_command(duration_s=600))
    started, completed = _reports(slices(simulation, 700))
    assert (started.action, completed.action) == (WorkloadAction.REPORT_STARTED, WorkloadAction.REPORT_COMPLETED)
    assert timedelta(seconds=10) <= started.observed_at - START <= timedelta(seconds=40)
    assert completed.observed_at - started.observed_at == timedelta(seconds=600)
    assert simulation.scheduler.running == ()


def test_a_workload_holds_as_many_gpus_as_it_asked_for_and_they_draw_power() -> None:
    simulation = a_simulation()
    simulation.obey(workload_command(gpus=16))
    slices(simulation, 60)
    assert _busy(simulation) == 16
    frames = [
        frame for part in slices(simulation, 15) for topic, frame in part.readings if topic.name == "telemetry.gpu"
    ]
    readings = pl.concat(frames)
    busy = readings.filter(pl.col("workload_id") == "wl-1")
    idle = readings.filter(pl.col("workload_id").is_null())
    assert busy["power_w"].min() > 100  # type: ignore[operator]
    assert busy["power_w"].max() <= 700  # type: ignore[operator]
    assert busy["memory_used_gib"].min() > 40  # type: ignore[operator]
    assert busy["sm_clock_mhz"].min() > 1000  # type: ignore[operator]
    assert set(busy["throttle_reasons"]) <= {0, Throttle.SW_POWER_CAP}
    assert idle["power_w"].max() < 80  # type: ignore[operator]
    assert idle["utilization_ratio"].max() == 0
    assert set(idle["sm_clock_mhz"]) == {345}
    assert set(idle["throttle_reasons"]) == {Throttle.GPU_IDLE}
    assert set(readings["xid"]) == {0}


def test_a_stopped_workload_leaves_at_once_without_a_report() -> None:
    simulation = a_simulation()
    simulation.obey(workload_command(duration_s=600))
    assert [r.action for r in _reports(slices(simulation, 60))] == [WorkloadAction.REPORT_STARTED]
    assert simulation.obey(workload_command(CommandKind.STOP_WORKLOAD))
    assert _busy(simulation) == 0
    assert _reports(slices(simulation, 900)) == []


def test_repeating_a_start_changes_nothing() -> None:
    simulation = a_simulation()
    assert simulation.obey(workload_command())
    assert not simulation.obey(workload_command())
    assert [r.action for r in _reports(slices(simulation, 60))] == [WorkloadAction.REPORT_STARTED]


def test_a_workload_whose_gpus_stay_taken_fails_when_its_command_expires() -> None:
    simulation = a_simulation()
    simulation.obey(workload_command(workload_id="wl-0", gpus=40, duration_s=3600))
    simulation.obey(workload_command(gpus=8, valid_s=120))
    (failed,) = _reports(slices(simulation, 180))
    assert failed.action is WorkloadAction.REPORT_FAILED
    assert failed.reason == "0 of 8 GPUs were free"
    assert failed.observed_at == START + timedelta(seconds=120)


def test_a_workload_waits_for_gpus_that_come_free_in_time() -> None:
    simulation = a_simulation()
    simulation.obey(workload_command(workload_id="wl-0", gpus=40, duration_s=3600))
    simulation.obey(workload_command(gpus=8, valid_s=300))
    slices(simulation, 60)
    simulation.obey(workload_command(CommandKind.STOP_WORKLOAD, workload_id="wl-0"))
    assert [r.action for r in _reports(slices(simulation, 60))] == [WorkloadAction.REPORT_STARTED]


def test_an_expired_start_is_not_carried_out() -> None:
    simulation = a_simulation()
    assert not simulation.obey(workload_command(at=START - timedelta(seconds=600), valid_s=600))
    assert _reports(slices(simulation, 60)) == []


def test_reports_name_the_customer_who_submitted() -> None:
    simulation = a_simulation()
    simulation.scheduler.learn(
        e.WorkloadRequest(
            event_id="x",
            workload_id="wl-1",
            action=WorkloadAction.SUBMIT,
            observed_at=START,
            customer_id="cust-7",
            gpus=8,
        )
    )
    simulation.obey(workload_command())
    assert [report.customer_id for report in _reports(slices(simulation, 60))] == ["cust-7"]


@pytest.mark.parametrize("crash_after_s", [6, 60, 300, 612])
def test_a_restart_anywhere_reports_each_step_once(crash_after_s: int) -> None:
    command = workload_command(duration_s=600)
    before = a_simulation()
    before.obey(command)
    first = _reports(slices(before, crash_after_s))

    after = a_simulation(start_ms=START_MS + crash_after_s * 1000, is_new=False)
    after.restore([command], first)
    again = _reports(slices(after, 900))

    actions = [report.action for report in first + again]
    assert actions == [WorkloadAction.REPORT_STARTED, WorkloadAction.REPORT_COMPLETED]
    times = [report.observed_at for report in first + again]
    assert times[1] - times[0] == timedelta(seconds=600)


def test_a_workload_that_is_taken_up_again_goes_on_alike_on_its_gpus() -> None:
    command = workload_command(gpus=16, duration_s=7200)
    through = a_simulation()
    through.obey(command)
    first = _reports(slices(through, 1200))
    after = a_simulation(start_ms=START_MS + 1_200_000, is_new=False)
    after.restore([command], first)

    def readings(simulation: Simulation) -> pl.DataFrame:
        frames = [dict(part.readings)[GPU_TOPIC] for part in slices(simulation, 300)]
        return pl.concat(frames).filter(pl.col("workload_id") == "wl-1")

    expected, found = readings(through), readings(after)
    assert expected.height == 16 * 20
    assert len(set(expected["utilization_ratio"])) > 20
    exact = ("device_id", "observed_at", "utilization_ratio", "power_w", "memory_used_gib", "sm_clock_mhz", "xid")
    assert found.select(exact).equals(expected.select(exact))
    # How warm a board is depends on its past, which ends within minutes.
    assert (found["temp_c"] - expected["temp_c"]).abs().max() < 3  # type: ignore[operator]


def test_a_workload_that_finds_its_gpus_taken_after_a_restart_goes_on_when_they_come_free() -> None:
    simulation = a_simulation(start_ms=START_MS + 300_000, is_new=False)
    commands = [workload_command(workload_id=f"wl-{number}", gpus=24, duration_s=3600) for number in (1, 2)]
    started = [
        e.WorkloadRequest(event_id=f"{number}", workload_id=f"wl-{number}", action=WorkloadAction.REPORT_STARTED,
                          observed_at=START + timedelta(seconds=30), customer_id="cust-7")
        for number in (1, 2)
    ]  # fmt: skip
    simulation.restore(commands, started)
    slices(simulation, 60)
    assert simulation.scheduler.running == ("wl-1",)
    simulation.obey(workload_command(CommandKind.STOP_WORKLOAD, workload_id="wl-1", at=START + timedelta(seconds=300)))
    frames = [dict(part.readings)[GPU_TOPIC] for part in slices(simulation, 15)]
    held = pl.concat(frames).filter(pl.col("workload_id") == "wl-2")
    assert held.height == 24
    assert held["utilization_ratio"].min() > 0  # type: ignore[operator]


def test_a_workload_whose_own_code_fails_shows_why_and_is_not_asked_for_again() -> None:
    simulation = a_simulation()
    # One in fifty fails; the fate is that of workload and command.
    names = [f"wl-{number}" for number in range(160)]
    for name in names:
        simulation.scheduler.learn(
            e.WorkloadRequest(event_id=name, workload_id=name, action=WorkloadAction.SUBMIT, observed_at=START,
                              customer_id="cust-7", gpus=1, duration_s=600)
        )  # fmt: skip
    seen: dict[str, int] = {}
    failed: dict[str, str | None] = {}
    for first in range(0, 160, 40):
        for name in names[first : first + 40]:
            simulation.obey(workload_command(workload_id=name, gpus=1, duration_s=600, valid_s=86_400))
        for part in slices(simulation, 690):
            shown = dict(part.readings)[GPU_TOPIC].filter(pl.col("xid") != 0)
            seen |= dict(shown.select("workload_id", "xid").iter_rows())
            for request in emitted([part], "workloads.requests"):
                if request.action is WorkloadAction.REPORT_FAILED:
                    failed[request.workload_id] = request.reason
                assert not request.workload_id.endswith("-r1")
    assert 2 <= len(failed) <= 10
    words = {13: "graphics engine exception in its code (XID 13)", 31: "memory page fault in its code (XID 31)"}
    assert {name: words[xid] for name, xid in seen.items()} == {n: why for n, why in failed.items() if n in seen}
    assert len(seen) >= len(failed) - 1
