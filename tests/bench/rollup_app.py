"""The rollup worker on the peers' topic, for `tests.bench.rollup`: reads BENCH_N records, then prints a BENCH line."""

import json
import os
import time
import uuid
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from prometheus_client import REGISTRY

from schemas.catalog import Topic, topic
from schemas.events import FleetWindow, ResourceKind
from schemas.registry import Registry
from streams.domain.window import WINDOW_START, Aggregation
from streams.rollup.session import RollupSession
from streams.rollup.source import Source
from streams.rollup.worker import RollupConfig

_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "urn:mara-hcp:bench")


@dataclass(frozen=True, slots=True)
class PeerTelemetry(Topic):
    """The peers' topic with the peers' schema."""

    @property
    def schema(self) -> dict[str, Any]:
        """The schema that the harness hands down."""
        found: dict[str, Any] = json.loads(os.environ["BENCH_SCHEMA"])
        return found


def window_event(row: dict[str, Any], partition: int, window_ms: int) -> FleetWindow:
    """The output event of a closed window."""
    start: int = row[WINDOW_START]
    return FleetWindow(
        event_id=str(uuid.uuid5(_NAMESPACE, f"{partition}/{row['facility']}/{row['kind']}/{start}")),
        facility_id=row["facility"],
        resource_group_id=row["kind"],
        kind=ResourceKind(row["kind"]),
        window_start=datetime.fromtimestamp(start / 1000, UTC),
        window_end=datetime.fromtimestamp((start + window_ms) / 1000, UTC),
        source_topic=os.environ["BENCH_TOPIC"],
        source_partition=partition,
        readings=row["readings"],
        devices=row["devices"],
        power_w_sum=row["power_w_sum"],
        hashrate_ths_sum=row["hashrate_ths_sum"],
        utilization_ratio_sum=0.0,
        temp_c_sum=row["temp_c_sum"],
        temp_c_max=row["temp_c_max"],
    )


def main() -> None:
    """Runs the worker until it has read all records, commits, and reports."""
    name, total = os.environ["BENCH_TOPIC"], int(os.environ["BENCH_N"])
    telemetry = PeerTelemetry(name, "", object, "device_id", "ts", 4)
    aggregation = Aggregation(
        "ts", ("facility", "kind"), "device_id", ("power_w", "hashrate_ths", "temp_c"), ("temp_c",)
    )
    config = RollupConfig(
        kafka={"bootstrap.servers": os.environ["BENCH_BROKER"]},
        registry_url=os.environ["BENCH_REGISTRY"],
        group_id=os.environ["BENCH_RUN"],
        sources=(Source(telemetry, aggregation, None, window_event),),
        output=replace(topic("fleet.windows"), name=os.environ["BENCH_OUT"]),
    )
    session = RollupSession(config, Registry(config.registry_url))
    first = 0.0
    labels = {"worker": "rollup", "topic": name}
    while (REGISTRY.get_sample_value("hcp_events_in_total", labels) or 0) < total:
        before = time.time()
        session.step()
        if not first and REGISTRY.get_sample_value("hcp_events_in_total", labels):
            first = before
    session.finish()
    print("\nBENCH " + json.dumps({"first": first, "last": time.time()}), flush=True)
    session.close()


if __name__ == "__main__":
    main()
