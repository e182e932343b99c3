"""The life of a GPU workload: its legal steps, and what a request, a report or a decision makes of it.

A workload is its newest transition: that event carries all of it, so the log of transitions is the only store.
SUBMIT takes two steps, to REQUESTED and to QUEUED; a decision that drops a workload takes two, to PREEMPTED and back to
QUEUED with the run time done so far. A step that is not in `LEGAL_STEPS` is refused, and the refusal is audited.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from schemas.events import (
    AuditEvent,
    AuditOutcome,
    Facility,
    Resource,
    ResourceKind,
    WorkloadAction,
    WorkloadRequest,
    WorkloadState,
    WorkloadTransition,
)
from streams.domain import identity

S = WorkloadState

LEGAL_STEPS: dict[WorkloadState | None, frozenset[WorkloadState]] = {
    None: frozenset({S.REQUESTED}),
    S.REQUESTED: frozenset({S.QUEUED, S.CANCELLED}),
    S.QUEUED: frozenset({S.SCHEDULED, S.CANCELLED}),
    S.SCHEDULED: frozenset({S.RUNNING, S.PREEMPTED, S.FAILED, S.CANCELLED}),
    S.RUNNING: frozenset({S.COMPLETED, S.PREEMPTED, S.FAILED, S.CANCELLED}),
    S.PREEMPTED: frozenset({S.QUEUED, S.CANCELLED}),
    S.COMPLETED: frozenset(),
    S.FAILED: frozenset(),
    S.CANCELLED: frozenset(),
}
REPORT_GRACE = timedelta(minutes=15)
"""How long after the end of a start command the report of it may take."""
ON_GPUS = frozenset({S.SCHEDULED, S.RUNNING})
TARGET: dict[WorkloadAction, WorkloadState] = {
    WorkloadAction.SUBMIT: S.REQUESTED,
    WorkloadAction.CANCEL: S.CANCELLED,
    WorkloadAction.REPORT_STARTED: S.RUNNING,
    WorkloadAction.REPORT_COMPLETED: S.COMPLETED,
    WorkloadAction.REPORT_FAILED: S.FAILED,
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a request is not carried out: the field that broke a rule, and the rule."""

    field: str
    rule: str

    def __str__(self) -> str:
        return f"{self.field}: {self.rule}"


@dataclass(frozen=True, slots=True)
class Directory:
    """What a submission is checked against, and placed by.

    GPU groups and region by facility (any order), contract prices by customer, USD per GPU-hour.
    """

    gpu_groups: Mapping[str, tuple[Resource, ...]]
    prices_usd_gpu_hour: Mapping[str, float]
    regions: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        resources: Iterable[Resource],
        prices_usd_gpu_hour: Mapping[str, float],
        facilities: Iterable[Facility] = (),
    ) -> "Directory":
        """Returns the directory of registered resource groups and facilities."""
        groups: dict[str, tuple[Resource, ...]] = {}
        for resource in resources:
            if resource.kind is ResourceKind.GPU:
                groups[resource.facility_id] = (*groups.get(resource.facility_id, ()), resource)
        return cls(groups, prices_usd_gpu_hour, {f.facility_id: f.region for f in facilities})

    def is_allowed(self, facility_id: str, regions: Sequence[str]) -> bool:
        """Whether a workload that may run in `regions` (anywhere, where there are none) may run at a facility."""
        return not regions or self.regions.get(facility_id) in regions

    def units(self, facility_id: str) -> int:
        """GPUs of a facility that are in service."""
        return sum(group.units for group in self.gpu_groups.get(facility_id, ()))

    def most(self, facility_id: str) -> int:
        """GPUs of the largest group of a facility, 0 without any. Those in repair count: a workload waits for them."""
        groups = self.gpu_groups.get(facility_id, ())
        return max((group.units + group.units_in_repair for group in groups), default=0)

    def facilities_for(self, gpus: int) -> list[str]:
        """Facilities that have a group of at least so many GPUs, sorted."""
        return sorted(name for name in self.gpu_groups if self.most(name) >= gpus)


