"""Where a workload goes: the facility that a request without one is given to, and that all later ones follow to.

A submission goes to a facility of an allowed region with a group that holds all of its GPUs. Of several, first to where
the least share of the GPUs would be lacking for what runs and waits there, then to where the power for it is worth
least: a GPU-hour of waiting loses dollars, a dearer megawatt-hour cents.
"""

import math
from dataclasses import dataclass, field, replace

from schemas.events import (
    Profitability,
    ResourceKind,
    RoutedRequest,
    WorkloadAction,
    WorkloadRequest,
    WorkloadState,
    WorkloadTransition,
)
from streams.domain import identity, workload
from streams.domain.workload import ON_GPUS, Directory, Refusal, WorkloadBook


@dataclass(slots=True)
class Routes:
    """What routing goes by. Taking an event twice changes nothing.

    `book` holds the workloads by their transitions, `underway` the submissions that were routed and have none yet.
    """

    book: WorkloadBook = field(default_factory=WorkloadBook)
    underway: dict[str, RoutedRequest] = field(default_factory=dict)
    power_usd_mwh: dict[str, float] = field(default_factory=dict)

    def take(self, event: WorkloadTransition | Profitability | RoutedRequest) -> None:
        """Takes an event that says where workloads are or what power is worth."""
        match event:
            case WorkloadTransition():
                self.book.apply(event)
                self.underway.pop(event.workload_id, None)
            case Profitability():
                self.power_usd_mwh[event.facility_id] = power_value_usd_mwh(event)
            case RoutedRequest():
                if event.request.action is WorkloadAction.SUBMIT and event.workload_id not in self.book.newest:
                    self.underway.setdefault(event.workload_id, event)

    def home(self, workload_id: str) -> str | None:
        """The facility that a workload was given to; None where it was given to none."""
        routed, known = self.underway.get(workload_id), self.book.newest.get(workload_id)
        if routed is not None:
            return routed.facility_id
        return None if known is None else known.facility_id

    def wanted_gpus(self, facility_id: str) -> int:
        """GPUs that run, wait or are underway at a facility."""
        live = {WorkloadState.QUEUED, *ON_GPUS}
        there = (w.gpus for w in self.book.newest.values() if w.facility_id == facility_id and w.to_state in live)
        underway = (r.request.gpus for r in self.underway.values() if r.facility_id == facility_id)
        return sum(there) + sum(underway)


def power_value_usd_mwh(found: Profitability) -> float:
    """What a megawatt-hour is worth at a facility in its best other use: unused, mining, or given to the grid."""
    mining = (group.value_usd_mwh for group in found.groups if group.kind is ResourceKind.ASIC)
    return max(found.power_cost_usd_mwh, found.grid_value_usd_mwh, *mining)


def route(request: WorkloadRequest, routes: Routes, directory: Directory) -> RoutedRequest | Refusal:
    """Returns a request on its way to its facility, or why it has none. Deterministic; changes nothing."""
    home = routes.home(request.workload_id)
    if home is not None:
        return _routed(request, home, "where its workload is")
    if request.action is WorkloadAction.SUBMIT and request.facility_id is None:
        chosen = _choice(request, routes, directory)
        if isinstance(chosen, Refusal):
            return chosen
        placed, reason = chosen
    else:
        placed, reason = request.facility_id or "", "as asked"
    found = workload.handle(replace(request, facility_id=placed), WorkloadBook(), directory)
    return found if isinstance(found, Refusal) else _routed(request, placed, reason)


def _choice(request: WorkloadRequest, routes: Routes, directory: Directory) -> tuple[str, str] | Refusal:
    able = directory.facilities_for(request.gpus)
    if not able:
        most = max(map(directory.most, directory.gpu_groups), default=0)
        return Refusal("gpus", f"at most {most} in one group anywhere, got {request.gpus}")
    allowed = [name for name in able if directory.is_allowed(name, request.allowed_regions)]
    if not allowed:
        there = sorted({directory.regions.get(name, "") for name in able})
        return Refusal("allowed_regions", f"must hold one of {there}, got {request.allowed_regions}")

    def lacking(name: str) -> float:
        units = directory.units(name)
        return max(routes.wanted_gpus(name) + request.gpus - units, 0) / units

    def power(name: str) -> float:
        return routes.power_usd_mwh.get(name, math.inf)

    best = min(allowed, key=lambda name: (lacking(name), power(name), name))
    reason = f"of {len(allowed)} that may: {lacking(best):.0%} of its GPUs lacking"
    return best, reason if math.isinf(power(best)) else f"{reason}, power worth {power(best):.2f} USD/MWh"


def _routed(request: WorkloadRequest, facility_id: str, reason: str) -> RoutedRequest:
    return RoutedRequest(
        event_id=identity.routed_event_id(request.event_id),
        facility_id=facility_id,
        workload_id=request.workload_id,
        observed_at=request.observed_at,
        reason=reason,
        request=request,
    )
