"""`hcp explain DECISION`: the decision from its snapshot once more, and whether it is the same bit for bit."""

from typing import Annotated, Any

import typer
from rich.table import Table

from hcp import console, settings
from schemas.catalog import Topic, topic
from schemas.codec import Codec, UndecodableError, to_json
from schemas.events import AllocationDecision, AllocationSnapshot, ResourceKind
from schemas.registry import Registry
from streams.agents.recovery import messages

_SNAPSHOTS = topic("allocations.snapshots")
_DECISIONS = topic("allocations.decisions")


def explain(
    decision: Annotated[str, typer.Argument(help="decision_id, or the beginning of one")],
    as_json: Annotated[bool, typer.Option("--json", help="Snapshot and decision as two lines of JSON.")] = False,
) -> None:
    """Show the inputs and reasons of a decision, and solve it again from the log; exit code 1 where it differs."""
    config = settings.load()
    codec = Codec(Registry(config.schema_registry_url))
    kafka = config.kafka_client_config()
    found: AllocationDecision | None = _newest(kafka, codec, _DECISIONS, decision)
    snapshot: AllocationSnapshot | None = None
    if found is not None:
        snapshot = _newest(kafka, codec, _SNAPSHOTS, found.decision_id)
    if found is None or snapshot is None:
        console.fail(f"no decision whose id starts with {decision!r} in {_DECISIONS.name}, or its snapshot is missing")
        raise typer.Exit(1)
    # OR-tools takes a second to import, which every other command would wait for.
    from streams.domain.allocation import solve  # noqa: PLC0415

    same = codec.encode(_DECISIONS, solve(snapshot)) == codec.encode(_DECISIONS, found)
    if as_json:
        console.out.print(to_json(snapshot), to_json(found), sep="\n", markup=False, soft_wrap=True)
    else:
        _show(snapshot, found)
    console.say("solved again from its snapshot: " + ("the same, bit for bit" if same else "NOT the same"))
    if not same:
        raise typer.Exit(1)


def _show(snapshot: AllocationSnapshot, decision: AllocationDecision) -> None:
    out = console.out
    out.print(
        f"{decision.facility_id}: {decision.interval_start.isoformat()} for {decision.interval_s} s", markup=False
    )
    out.print(f"decision  {decision.decision_id}", markup=False, soft_wrap=True)
    out.print(f"cause     {decision.cause} (event {decision.cause_event_id})", markup=False, soft_wrap=True)
    out.print(
        f"inputs    power {snapshot.power_cost_usd_mwh:.2f} USD/MWh all in, grid value"
        f" {snapshot.grid_value_usd_mwh:.2f} USD/MWh, cap {snapshot.cap_mw:.3f} MW, PUE {snapshot.pue_ratio:.2f}",
        markup=False,
        soft_wrap=True,
    )
    if snapshot.signal_id is not None:
        out.print(
            f"grid call {snapshot.signal_id}: limit {snapshot.limit_mw:.3f} MW, pays"
            f" {snapshot.payment_usd_mwh:.2f} USD/MWh",
            markup=False,
            soft_wrap=True,
        )
    out.print(
        f"result    {decision.objective_usd_h:.2f} USD/h ({decision.status}, bound {decision.bound_usd_h:.2f}, gap"
        f" {decision.gap_ratio:.2%}) by {decision.solver}",
        markup=False,
        soft_wrap=True,
    )
    out.print(
        f"load      {decision.load_mw:.3f} MW: mining {decision.mining_mw:.3f}, GPU {decision.gpu_mw:.3f};"
        f" left to the grid {decision.grid_mw:.3f}",
        markup=False,
        soft_wrap=True,
    )
    table = Table("group", "does", "MW", "margin USD/h", "why")
    for group in decision.allocations:
        busy = f"{group.gpus_busy} GPUs busy"
        does = busy if group.kind is ResourceKind.GPU else str(group.power_mode)
        table.add_row(group.resource_group_id, does, f"{group.power_mw:.3f}", f"{group.margin_usd_h:.2f}", group.reason)
    out.print(table)


def _newest(kafka: dict[str, Any], codec: Codec, source: Topic, wanted: str) -> Any:
    newest = None
    for message in messages(kafka, source):
        try:
            event = codec.decode(source, message.value())
        except UndecodableError:
            continue
        if event.decision_id.startswith(wanted):
            newest = event
    return newest