@dataclass(slots=True)
class WorkloadBook:
    """All workloads, each as its newest transition. Taking the same transition twice changes nothing."""

    newest: dict[str, WorkloadTransition] = field(default_factory=dict)

    def apply(self, transition: WorkloadTransition) -> None:
        """Takes a transition; one that is not newer than what is known is ignored."""
        known = self.newest.get(transition.workload_id)
        if known is None or transition.version > known.version:
            self.newest[transition.workload_id] = transition

    def at_facility(self, facility_id: str, requested_until: datetime) -> list[WorkloadTransition]:
        """Workloads that wait or run at a facility and were asked for by a moment, sorted by id."""
        live = {S.QUEUED, *ON_GPUS}
        found = (
            workload
            for workload in self.newest.values()
            if workload.facility_id == facility_id
            and workload.to_state in live
            and workload.requested_at <= requested_until
        )
        return sorted(found, key=lambda workload: workload.workload_id)


def handle(
    request: WorkloadRequest, book: WorkloadBook, directory: Directory
) -> tuple[WorkloadTransition, ...] | Refusal:
    """Returns the steps that a request or report causes, or why it is refused. Changes nothing.

    A submission has to name its facility: `streams.domain.routing` gives it one. What has been handled causes no step.
    """
    current = book.newest.get(request.workload_id)
    target = TARGET[request.action]
    if current is not None and _is_handled(request, current, target):
        return ()
    state = None if current is None else current.to_state
    if target not in LEGAL_STEPS[state]:
        return Refusal("action", _illegal(request.action, state, target))
    if current is None:
        return _submitted(request, directory)
    if request.customer_id != current.customer_id:
        return Refusal("customer_id", f"workload belongs to another customer, got {request.customer_id!r}")
    keeps_gpus = target is S.RUNNING
    step = _step(
        current,
        cause=request.event_id,
        to_state=target,
        at=request.observed_at,
        reason=request.reason or _REASONS[target],
    )
    return (step if keeps_gpus else replace(step, resource_group_id=None),)


def refused(request: WorkloadRequest, refusal: Refusal) -> AuditEvent:
    """Returns the audit entry of a refused request."""
    return AuditEvent(
        event_id=identity.audit_event_id(request.event_id),
        actor=request.customer_id,
        action=request.action.value,
        subject=f"workload/{request.workload_id}",
        occurred_at=request.observed_at,
        outcome=AuditOutcome.REFUSED,
        reason=str(refusal),
        details={"request_event_id": request.event_id, "field": refusal.field},
    )


def scheduled(
    current: WorkloadTransition, group: str, decision_id: str, at: datetime
) -> tuple[WorkloadTransition, ...]:
    """Returns the step of a queued workload that a decision gives GPUs of a group."""
    reason = f"given {current.gpus} GPUs of {group}"
    step = _step(current, cause=decision_id, to_state=S.SCHEDULED, at=at, reason=reason)
    return (replace(step, resource_group_id=group, decision_id=decision_id),)


def preempted(
    current: WorkloadTransition, decision_id: str, at: datetime, reason: str
) -> tuple[WorkloadTransition, ...]:
    """Returns the two steps of a workload that a decision takes off its GPUs: its run time so far stays done."""
    out = _step(current, cause=decision_id, to_state=S.PREEMPTED, at=at, reason=reason)
    out = replace(out, resource_group_id=None, decision_id=decision_id)
    back = _step(out, cause=decision_id, to_state=S.QUEUED, at=at, reason="queued again")
    return out, replace(back, decision_id=decision_id)


def lost_starts(
    book: WorkloadBook, facility_id: str, valid: timedelta, heard_until: datetime
) -> list[WorkloadTransition]:
    """Returns the workloads of a facility that were to start and did not: the command came too late, or not at all.

    `valid`: how long a start may be carried out; `heard_until`: all that was reported up to then is in the book.
    """
    overdue = heard_until - valid - REPORT_GRACE
    known = book.at_facility(facility_id, heard_until)
    return [w for w in known if w.to_state is S.SCHEDULED and w.occurred_at < overdue]


