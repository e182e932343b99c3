"""What has to change on the devices for a decision: set-points, only where they differ from what holds already.

A command may be carried out within the length of an interval, then it is not: the next decisions cover what follows. A
mode holds for `HOLD`, then the devices take `FALLBACK` by themselves: a site that has lost contact must
not go on drawing power that nobody decides on. A mode that stays is commanded again in time.
"""

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

from schemas.events import (
    AllocationCommand,
    AllocationDecision,
    AllocationSnapshot,
    CommandKind,
    GroupAllocation,
    GroupInput,
    PowerMode,
    ResourceKind,
    WorkloadInput,
    WorkloadTransition,
)
from streams.domain import identity, workload
from streams.domain.workload import ON_GPUS, WorkloadBook

# A stop that follows from no decision, but from a cancellation or a lost start, holds this long.
STOP_EXPIRY = timedelta(minutes=15)
HOLD = timedelta(minutes=30)
FALLBACK = PowerMode.OFF


def hold_until(snapshot: AllocationSnapshot, group: GroupInput, mode: PowerMode) -> datetime:
    """Returns until when an ASIC group holds the mode decided: anew where it changes or where it would end too soon."""
    end = snapshot.interval_start + timedelta(seconds=snapshot.interval_s)
    spare = timedelta(seconds=snapshot.interval_s)
    if mode is not group.current_mode or group.hold_until is None or group.hold_until < end + spare:
        return end + HOLD
    return group.hold_until


def commands(snapshot: AllocationSnapshot, decision: AllocationDecision) -> tuple[AllocationCommand, ...]:
    """Returns the set-points that turn what was into what was decided: stops first, then modes, then starts."""
    current = {g.resource_group_id: (g.current_mode, g.hold_until) for g in snapshot.groups}
    placed = _placed(decision)
    stops = [
        _of(decision, w.resource_group_id or "", CommandKind.STOP_WORKLOAD, workload_id=w.workload_id, gpus=w.gpus)
        for w in snapshot.workloads
        if w.state in ON_GPUS and w.workload_id not in placed
    ]
    modes = [
        _set_mode(decision, group)
        for group in decision.allocations
        if group.kind is ResourceKind.ASIC
        and (group.power_mode, group.hold_until) != current.get(group.resource_group_id)
    ]
    starts = [
        _of(
            decision,
            placed[w.workload_id],
            CommandKind.START_WORKLOAD,
            workload_id=w.workload_id,
            gpus=w.gpus,
            duration_s=w.remaining_s,
        )
        for w in _admitted(snapshot, placed)
    ]
    return (*stops, *modes, *starts)


def steps(
    snapshot: AllocationSnapshot, decision: AllocationDecision, book: WorkloadBook
) -> tuple[WorkloadTransition, ...]:
    """Returns the steps of the workloads that a decision admits or drops. `book` is that of the snapshot."""
    placed = _placed(decision)
    found: list[WorkloadTransition] = []
    for w in snapshot.workloads:
        current = book.newest[w.workload_id]
        if w.state in ON_GPUS and w.workload_id not in placed:
            reason = f"stopped by a decision: {decision.cause}"
            found.extend(workload.preempted(current, decision.decision_id, decision.decided_at, reason))
        elif w.state not in ON_GPUS and w.workload_id in placed:
            group = placed[w.workload_id]
            found.extend(workload.scheduled(current, group, decision.decision_id, decision.decided_at))
    return tuple(found)


def stop(before: WorkloadTransition, step: WorkloadTransition) -> AllocationCommand:
    """Returns the stop of a workload that was on GPUs before a step that no decision made.

    It names the decision that placed the workload where that is known, else the step.
    """
    group = before.resource_group_id or ""
    return AllocationCommand(
        event_id=identity.command_event_id(step.event_id, group, CommandKind.STOP_WORKLOAD, before.workload_id),
        decision_id=before.decision_id or step.event_id,
        facility_id=before.facility_id or "",
        resource_group_id=group,
        kind=CommandKind.STOP_WORKLOAD,
        workload_id=before.workload_id,
        gpus=before.gpus,
        issued_at=step.occurred_at,
        expires_at=step.occurred_at + STOP_EXPIRY,
    )


def _placed(decision: AllocationDecision) -> dict[str, str]:
    return {name: group.resource_group_id for group in decision.allocations for name in group.workload_ids}


def _admitted(snapshot: AllocationSnapshot, placed: dict[str, str]) -> Iterable[WorkloadInput]:
    return (w for w in snapshot.workloads if w.state not in ON_GPUS and w.workload_id in placed)


def _set_mode(decision: AllocationDecision, group: GroupAllocation) -> AllocationCommand:
    found = _of(decision, group.resource_group_id, CommandKind.SET_POWER_MODE)
    return replace(found, power_mode=group.power_mode, hold_until=group.hold_until, fallback_mode=FALLBACK)


def _of(
    decision: AllocationDecision,
    group: str,
    kind: CommandKind,
    *,
    workload_id: str | None = None,
    gpus: int = 0,
    duration_s: int = 0,
) -> AllocationCommand:
    return AllocationCommand(
        event_id=identity.command_event_id(decision.decision_id, group, kind, workload_id),
        decision_id=decision.decision_id,
        facility_id=decision.facility_id,
        resource_group_id=group,
        kind=kind,
        workload_id=workload_id,
        gpus=gpus,
        duration_s=duration_s,
        issued_at=decision.decided_at,
        expires_at=decision.decided_at + timedelta(seconds=decision.interval_s),
    )
