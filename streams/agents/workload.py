"""The workload agent: turns requests and reports into steps of the state machine, or into an audited refusal.

Steps, refusal and the request's offset are one transaction, so a request is handled once.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from schemas import metric
from schemas.catalog import Topic, topic
from schemas.events import RoutedRequest, WorkloadAction, WorkloadState
from streams.agents.desk import Desk
from streams.agents.event_log import WORKER, EventLog
from streams.agents.held_offset import Place
from streams.domain import command, workload
from streams.domain.workload import Refusal

log = logging.getLogger(__name__)

_TRANSITIONS = topic("workloads.transitions")
_COMMANDS = topic("allocations.commands")
_AUDIT = topic("audit.events")
# A submission that names master data which may only just have been recorded: the registry topics are read once more.
REFERENCES = frozenset({"customer_id", "facility_id", "gpus", "allowed_regions"})


async def handle(
    routed: RoutedRequest,
    desk: Desk,
    event_log: EventLog,
    offsets: dict[Place, int],
    refresh: Callable[[], Awaitable[None]],
) -> Awaitable[None]:
    """Begins to append what a request causes at its facility, with `offsets`: those behind the request.

    Returns what waits for it.
    """
    request = routed.request
    if request.action is WorkloadAction.SUBMIT:
        request = replace(request, facility_id=routed.facility_id)
    async with desk.deciding[routed.facility_id]:
        found = workload.handle(request, desk.book, desk.directory)
        if isinstance(found, Refusal) and found.field in REFERENCES:
            await refresh()
            found = workload.handle(request, desk.book, desk.directory)
        if isinstance(found, Refusal):
            metric.REFUSED.labels(WORKER).inc()
            return event_log.begin([(_AUDIT, workload.refused(request, found))], offsets)
        events: list[tuple[Topic, Any]] = [(_TRANSITIONS, step) for step in found]
        before = desk.book.newest.get(request.workload_id)
        if before is not None and before.to_state in workload.ON_GPUS:
            stops = (step for step in found if step.to_state is WorkloadState.CANCELLED)
            events.extend((_COMMANDS, command.stop(before, step)) for step in stops)
        desk.heard(request, routed.facility_id)
        begun = event_log.begin(events, offsets)
        for step in found:
            desk.book.apply(step)
        return begun
