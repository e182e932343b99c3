"""The agents on a real broker and registry: events in, decisions out."""

import os
import signal
import subprocess
import sys

import pytest

from schemas import events as e
from tests import streams_event as a
from tests.agents_world import ROOT, World

pytestmark = [
    pytest.mark.integration,
    pytest.mark.timeout(900),
    # The stack's servers outlive the object that started them, on purpose.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

NEEDED = (a.facility(), a.miners(), a.gpus(), a.customer(), a.tick(), a.gpu_tick(), a.network(), a.price())


def test_prices_and_windows_become_an_evaluation_and_a_decision(world: World) -> None:
    world.send(*NEEDED, a.window(15), a.window(15, partition=1))
    world.start()
    (decision,) = world.wait(lambda: world.events("allocations.decisions"), lambda seen: len(seen) == 1)
    (snapshot,) = world.events("allocations.snapshots")
    # Hashprice 0.0643720 less 2 % pool fee earns TURBO 170 TH/s for 4 kW: 100 USD/MWh more than the 40 of power.
    assert (decision.facility_id, decision.interval_start, decision.interval_s) == ("Texas-1", a.at(0), 300)
    assert (decision.snapshot_id, decision.decided_at) == (snapshot.event_id, a.at(0))
    assert decision.power_cost_usd_mwh == 40.0
    assert [(g.resource_group_id, g.power_mode) for g in decision.allocations] == [
        ("tx1-asic", e.PowerMode.TURBO),
        ("tx1-gpu", None),
    ]
    world.send(a.tick(60), a.price(60, 31.0), a.window(75), a.window(75, partition=1))
    evaluations = world.wait(
        lambda: [x for x in world.events("economics.profitability") if x.lmp_usd_mwh == 31.0],
        lambda seen: len(seen) >= 1,
    )
    # 300 kW of miners, 16 GPUs that never reported at 100 W of standby, and 10 % of cooling.
    assert [evaluations[0].power_cost_usd_mwh, evaluations[0].load_mw] == pytest.approx([41.0, 0.33176])
    assert [(f.name, f.rule) for f in evaluations[0].fallbacks] == [
        ("fleet.windows/tx1-gpu", e.FallbackRule.IDLE_POWER)
    ]
    assert {r.name for r in evaluations[0].inputs if not r.is_stale} == {
        "fleet.windows/tx1-asic",
        "grid.prices/HB_WEST",
        "market.ticks/BTC-USD",
        "market.ticks/H100-HOUR-USD",
        "network.stats/bitcoin",
    }
    assert world.end(signal.SIGTERM) == 0


def test_no_decision_before_every_input_was_seen(world: World) -> None:
    world.send(*(event for event in NEEDED if event != a.network()), a.price(300))
    world.start()
    world.send(a.submit())
    world.wait(lambda: world.events("workloads.transitions"), lambda seen: len(seen) == 2)
    assert world.events("allocations.decisions") == []
    world.send(a.network(310))
    (decision,) = world.wait(lambda: world.events("allocations.decisions"), lambda seen: len(seen) == 1)
    assert decision.cause == "first complete inputs: network.stats/bitcoin came"


def test_grid_signal_is_dispatched_at_once_and_then_planned_for(world: World) -> None:
    world.send(*NEEDED)
    world.start()
    world.wait(lambda: world.events("allocations.decisions"), lambda seen: len(seen) == 1)
    world.send(a.signal(10, limit_mw=0.1))
    decisions = world.wait(lambda: world.events("allocations.decisions"), lambda seen: len(seen) == 2)
    assert decisions[1].cause_event_id == a.signal(10).event_id
    assert decisions[1].load_mw <= 0.1
    assert [c.power_mode for c in world.events("allocations.commands")] == [e.PowerMode.TURBO, e.PowerMode.OFF]
    world.send(a.tick(20))
    planned = world.wait(lambda: world.events("allocations.decisions"), lambda seen: len(seen) == 3)[2]
    assert (planned.cause_event_id, planned.decided_at) == (a.signal(10).event_id, a.at(15))
    assert [d.method for d in decisions[:2]] + [planned.method] == ["PLAN", "DISPATCH", "PLAN"]


def test_workload_goes_through_its_life_and_illegal_steps_are_audited(world: World) -> None:
    def states(workload_id: str) -> list[str]:
        return [w.to_state for w in world.events("workloads.transitions") if w.workload_id == workload_id]

    def wait_for(workload_id: str, *wanted: str) -> None:
        world.wait(lambda: states(workload_id), lambda seen: seen == list(wanted))

    actions = e.WorkloadAction
    world.send(*NEEDED)
    world.start()
    world.wait(lambda: world.events("allocations.decisions"), lambda seen: len(seen) == 1)
    names = ("done", "lost", "gone")
    world.send(
        *(a.submit(name, 10, gpus=4) for name in names),
        a.submit("huge", 10, gpus=17),
        a.submit("odd", 10, customer_id="x"),
    )
    for name in names:
        wait_for(name, "REQUESTED", "QUEUED")
    world.send(a.report(actions.REPORT_STARTED, "done", 20))  # not scheduled yet
    world.wait(lambda: world.events("audit.events"), lambda seen: len(seen) == 3)
    world.send(a.price(300))
    for name in names:
        wait_for(name, "REQUESTED", "QUEUED", "SCHEDULED")
    world.send(*(a.report(actions.REPORT_STARTED, name, 310) for name in names))
    for name in names:
        wait_for(name, "REQUESTED", "QUEUED", "SCHEDULED", "RUNNING")
    world.send(
        a.report(actions.REPORT_FAILED, "lost", 320, reason="GPU fell off the bus"),
        a.report(actions.CANCEL, "gone", 330),
    )
    begun = ("REQUESTED", "QUEUED", "SCHEDULED", "RUNNING")
    wait_for("lost", *begun, "FAILED")
    wait_for("gone", *begun, "CANCELLED")
    world.send(a.signal(340, limit_mw=0.0))
    wait_for("done", *begun, "PREEMPTED", "QUEUED")
    world.send(a.signal(350, status=e.SignalStatus.ENDED))
    wait_for("done", *begun, "PREEMPTED", "QUEUED", "SCHEDULED")
    world.send(a.report(actions.REPORT_STARTED, "done", 360), a.report(actions.REPORT_COMPLETED, "done", 3930))
    wait_for("done", *begun, "PREEMPTED", "QUEUED", "SCHEDULED", "RUNNING", "COMPLETED")
    last = [w for w in world.events("workloads.transitions") if w.workload_id == "done"]
    # Ran from 310 s to 340 s before it was stopped.
    assert [w.progress_s for w in last[-5:]] == [30, 30, 30, 30, 3600]
    assert [w.version for w in last] == list(range(1, len(last) + 1))
    assert sorted((x.subject, x.outcome, x.reason) for x in world.events("audit.events")) == [
        (
            "workload/done",
            "REFUSED",
            "action: REPORT_STARTED needs a step to RUNNING, but state QUEUED allows CANCELLED, SCHEDULED",
        ),
        ("workload/huge", "REFUSED", "gpus: at most 16 in one group there, got 17"),
        ("workload/odd", "REFUSED", "customer_id: must be a registered customer, got 'x'"),
    ]
    commands = [(c.kind, c.workload_id) for c in world.events("allocations.commands") if c.workload_id]
    assert commands.count(("STOP_WORKLOAD", "gone")) == 1
    assert commands.count(("STOP_WORKLOAD", "done")) == 1
    assert commands.count(("START_WORKLOAD", "done")) == 2


def test_a_workload_whose_start_is_never_reported_is_stopped_and_started_anew(world: World) -> None:
    def steps() -> list[tuple[str, float]]:
        found = [w for w in world.events("workloads.transitions") if w.workload_id == "wl-1"]
        return [(w.to_state, (w.occurred_at - a.at(0)).total_seconds()) for w in found]

    world.send(*NEEDED, a.submit("wl-1", 10))
    world.start()
    world.wait(steps, lambda seen: len(seen) == 2)
    world.send(a.price(300))
    world.wait(steps, lambda seen: len(seen) == 3)
    # Time alone proves nothing: a report may be on its way. Later requests do, as reports keep their order.
    world.send(a.price(1_500))
    world.wait(lambda: world.events("allocations.decisions"), lambda seen: seen[-1].decided_at == a.at(1_500))
    assert len(steps()) == 3
    world.send(a.submit("wl-2", 1_600))
    world.wait(lambda: [w.workload_id for w in world.events("workloads.transitions")], lambda seen: "wl-2" in seen)
    world.send(a.price(1_800))
    again = [("PREEMPTED", 1_800), ("QUEUED", 1_800), ("SCHEDULED", 1_800)]
    world.wait(steps, lambda seen: seen[3:] == again)
    commands = [c.kind for c in world.events("allocations.commands") if c.workload_id == "wl-1"]
    assert commands == ["START_WORKLOAD", "STOP_WORKLOAD", "START_WORKLOAD"]


def test_bad_message_is_dead_lettered_and_the_next_is_handled(world: World) -> None:
    world.send(*NEEDED)
    world.send_raw("market.ticks", b"junk", [("trace", b"7")])
    world.send(a.price(200, float("nan")), a.signal(5, facility_id="Mars-1"), a.tick(300), a.price(300))
    world.start()
    world.wait(lambda: world.events("allocations.decisions"), lambda seen: len(seen) == 3)
    # The owner of the first partition says what no one can read, and may not be the one that decides.
    ((value, headers),) = world.wait(lambda: world.dead_letters("market.ticks"), lambda seen: len(seen) >= 1)
    assert value == b"junk"
    assert headers["trace"] == b"7"
    assert headers["__connect.errors.stage"] == b"VALUE_CONVERTER"
    assert headers["__connect.errors.exception.message"] == b"no Confluent header: the value starts with b'junk'"
    ((_, headers),) = world.wait(lambda: world.dead_letters("grid.prices"), lambda seen: len(seen) >= 1)
    assert headers["__connect.errors.exception.message"] == b"price_usd_mwh: must be a finite number, got nan"
    ((_, headers),) = world.wait(lambda: world.dead_letters("grid.signals"), lambda seen: len(seen) >= 1)
    assert headers["__connect.errors.exception.message"] == b"facility_id: 'Mars-1' is not registered"


def test_explain_solves_a_decision_again_bit_for_bit(world: World) -> None:
    world.send(*NEEDED)
    world.start()
    (decision,) = world.wait(lambda: world.events("allocations.decisions"), lambda seen: len(seen) == 1)
    found = subprocess.run(
        [sys.executable, "-m", "hcp", "explain", decision.decision_id],
        env={**os.environ, **world.environment},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "the same, bit for bit" in found.stderr
    assert "TURBO: earns" in " ".join(found.stdout.split())
