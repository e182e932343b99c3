"""The list of topics: which record each carries, how it is keyed, partitioned, kept, and how its schema may change.

This is the only place that names topics: topic creation, schema registration, the codec and dead letters read it.
"""

import json
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Any

from schemas import events

AVRO_DIR = Path(__file__).with_name("avro")
DAY_MS = 24 * 3600 * 1000
FOREVER_MS = -1
PRICE_RETENTION_MS = 200 * DAY_MS
"""Of power prices, as forecasts learn from half a year of them."""
FACILITY_PARTITIONS = 4
"""Of each topic keyed by facility that the agents read: so many workers can share the facilities."""
DEAD_LETTER_MAX_BYTES = 2 * 2**20
"""Of a dead-letter topic's messages: an event of the largest size that Kafka takes by default (1 MiB), and why."""


class Compatibility(StrEnum):
    """How a subject's schema may change, in the registry's words."""

    FULL_TRANSITIVE = "FULL_TRANSITIVE"
    BACKWARD_TRANSITIVE = "BACKWARD_TRANSITIVE"


class Cleanup(StrEnum):
    """Kafka's `cleanup.policy`."""

    DELETE = "delete"
    COMPACT = "compact"


class UnknownTopicError(KeyError):
    """The catalog has no such topic; the message lists those it has."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic of the contract.

    `avsc` is the file name of its schema without ending; `key_field` the field whose value is the Kafka key (UTF-8);
    `time_field` the field with the event time; `retention_ms` is -1 for ever.
    """

    name: str
    avsc: str
    event_class: type[Any]
    key_field: str
    time_field: str
    partitions: int = 1
    cleanup: Cleanup = Cleanup.DELETE
    retention_ms: int = 30 * DAY_MS
    compatibility: Compatibility = Compatibility.FULL_TRANSITIVE

    @property
    def subject(self) -> str:
        """Registry subject of the value schema (TopicNameStrategy)."""
        return f"{self.name}-value"

    @property
    def dead_letter_topic(self) -> str:
        """Topic that takes what could not be handled."""
        return f"dead.{self.name}"

    @property
    def schema(self) -> dict[str, Any]:
        """The Avro schema as parsed JSON; the same object every time, not to be changed."""
        return _schema(self.avsc)

    @property
    def schema_text(self) -> str:
        """The Avro schema as it is registered: compact JSON."""
        return json.dumps(self.schema, separators=(",", ":"), ensure_ascii=False)

    @property
    def config(self) -> dict[str, str]:
        """Kafka topic configuration."""
        return {
            "cleanup.policy": self.cleanup,
            "retention.ms": str(self.retention_ms),
            "compression.type": "producer",
        }


@cache
def _schema(avsc: str) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads((AVRO_DIR / f"{avsc}.avsc").read_text())
    return parsed


_MASTER_DATA: dict[str, Any] = {"cleanup": Cleanup.COMPACT, "retention_ms": FOREVER_MS}
_RECORD_OF_TRUTH: dict[str, Any] = {"retention_ms": FOREVER_MS}

TOPICS: tuple[Topic, ...] = (
    Topic(
        "telemetry.asic",
        "asic_telemetry",
        events.AsicTelemetry,
        "device_id",
        "observed_at",
        4,
        retention_ms=7 * DAY_MS,
    ),
    Topic(
        "telemetry.gpu",
        "gpu_telemetry",
        events.GpuTelemetry,
        "device_id",
        "observed_at",
        4,
        retention_ms=7 * DAY_MS,
    ),
    Topic("market.ticks", "market_tick", events.MarketTick, "instrument", "observed_at"),
    Topic("network.stats", "network_stats", events.NetworkStats, "chain", "observed_at"),
    Topic(
        "grid.prices",
        "grid_price",
        events.GridPrice,
        "settlement_point",
        "observed_at",
        retention_ms=PRICE_RETENTION_MS,
    ),
    Topic("grid.forecasts", "price_forecast", events.PriceForecast, "settlement_point", "observed_at"),
    Topic(
        "grid.signals",
        "grid_signal",
        events.GridSignal,
        "facility_id",
        "observed_at",
        FACILITY_PARTITIONS,
        **_RECORD_OF_TRUTH,
    ),
    Topic("registry.facilities", "facility", events.Facility, "facility_id", "recorded_at", **_MASTER_DATA),
    Topic("registry.resources", "resource", events.Resource, "resource_group_id", "recorded_at", **_MASTER_DATA),
    Topic("registry.customers", "customer", events.Customer, "customer_id", "recorded_at", **_MASTER_DATA),
    Topic(
        "workloads.requests",
        "workload_request",
        events.WorkloadRequest,
        "workload_id",
        "observed_at",
        **_RECORD_OF_TRUTH,
    ),
    Topic(
        "workloads.routed",
        "routed_request",
        events.RoutedRequest,
        "facility_id",
        "observed_at",
        FACILITY_PARTITIONS,
        **_RECORD_OF_TRUTH,
    ),
    Topic(
        "workloads.transitions",
        "workload_transition",
        events.WorkloadTransition,
        "workload_id",
        "occurred_at",
        **_RECORD_OF_TRUTH,
    ),
    Topic("fleet.windows", "fleet_window", events.FleetWindow, "facility_id", "window_start", FACILITY_PARTITIONS),
    Topic("economics.profitability", "profitability", events.Profitability, "facility_id", "evaluated_at"),
    Topic(
        "allocations.snapshots",
        "allocation_snapshot",
        events.AllocationSnapshot,
        "decision_id",
        "taken_at",
        **_RECORD_OF_TRUTH,
    ),
    Topic(
        "allocations.decisions",
        "allocation_decision",
        events.AllocationDecision,
        "facility_id",
        "decided_at",
        **_RECORD_OF_TRUTH,
    ),
    Topic(
        "allocations.commands",
        "allocation_command",
        events.AllocationCommand,
        "facility_id",
        "issued_at",
        **_RECORD_OF_TRUTH,
    ),
    Topic("audit.events", "audit_event", events.AuditEvent, "actor", "occurred_at", **_RECORD_OF_TRUTH),
)

_BY_NAME = {topic.name: topic for topic in TOPICS}


def topic(name: str) -> Topic:
    """Returns the topic of that name. Raises UnknownTopicError, which lists the known names."""
    try:
        return _BY_NAME[name]
    except KeyError:
        known = ", ".join(sorted(_BY_NAME))
        raise UnknownTopicError(f"unknown topic {name!r}; known topics: {known}") from None
