"""The allocation agent: takes each decision that is due, off the event loop, and appends all of it in one transaction.

A snapshot, its decision, the commands and the steps of the workloads are in the log together or not at all. So a
successor that finds no decision for an interval makes it, and one that finds it goes on behind it: none is missing and
none is made twice, wherever the worker is killed.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from time import perf_counter
from typing import Any

from schemas import metric
from schemas.catalog import Topic, topic
from schemas.events import AllocationDecision, AllocationSnapshot
from streams.agents.desk import Desk
from streams.agents.event_log import EventLog
from streams.domain import command, dispatch, snapshot
from streams.domain.allocation import solve
from streams.domain.dispatch import Due
from streams.domain.market_state import MissingInputs

log = logging.getLogger(__name__)

_SNAPSHOTS = topic("allocations.snapshots")
_DECISIONS = topic("allocations.decisions")
_COMMANDS = topic("allocations.commands")
_TRANSITIONS = topic("workloads.transitions")


async def decide_due(
    desk: Desk,
    event_log: EventLog,
    executor: Executor,
    refresh: Callable[[], Awaitable[None]],
    should_stop: Callable[[], bool],
) -> int:
    """Takes every decision that is due now, facility by facility; returns how many."""
    made = 0
    if not desk.is_caught_up:
        return made
    for facility_id in sorted(desk.market.facilities):
        while not should_stop():
            due = dispatch.next_due(desk.market, facility_id, desk.progress.get(facility_id), desk.dispatch)
            if due is None:
                _tell_missing(desk, facility_id)
                break
            if facility_id not in desk.progress:
                await refresh()  # the first decision is to know all groups that are registered by then
            made += await _decide(desk, due, event_log, executor)
    desk.forget_past()
    return made


async def _decide(desk: Desk, due: Due, event_log: EventLog, executor: Executor) -> bool:
    name = due.facility_id
    # No workload may change its state between the snapshot and the steps that follow from it.
    async with desk.deciding:
        taken = snapshot.take(desk.market, desk.book, desk.newest.get(name), due, desk.economics, ahead=desk.ahead)
        if isinstance(taken, MissingInputs):
            log.warning("no decision for %s at %s: missing %s", name, due.interval_start, ", ".join(taken.names))
            desk.progress[name] = dispatch.advanced(desk.progress.get(name), due)
            return False
        decision = await asyncio.get_running_loop().run_in_executor(executor, _timed_solve, taken)
        steps, commands = command.steps(taken, decision, desk.book), command.commands(taken, decision)
        if not due.is_plan and not steps and not commands:
            desk.progress[name] = dispatch.advanced(desk.progress.get(name), due)
            return False  # the interval's decision holds
        events: list[tuple[Topic, Any]] = [(_SNAPSHOTS, taken), (_DECISIONS, decision)]
        events.extend((_COMMANDS, entry) for entry in commands)
        events.extend((_TRANSITIONS, step) for step in steps)
        await event_log.append(events)
        for step in steps:
            desk.book.apply(step)
        desk.newest[name] = decision
        desk.progress[name] = dispatch.advanced(desk.progress.get(name), due)
    _show(decision)
    return True


def _timed_solve(taken: AllocationSnapshot) -> AllocationDecision:
    started = perf_counter()
    decision = solve(taken)
    metric.SOLVER_SECONDS.labels(taken.facility_id).observe(perf_counter() - started)
    return decision


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
