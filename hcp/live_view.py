"""The live terminal view of `hcp demo`: a pure rendering of what the tail and the workers' metrics say."""

from collections.abc import Mapping
from dataclasses import dataclass

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from hcp.stream_tail import Seen
from hcp.worker_metrics import WorkerMetrics


@dataclass(frozen=True, slots=True)
class Frame:
    """All that one picture shows. `topics` holds (events in the log, events a second) by topic."""

    elapsed_s: float
    topics: Mapping[str, tuple[int, float]]
    seen: Seen
    workers: Mapping[str, WorkerMetrics]
    deaths: Mapping[str, int]


def render(frame: Frame) -> RenderableType:
    """Returns the picture."""
    beside = Table.grid(padding=(0, 3))
    beside.add_row(_topics(frame), Group(_workers(frame), Text(), _rows(frame)))
    return Group(_headline(frame), _facilities(frame), _decisions(frame), beside)


def line(frame: Frame) -> str:
    """Returns the picture as one line, for output that is no terminal."""
    rate = sum(per_second for _, per_second in frame.topics.values())
    rows = sum(sum((m.rows_written or {}).values()) for m in frame.workers.values())
    lag = sum(m.lag_events for m in frame.workers.values())
    first = "none yet" if frame.seen.first_decision_s is None else f"first after {frame.seen.first_decision_s:.0f} s"
    return f"{frame.elapsed_s:4.0f} s  {rate:8.0f} events/s  lag {lag}  rows written {rows}  decisions: {first}"


def _headline(frame: Frame) -> Text:
    seen = frame.seen
    times = [decision.decided_at for decision in seen.latest_decision.values()]
    ticks = "   ".join(f"{name} {tick.price_usd:,.2f}" for name, tick in sorted(seen.ticks.items()))
    event_time = f"event time {max(times):%Y-%m-%d %H:%M:%S}Z" if times else "waiting for the first decision"
    text = Text(f"{frame.elapsed_s:.0f} s   {event_time}   {ticks}", style="bold")
    return text if seen.error is None else text.append(f"   {seen.error}", style="red")


def _facilities(frame: Frame) -> Table:
    table = Table(title="Facilities: where each megawatt goes", title_justify="left", expand=True)
    for column in ("facility", "LMP $/MWh", "power $/MWh", "mining break-even", "GPU value", "grid value"):
        table.add_column(column, justify="left" if column == "facility" else "right")
    for column in ("mining MW", "GPU MW", "grid MW", "margin $/h", "gap"):
        table.add_column(column, justify="right")
    for name, economics in sorted(frame.seen.profitability.items()):
        decision = frame.seen.latest_decision.get(name)
        mining = [g.break_even_usd_mwh for g in economics.groups if g.kind == "ASIC"]
        gpus = [g.value_usd_mwh for g in economics.groups if g.kind == "GPU"]
        table.add_row(
            name,
            f"{economics.lmp_usd_mwh:.2f}",
            f"{economics.power_cost_usd_mwh:.2f}",
            f"{max(mining):.2f}" if mining else "-",
            f"{max(gpus):.2f}" if gpus else "-",
            f"{economics.grid_value_usd_mwh:.2f}",
            *(
                (
                    f"{decision.mining_mw:.3f}",
                    f"{decision.gpu_mw:.3f}",
                    f"{decision.grid_mw:.3f}",
                    f"{decision.objective_usd_h:.2f}",
                    f"{decision.gap_ratio:.4%}",
                )
                if decision
                else ("-",) * 5
            ),
        )
    return table


def _decisions(frame: Frame) -> Table:
    table = Table(title="Last decisions", title_justify="left", expand=True)
    for column in ("decided at", "facility", "cause", "reason (largest group)"):
        table.add_column(column, no_wrap=True, overflow="ellipsis")
    for decision in list(frame.seen.decisions)[:5]:
        largest = max(decision.allocations, key=lambda a: (a.power_mw, a.resource_group_id), default=None)
        reason = f"{largest.resource_group_id}: {largest.reason}" if largest else "-"
        table.add_row(f"{decision.decided_at:%H:%M:%S}", decision.facility_id, decision.cause, reason)
    return table


def _topics(frame: Frame) -> Table:
    table = Table(title="Topics", title_justify="left")
    table.add_column("topic")
    table.add_column("events/s", justify="right")
    table.add_column("in the log", justify="right")
    for name, (total, rate) in frame.topics.items():
        table.add_row(name, f"{rate:,.0f}", f"{total:,}")
    return table


def _workers(frame: Frame) -> Table:
    table = Table(title="Workers", title_justify="left")
    for column in ("worker", "state", "lag", "dead letters", "restarts"):
        table.add_column(column, justify="left" if column in {"worker", "state"} else "right")
    for name, metrics in frame.workers.items():
        state = Text("up", style="green") if metrics.answers else Text("starting", style="yellow")
        restarts = str(frame.deaths.get(name, 0))
        table.add_row(name, state, f"{metrics.lag_events:,}", str(metrics.dead_letters), restarts)
    return table


def _rows(frame: Frame) -> Table:
    table = Table(title="Rows written since the workers started", title_justify="left")
    table.add_column("table")
    table.add_column("rows", justify="right")
    for metrics in frame.workers.values():
        for name, rows in sorted((metrics.rows_written or {}).items()):
            table.add_row(name, f"{rows:,}")
    return table