def start_lost(current: WorkloadTransition, at: datetime) -> tuple[WorkloadTransition, ...]:
    """Returns the two steps of a workload whose start was lost."""
    cause = current.decision_id or current.event_id
    return preempted(current, cause, at, "its start was not reported")


def progress_s(current: WorkloadTransition, at: datetime) -> int:
    """Run time done by a moment, whole s: what was done before, and the time since it started running."""
    ran = (at - current.occurred_at).total_seconds() if current.to_state is S.RUNNING else 0.0
    return min(current.progress_s + max(int(ran), 0), current.duration_s)


_REASONS = {
    S.CANCELLED: "cancelled by the customer",
    S.RUNNING: "started on its GPUs",
    S.COMPLETED: "ran to its end",
    S.FAILED: "failed on its GPUs",
}


def _submitted(request: WorkloadRequest, directory: Directory) -> tuple[WorkloadTransition, ...] | Refusal:
    contract = directory.prices_usd_gpu_hour.get(request.customer_id)
    if contract is None:
        return Refusal("customer_id", f"must be a registered customer, got {request.customer_id!r}")
    placed = _place(request, directory)
    if isinstance(placed, Refusal):
        return placed
    price = contract if request.price_usd_gpu_hour is None else request.price_usd_gpu_hour
    first = WorkloadTransition(
        event_id=identity.transition_event_id(request.workload_id, request.event_id, S.REQUESTED),
        workload_id=request.workload_id,
        version=1,
        from_state=None,
        to_state=S.REQUESTED,
        occurred_at=request.observed_at,
        customer_id=request.customer_id,
        facility_id=request.facility_id,
        gpus=request.gpus,
        duration_s=request.duration_s,
        progress_s=0,
        priority=request.priority,
        requested_at=request.observed_at,
        deadline=request.deadline,
        price_usd_gpu_hour=price,
        allowed_regions=request.allowed_regions,
        sla_penalty_usd=request.sla_penalty_usd,
        reason="submitted",
    )
    reason = f"queued at {placed}"
    queued = _step(first, cause=request.event_id, to_state=S.QUEUED, at=request.observed_at, reason=reason)
    return first, replace(queued, facility_id=placed)


def _place(request: WorkloadRequest, directory: Directory) -> str | Refusal:
    name = request.facility_id
    most = 0 if name is None else directory.most(name)
    if name is None or not most:
        return Refusal("facility_id", f"must be a facility with GPUs, got {name!r}")
    if request.gpus > most:
        return Refusal("gpus", f"at most {most} in one group there, got {request.gpus}")
    if not directory.is_allowed(name, request.allowed_regions):
        region = directory.regions.get(name, "")
        return Refusal("allowed_regions", f"must hold the region of {name}, {region!r}, got {request.allowed_regions}")
    return name


def _step(
    current: WorkloadTransition, *, cause: str, to_state: WorkloadState, at: datetime, reason: str
) -> WorkloadTransition:
    return replace(
        current,
        event_id=identity.transition_event_id(current.workload_id, cause, to_state),
        version=current.version + 1,
        from_state=current.to_state,
        to_state=to_state,
        # A report that was stamped before the step it follows must not turn the history around.
        occurred_at=max(at, current.occurred_at),
        progress_s=current.duration_s if to_state is S.COMPLETED else progress_s(current, at),
        decision_id=None,
        reason=reason,
    )


def _is_handled(request: WorkloadRequest, current: WorkloadTransition, target: WorkloadState) -> bool:
    # Of what came before the newest step only the submission can be told: a report of before then comes too late.
    if request.action is WorkloadAction.SUBMIT:
        asked = (current.requested_at, current.customer_id, current.gpus, current.duration_s)
        return asked == (request.observed_at, request.customer_id, request.gpus, request.duration_s)
    return current.event_id == identity.transition_event_id(current.workload_id, request.event_id, target)


def _illegal(action: WorkloadAction, state: WorkloadState | None, target: WorkloadState) -> str:
    legal = ", ".join(sorted(LEGAL_STEPS[state])) or "no step"
    known = "a workload that was never submitted" if state is None else f"state {state.value}"
    return f"{action.value} needs a step to {target.value}, but {known} allows {legal}"
