"""Ids of the events that the streams make: a UUIDv5 of what caused the event, so the same cause gives the same id.

One namespace an event kind (RFC 9562, section 5.5), so that two kinds with the same cause can't meet.
"""

from uuid import NAMESPACE_URL, UUID, uuid5

from schemas.events import CommandKind, WorkloadState

_ROOT = uuid5(NAMESPACE_URL, "https://mara.example/hcp/events")
_DECISION = uuid5(_ROOT, "decision")
_PLANNED_DECISION = uuid5(_ROOT, "planned-decision")
_SETTLED_DECISION = uuid5(_ROOT, "settled-decision")
_DECISION_EVENT = uuid5(_ROOT, "decision-event")
_SNAPSHOT = uuid5(_ROOT, "snapshot")
_COMMAND = uuid5(_ROOT, "command")
_PROFITABILITY = uuid5(_ROOT, "profitability")
_TRANSITION = uuid5(_ROOT, "transition")
_ROUTED = uuid5(_ROOT, "routed")
_AUDIT = uuid5(_ROOT, "audit")
_FORECAST = uuid5(_ROOT, "forecast")


def decision_id(facility_id: str, cause_event_id: str) -> str:
    """Id of the decision that an event causes at a facility."""
    return _id(_DECISION, facility_id, cause_event_id)


def planned_decision_id(facility_id: str, interval_start: str) -> str:
    """Id of the plan of a facility that begins with an interval."""
    return _id(_PLANNED_DECISION, facility_id, interval_start)


def settled_decision_id(facility_id: str, signal_event_id: str) -> str:
    """Id of the plan of a facility that is made when a grid signal has settled."""
    return _id(_SETTLED_DECISION, facility_id, signal_event_id)


def decision_event_id(decision: str) -> str:
    """event_id of the decision's event."""
    return _id(_DECISION_EVENT, decision)


def snapshot_event_id(decision: str) -> str:
    """event_id of the snapshot that a decision is solved from."""
    return _id(_SNAPSHOT, decision)


def command_event_id(decision: str, resource_group_id: str, kind: CommandKind, workload_id: str | None) -> str:
    """event_id of a set-point of a decision."""
    return _id(_COMMAND, decision, resource_group_id, kind, workload_id or "")


def profitability_event_id(facility_id: str, cause_event_id: str) -> str:
    """event_id of the evaluation that an event causes at a facility."""
    return _id(_PROFITABILITY, facility_id, cause_event_id)


def transition_event_id(workload_id: str, cause: str, to_state: WorkloadState) -> str:
    """event_id of a workload's step; `cause` is the request's event_id or the decision's id."""
    return _id(_TRANSITION, workload_id, cause, to_state)


def routed_event_id(request_event_id: str) -> str:
    """event_id of a request on its way to its facility."""
    return _id(_ROUTED, request_event_id)


def audit_event_id(request_event_id: str) -> str:
    """event_id of the audit entry that a request leaves."""
    return _id(_AUDIT, request_event_id)


def forecast_event_id(price_event_id: str) -> str:
    """event_id of the forecast from a price on."""
    return _id(_FORECAST, price_event_id)


def _id(namespace: UUID, *parts: str) -> str:
    # A separator that no id contains keeps ("a", "bc") and ("ab", "c") apart.
    return str(uuid5(namespace, "\x1f".join(parts)))
