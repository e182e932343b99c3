"""The allocation agent: takes each decision that is due, off the event loop, and appends all of it in one transaction.

A snapshot, its decision, the commands and the steps of the workloads are in the log together or not at all. So a
successor that finds no decision for an interval makes it, and one that finds it goes on behind it: none is missing and
none is made twice, wherever the worker is killed.

An input that comes during a solve may belong into it or before it: a price or call stamped no later than the decision.
A worker that reads the same log afterwards would regard it, so the solve is cancelled and the decision taken anew.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from schemas import metric
from schemas.catalog import Topic, topic
from schemas.events import AllocationDecision, AllocationSnapshot, WorkloadTransition
from streams.agents.desk import Desk, Solving
from streams.agents.event_log import EventLog
from streams.agents.solver import SolverPool
from streams.domain import command, trigger, workload
from streams.domain.market_state import MissingInputs
from streams.domain.standing import Standing
from streams.domain.trigger import Due

log = logging.getLogger(__name__)

_SNAPSHOTS = topic("allocations.snapshots")
_DECISIONS = topic("allocations.decisions")
_COMMANDS = topic("allocations.commands")
_TRANSITIONS = topic("workloads.transitions")


async def decide_due(
    desk: Desk,
    facility_id: str,
    event_log: EventLog,
    solvers: SolverPool,
    *,
    refresh: Callable[[], Awaitable[None]],
    should_stop: Callable[[], bool],
) -> None:
    """Takes every decision of a facility that is due now, in order."""
    if not desk.is_caught_up:
        return
    while not should_stop():
        due = trigger.next_due(desk.market, facility_id, desk.progress.get(facility_id), desk.dispatch)
        if due is None:
            _tell_missing(desk, facility_id)
            break
        if facility_id not in desk.progress:
            await refresh()  # the first decision is to know all groups that are registered by then
        await _decide(desk, due, event_log, solvers)
    desk.forget_past()


async def _decide(desk: Desk, due: Due, event_log: EventLog, solvers: SolverPool) -> None:
    name = due.facility_id
    # No workload may change its state between the snapshot and the steps that follow from it.
    async with desk.deciding[name]:
        await _take_back_lost_starts(desk, due, event_log)
        taken = desk.snapshot(due)
        if isinstance(taken, MissingInputs):
            log.warning("no decision for %s at %s: missing %s", name, due.interval_start, ", ".join(taken.names))
            desk.progress[name] = trigger.advanced(desk.progress.get(name), due)
            return
        decision = await _solved(desk, due, taken, solvers)
        if decision is None:
            return  # due still, or behind what came
        steps, commands = command.steps(taken, decision, desk.book), command.commands(taken, decision)
        if not due.is_always_said and not steps and not commands:
            desk.progress[name] = trigger.advanced(desk.progress.get(name), due)
            return  # the interval's decision holds
        events: list[tuple[Topic, Any]] = [(_SNAPSHOTS, taken), (_DECISIONS, decision)]
        events.extend((_COMMANDS, entry) for entry in commands)
        events.extend((_TRANSITIONS, step) for step in steps)
        await event_log.append(events)
        for step in steps:
            desk.book.apply(step)
        desk.standing[name] = Standing.after(desk.standing.get(name), decision)
        desk.progress[name] = trigger.advanced(desk.progress.get(name), due)
    _show(decision)


async def _take_back_lost_starts(desk: Desk, due: Due, event_log: EventLog) -> None:
    """Queues again what was to start and did not, with a stop, as the site may run it all the same."""
    events: list[tuple[Topic, Any]] = []
    for before in desk.lost_starts(due):
        log.warning("%s of %s: its start was not reported", before.workload_id, due.facility_id)
        steps = workload.start_lost(before, due.as_of)
        events.append((_COMMANDS, command.stop(before, steps[-1])))
        events.extend((_TRANSITIONS, step) for step in steps)
    if events:
        await event_log.append(events)
    for _, event in events:
        if isinstance(event, WorkloadTransition):
            desk.book.apply(event)


async def _solved(desk: Desk, due: Due, taken: AllocationSnapshot, solvers: SolverPool) -> AllocationDecision | None:
    solving = Solving(due, taken, asyncio.ensure_future(solvers.solve(taken)))
    desk.solving[due.facility_id] = solving
    try:
        decision = await solving.task
    except asyncio.CancelledError:
        if not solving.is_overtaken:
            raise
        return None
    finally:
        solving.task.cancel()
        del desk.solving[due.facility_id]
    return None if solving.is_overtaken else decision


def _show(decision: AllocationDecision) -> None:
    name = decision.facility_id
    metric.SOLVER_GAP.labels(name).set(decision.gap_ratio)
    for use, power_mw in (("mining", decision.mining_mw), ("gpu", decision.gpu_mw), ("grid", decision.grid_mw)):
        metric.LOAD_MW.labels(name, use).set(power_mw)


def _tell_missing(desk: Desk, facility_id: str) -> None:
    clock = desk.market.clock(facility_id)
    if facility_id in desk.progress or clock is None:
        return
    found = desk.market.as_of(facility_id, clock)
    names = found.names if isinstance(found, MissingInputs) else ()
    if names and desk.told_missing.get(facility_id) != names:
        desk.told_missing[facility_id] = names
        log.warning("%s waits for its first %s", facility_id, ", ".join(names))
