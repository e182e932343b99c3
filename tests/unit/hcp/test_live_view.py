"""The live view says what it is given."""

import io
from datetime import UTC, datetime

from rich.console import Console

from hcp.live_view import Frame, line, render
from hcp.stream_tail import Seen
from hcp.worker_metrics import WorkerMetrics
from schemas.events import AllocationDecision, GroupAllocation, GroupEconomics, PowerMode, Profitability, ResourceKind
from tests.streams_event import tick

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def decision() -> AllocationDecision:
    group = GroupAllocation(
        resource_group_id="tx1-asic",
        kind=ResourceKind.ASIC,
        power_mw=0.33,
        gpus_busy=0,
        workload_ids=[],
        margin_usd_h=20.0,
        reason="NORMAL: earns 78.2 $/MWh",
        power_mode=PowerMode.NORMAL,
    )
    return AllocationDecision(
        event_id="d-1",
        decision_id="d-1",
        facility_id="Texas-1",
        decided_at=NOON,
        cause_event_id="c",
        cause="LMP of HB_WEST",
        snapshot_id="s",
        interval_start=NOON,
        interval_s=300,
        solver="CP-SAT",
        status="OPTIMAL",
        objective_usd_h=20.0,
        bound_usd_h=20.0,
        gap_ratio=0.0,
        load_mw=0.33,
        mining_mw=0.33,
        gpu_mw=0.0,
        grid_mw=0.67,
        power_cost_usd_mwh=40.0,
        allocations=[group],
    )


def profitability() -> Profitability:
    group = GroupEconomics(
        resource_group_id="tx1-asic",
        kind=ResourceKind.ASIC,
        load_mw=0.3,
        value_usd_mwh=80.0,
        break_even_usd_mwh=78.25,
        margin_usd_mwh=40.0,
    )
    return Profitability(
        event_id="p-1",
        facility_id="Texas-1",
        evaluated_at=NOON,
        cause_event_id="c",
        interval_start=NOON,
        lmp_usd_mwh=30.5,
        power_cost_usd_mwh=40.5,
        btc_price_usd=100_000.0,
        hashprice_usd_ths_day=0.05,
        gpu_hour_price_usd=2.0,
        load_mw=0.3,
        grid_value_usd_mwh=12.0,
        groups=[group],
        inputs=[],
    )


def frame() -> Frame:
    seen = Seen(first_decision_s=31.4)
    seen.decisions.appendleft(decision())
    seen.latest_decision["Texas-1"] = decision()
    seen.profitability["Texas-1"] = profitability()
    seen.ticks["BTC-USD"] = tick()
    rollup = WorkerMetrics(answers=True, lag_events=1234)
    tables = WorkerMetrics(answers=True, lag_events=6, rows_written={"metrics": 5_000})
    return Frame(
        elapsed_s=40.0,
        topics={"telemetry.asic": (80_000, 8_000.4)},
        seen=seen,
        workers={"rollup": rollup, "project-timescale": tables, "agents": WorkerMetrics(answers=False)},
        deaths={"rollup": 2},
    )


def shown() -> str:
    out = io.StringIO()
    Console(width=200, file=out).print(render(frame()))
    return out.getvalue()


def test_the_picture_holds_what_a_reader_asks_for() -> None:
    text = shown()
    for wanted in (
        "BTC-USD 100,000.00",
        "30.50",
        "78.25",
        "0.330",
        "0.670",
        "LMP of HB_WEST",
        "tx1-asic: NORMAL: earns",
    ):
        assert wanted in text, wanted
    for wanted in ("telemetry.asic", "8,000", "80,000", "1,234", "starting", "metrics", "5,000"):
        assert wanted in text, wanted


def test_the_line_adds_up_the_workers() -> None:
    assert line(frame()) == "  40 s      8000 events/s  lag 1240  rows written 5000  decisions: first after 31 s"


def test_before_the_first_decision_the_picture_says_so() -> None:
    empty = Frame(elapsed_s=1.0, topics={}, seen=Seen(), workers={}, deaths={})
    assert "none yet" in line(empty)
