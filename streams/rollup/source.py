"""What is rolled up: per telemetry topic the columns that are aggregated, and how a closed window becomes an event."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import polars as pl

from schemas.catalog import Topic, topic
from schemas.events import FleetWindow, ResourceKind
from streams.domain.window import WINDOW_START, Aggregation

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:mara-hcp:fleet.windows")


@dataclass(frozen=True, slots=True)
class Source:
    """One input topic: `window_event` makes the output event of a row of closed windows.

    `facility` is the column whose value must be a registered facility, None where none is checked.
    """

    topic: Topic
    aggregation: Aggregation
    facility: str | None
    window_event: Callable[[dict[str, Any], int, int], Any]


def window_events(source: Source, closed: pl.DataFrame, partition: int, window_ms: int) -> list[Any]:
    """Returns the events of the closed windows of a partition, in the frame's order (window, then keys)."""
    return [source.window_event(row, partition, window_ms) for row in closed.iter_rows(named=True)]


def _fleet_window(name: str, kind: ResourceKind) -> Callable[[dict[str, Any], int, int], FleetWindow]:
    def window_event(row: dict[str, Any], partition: int, window_ms: int) -> FleetWindow:
        start_ms: int = row[WINDOW_START]
        identity = f"{name}/{partition}/{row['facility_id']}/{row['resource_group_id']}/{start_ms}"
        return FleetWindow(
            event_id=str(uuid.uuid5(_NAMESPACE, identity)),
            facility_id=row["facility_id"],
            resource_group_id=row["resource_group_id"],
            kind=kind,
            window_start=_time(start_ms),
            window_end=_time(start_ms + window_ms),
            source_topic=name,
            source_partition=partition,
            readings=row["readings"],
            devices=row["devices"],
            power_w_sum=row["power_w_sum"],
            hashrate_ths_sum=row.get("hashrate_ths_sum", 0.0),
            utilization_ratio_sum=row.get("utilization_ratio_sum", 0.0),
            temp_c_sum=row["temp_c_sum"],
            temp_c_max=row["temp_c_max"],
        )

    return window_event


def _time(ms: int) -> datetime:
    return datetime.fromtimestamp(ms / 1000, UTC)


def fleet_source(telemetry: Topic, kind: ResourceKind) -> Source:
    """Returns how a telemetry topic of that kind of device is rolled up to FleetWindow events."""
    measure = "hashrate_ths" if kind is ResourceKind.ASIC else "utilization_ratio"
    aggregation = Aggregation(
        time="observed_at",
        keys=("facility_id", "resource_group_id"),
        device="device_id",
        sums=("power_w", measure, "temp_c"),
        maxima=("temp_c",),
    )
    return Source(telemetry, aggregation, "facility_id", _fleet_window(telemetry.name, kind))


SOURCES: tuple[Source, ...] = (
    fleet_source(topic("telemetry.asic"), ResourceKind.ASIC),
    fleet_source(topic("telemetry.gpu"), ResourceKind.GPU),
)
