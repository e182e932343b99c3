"""Event ids: a UUIDv5 of what the event is, so that simulating the same moment twice gives the same event."""

from uuid import NAMESPACE_DNS, uuid5

from schemas.events import WorkloadAction

NAMESPACE = uuid5(NAMESPACE_DNS, "simulators.mara-hcp")
"""Namespace of all ids that simulators give."""


def event_id(kind: str, key: str, at_ms: int) -> str:
    """Returns the id of the event of that kind and key at that event time."""
    return str(uuid5(NAMESPACE, f"{kind}/{key}/{at_ms}"))


def request_event_id(workload_id: str, action: WorkloadAction, at_ms: int) -> str:
    """Returns the id of the event that asks or reports that of a workload at that event time."""
    return event_id("workloads.requests", f"{workload_id}/{action}", at_ms)
