"""`hcp explain` and `hcp whatif`: a decision solved again from its snapshot, as it was and as it might have been."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Annotated, Any

import typer
from rich.progress import Progress
from rich.table import Table

from hcp import console, settings
from schemas.catalog import Topic, topic
from schemas.codec import Codec, UndecodableError, to_json
from schemas.events import AllocationDecision, AllocationSnapshot, PowerMode, ResourceKind
from schemas.registry import Registry
from streams.agents.recovery import messages
from streams.domain.horizon import PriceSource

_SNAPSHOTS = topic("allocations.snapshots")
_DECISIONS = topic("allocations.decisions")
# OR-tools takes a second to import, which every other command would wait for: what solves is imported where it is used.
_NEWEST = "at the newest price"


def explain(
    decision: Annotated[str, typer.Argument(help="decision_id, or the beginning of one", show_default=False)] = "",
    every: Annotated[bool, typer.Option("--all", help="Check every decision of the log; show only a count.")] = False,
    last: Annotated[int, typer.Option("--last", help="With --all: only so many of the newest.", min=1)] = 10**9,
    as_json: Annotated[bool, typer.Option("--json", help="Snapshot and decision as two lines of JSON.")] = False,
) -> None:
    """Show the inputs and reasons of a decision, and solve it again from the log; exit code 1 where it differs.

    Below the groups: at which power price (all in, as in `inputs`) and BTC price each would first do something else,
    and what its other modes would have cost.
    """
    if every == bool(decision):
        raise typer.BadParameter("give a decision or --all")
    codec, kafka = _log()
    if every:
        _check_all(codec, kafka, last)
        return
    snapshot, found = _one(codec, kafka, decision)
    same = _is_same(codec, snapshot, found)
    if as_json:
        console.out.print(to_json(snapshot), to_json(found), sep="\n", markup=False, soft_wrap=True)
    else:
        _show(snapshot, found)
        _show_flips(snapshot, found)
    console.say("solved again from its snapshot: " + ("the same, bit for bit" if same else "NOT the same"))
    if not same:
        raise typer.Exit(1)


def whatif(
    decision: Annotated[str, typer.Argument(help="decision_id, or the beginning of one")],
    changes: Annotated[
        list[str] | None, typer.Option("--set", help="PATH=VALUE, such as grid.lmp.HB_WEST=300; may be given again.")
    ] = None,
) -> None:
    """Solve a decision again with some of its inputs changed, and show what differs; without --set, what can be set.

    The paths: grid.lmp.POINT, grid.power_cost_usd_mwh, grid.limit_mw and .payment_usd_mwh; market.BTC-USD and
    .hashprice_usd_ths_day; facility.NAME.cap_mw, .pue_ratio, .energy_adder_usd_mwh, .transmission_usd_mwh and
    .transformer.ID.cap_mw; capacity.PRODUCT.N.capacity_mw, .price_usd_mw_h and .penalty_usd_mwh;
    workload.ID.revenue_usd_h.
    """
    from streams.domain.allocation import solve  # noqa: PLC0415
    from streams.domain.whatif import assignment, changed, differences  # noqa: PLC0415
    from streams.domain.whatif import settings as settable  # noqa: PLC0415

    wanted = dict(assignment(text) for text in changes or ())
    codec, kafka = _log()
    snapshot, _ = _one(codec, kafka, decision)
    if not wanted:
        table = Table("path", "value")
        for path, setting in sorted(settable(snapshot).items()):
            table.add_row(path, f"{setting.value:g}")
        console.out.print(table)
        return
    # Both sides by this version's solver: a difference is one of the inputs only.
    rows = differences(solve(snapshot), solve(changed(snapshot, wanted)))
    if not rows:
        console.say("nothing would have been different")
        return
    table = Table("what of", "", "as it was", "with the change")
    for row in rows:
        table.add_row(row.subject, row.what, row.before, row.after)
    console.out.print(table)


def _log() -> tuple[Codec, dict[str, Any]]:
    config = settings.load()
    return Codec(Registry(config.schema_registry_url)), config.kafka_client_config()


def _one(codec: Codec, kafka: dict[str, Any], wanted: str) -> tuple[AllocationSnapshot, AllocationDecision]:
    found: AllocationDecision | None = None
    for event in _events(codec, kafka, _DECISIONS):
        if event.decision_id.startswith(wanted):
            found = event
    snapshot: AllocationSnapshot | None = None
    if found is not None:
        for event in _events(codec, kafka, _SNAPSHOTS):
            if event.decision_id == found.decision_id:
                snapshot = event
    if found is None or snapshot is None:
        console.fail(f"no decision whose id starts with {wanted!r} in {_DECISIONS.name}, or its snapshot is missing")
        raise typer.Exit(1)
    return snapshot, found


def _events(codec: Codec, kafka: dict[str, Any], source: Topic) -> Iterator[Any]:
    for message in messages(kafka, source):
        try:
            yield codec.decode(source, message.value())
        except UndecodableError:
            continue


def _is_same(codec: Codec, snapshot: AllocationSnapshot, decision: AllocationDecision) -> bool:
    from streams.domain.allocation import solve  # noqa: PLC0415

    return codec.encode(_DECISIONS, solve(snapshot)) == codec.encode(_DECISIONS, decision)


def _check_all(codec: Codec, kafka: dict[str, Any], last: int) -> None:
    """Solves all of them again; ends with exit code 1 where one differs or has lost its snapshot."""
    events: list[AllocationDecision] = list(_events(codec, kafka, _DECISIONS))
    decisions = sorted(events, key=lambda d: (d.decided_at, d.decision_id))[-last:]
    snapshots: dict[str, AllocationSnapshot] = {s.decision_id: s for s in _events(codec, kafka, _SNAPSHOTS)}
    bad: list[str] = []
    with Progress(console=console.err, transient=True) as progress:
        for decision in progress.track(decisions, description="solving again"):
            snapshot = snapshots.get(decision.decision_id)
            if snapshot is None:
                bad.append(f"{decision.decision_id}: its snapshot is not in the log")
            elif not _is_same(codec, snapshot, decision):
                bad.append(f"{decision.decision_id}: NOT the same (decided by {decision.solver})")
    for line in bad:
        console.fail(line)
    console.out.print(f"{len(decisions) - len(bad)} of {len(decisions)} decisions the same, bit for bit", markup=False)
    if bad:
        raise typer.Exit(1)


def _show(snapshot: AllocationSnapshot, decision: AllocationDecision) -> None:
    inputs = (
        f"power {snapshot.power_cost_usd_mwh:.2f} USD/MWh all in, grid value {snapshot.grid_value_usd_mwh:.2f} USD/MWh,"
        f" cap {snapshot.cap_mw:.3f} MW, PUE {snapshot.pue_ratio:.2f}"
    )
    if snapshot.transmission_usd_mwh > 0:
        inputs += f", transmission {snapshot.transmission_usd_mwh:.2f} USD/MWh of it"
    if snapshot.risk_weight > 0:
        inputs += f", {snapshot.risk_weight:.0%} weight on the worst {snapshot.risk_tail:.0%} of prices"
    if snapshot.btc_price_usd is not None:
        inputs += f", BTC {snapshot.btc_price_usd:.2f} USD"
    result = (
        f"{decision.objective_usd_h:.2f} USD/h ({decision.status}, bound {decision.bound_usd_h:.2f},"
        f" gap {decision.gap_ratio:.2%}) by {decision.solver}"
    )
    load = (
        f"{decision.load_mw:.3f} MW: mining {decision.mining_mw:.3f}, GPU {decision.gpu_mw:.3f};"
        f" left to the grid {decision.grid_mw:.3f}"
    )
    lines = [
        f"{decision.facility_id}: {decision.interval_start.isoformat()} for {decision.interval_s} s",
        f"decision  {decision.decision_id}",
        f"cause     {decision.cause} (event {decision.cause_event_id})",
        f"method    {_method(snapshot, decision)}",
        f"inputs    {inputs}",
    ]
    if len(snapshot.horizon) > 1:
        lines.append(f"ahead     {_ahead(snapshot)}")
    if snapshot.signal_id is not None:
        lines.append(
            f"call      {snapshot.signal_id}: grid limit {snapshot.limit_mw:.3f} MW, pays"
            f" {snapshot.payment_usd_mwh:.2f} USD/MWh"
        )
    lines += [
        f"award     {a.product}: {a.capacity_mw:.3f} MW at {a.price_usd_mw_h:.2f} USD an hour each"
        for a in snapshot.capacity_awards
        if a.starts_at <= snapshot.interval_start < a.ends_at
    ]
    lines += [f"result    {result}", f"load      {load}"]
    lines += [
        f"limit     {b.rule} {b.subject}: one {_way(b.rule)} {b.unit} is worth {b.usd_h:.2f} USD/h"
        for b in decision.binding_limits
        if b.interval == 0
    ]
    lines += [
        f"given up  {g.rule} {g.subject}: {g.amount:.3f} {g.unit}, {g.penalty_usd:.2f} USD"
        for g in decision.given_up
        if g.interval == 0
    ]
    _print(lines)
    table = Table("group", "does", "MW", "margin USD/h", "why")
    for group in decision.allocations:
        busy = f"{group.gpus_busy} GPUs busy"
        does = busy if group.kind is ResourceKind.GPU else str(group.power_mode)
        table.add_row(group.resource_group_id, does, f"{group.power_mw:.3f}", f"{group.margin_usd_h:.2f}", group.reason)
    console.out.print(table)


def _method(snapshot: AllocationSnapshot, decision: AllocationDecision) -> str:
    if snapshot.horizon:
        return f"{decision.method}: {len(snapshot.horizon)} intervals, the first of them decided"
    ahead = ", ".join(f"{cost:.2f}" for cost in snapshot.ahead_usd_mwh)
    return f"{decision.method}: the interval alone" + (f", the next ones at {ahead} USD/MWh" if ahead else "")


def _ahead(snapshot: AllocationSnapshot) -> str:
    """How the intervals after the decided one are priced."""
    forecast = snapshot.forecast_event_id
    by: dict[str, str] = {
        PriceSource.DAY_AHEAD: "by the day-ahead auction",
        # Before there were forecasts the newest price went by that name.
        PriceSource.FORECAST: _NEWEST if forecast is None else f"by forecast {forecast}",
    }
    counts = Counter(by.get(interval.source, _NEWEST) for interval in snapshot.horizon[1:])
    return ", ".join(f"{count} intervals {how}" for how, count in counts.items())


def _way(rule: str) -> str:
    """Which way a limit gives: a floor by being lower."""
    return "less" if rule in {"minimum load", "capacity award"} else "more"


def _show_flips(snapshot: AllocationSnapshot, decision: AllocationDecision) -> None:
    from streams.domain.flip import Flip, alternatives, btc_flips, power_flips  # noqa: PLC0415

    def told(flip: Flip | None) -> str:
        return "never" if flip is None else f"{flip.does} at {flip.price:.2f}"

    power, btc = power_flips(snapshot, decision), btc_flips(snapshot, decision)
    losses: dict[str, list[tuple[PowerMode, float]]] = {}
    for other in alternatives(snapshot, decision):
        losses.setdefault(other.resource_group_id, []).append((other.mode, other.loss_usd_h))
    table = Table("group", "power USD/MWh", "BTC USD", "other modes, USD/h less")
    for group in decision.allocations:
        name = group.resource_group_id
        less = ", ".join(f"{mode} {loss:.2f}" for mode, loss in losses.get(name, ()))
        table.add_row(name, told(power.get(name)), told(btc.get(name)) if snapshot.btc_price_usd else "not known", less)
    console.out.print(table)


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        console.out.print(line, markup=False, soft_wrap=True)
