"""Telemetry rows a second from Kafka into TimescaleDB, beside raw binary COPY of rows encoded before, in one run.

`python -m tests.bench.projections [--records N] [--runs R]`. End to end is `hcp worker project-timescale` as users
run it, from its first commit to its last: consume, decode, check, COPY, offsets. Raw COPY is the same number of rows,
already in PostgreSQL's binary format, in transactions of the same size into the same table.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
from confluent_kafka import Producer

from deploy.local.stack import Stack
from hcp.worker_process import Workers, WorkerSpec
from projections import migration
from projections.copy_format import binary_copy
from projections.table import Database
from projections.tables import METRICS
from schemas import provision
from schemas.catalog import topic
from schemas.codec import Codec
from schemas.events import AsicTelemetry, PowerMode
from schemas.registry import Registry
from tests.stack_fixture import parts_directory
from tests.streams_event import facility

TELEMETRY = topic("telemetry.asic")
DEVICES = 10_000
NEEDED_ROWS_S = 50_000
BATCH = 50_000
WAIT_S = 300.0
APPLIED = "SELECT coalesce(sum(next_offset), 0) FROM projection_offsets WHERE topic = 'telemetry.asic'"


def main() -> int:
    """Measures and prints; returns 1 where end to end is below the rate that is promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000, help="a run (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="(default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "projections.json")
    args = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="hcp-bench-") as directory:
        home = Path(directory) / "home"
        stack = Stack(home, parts_directory())
        try:
            environment = dict(stack.up(only=["kafka", "registry", "timescale"]).environment)
            environment |= {"HCP_HOME": str(home), "HCP_PARTS_DIR": str(stack.parts), "HCP_METRICS_PORT": "0"}
            _provision(environment)
            for number in range(1, args.runs + 1):
                _produce(environment, args.records, number)
                results.append(
                    {
                        "run": number,
                        "records": args.records,
                        "end_to_end_rows_s": round(_end_to_end(home, environment, args.records * number)),
                        "raw_copy_rows_s": round(_raw_copy(environment, args.records)),
                    }
                )
                print(json.dumps(results[-1]), flush=True)
        finally:
            stack.down(wipe=True)
    rows_s = statistics.median(result["end_to_end_rows_s"] for result in results)
    raw_rows_s = statistics.median(result["raw_copy_rows_s"] for result in results)
    print(f"end to end {rows_s:,.0f} rows/s, raw COPY {raw_rows_s:,.0f} rows/s: {rows_s / raw_rows_s:.0%} of it")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if rows_s >= NEEDED_ROWS_S else 1


def _provision(environment: dict[str, str]) -> None:
    kafka = {"bootstrap.servers": environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]}
    registry = Registry(environment["HCP_SCHEMA_REGISTRY_URL"])
    provision.create_topics(kafka)
    provision.register_schemas(registry)
    with psycopg.connect(environment["HCP_METRICS_DSN"], autocommit=True) as connection:
        migration.migrate(connection, migration.migrations(Database.TIMESCALE))
    facilities = topic("registry.facilities")
    producer = Producer(kafka)
    producer.produce(facilities.name, Codec(registry).encode(facilities, facility()), b"Texas-1")
    producer.flush(30.0)
    registry.close()


def _readings(records: int, run: int) -> list[AsicTelemetry]:
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1) + timedelta(hours=run)
    return [
        AsicTelemetry(
            device_id=f"tx1-asic-{n % DEVICES:05}",
            facility_id="Texas-1",
            resource_group_id="tx1-asic",
            observed_at=start + timedelta(seconds=15 * (n // DEVICES)),
            power_mode=PowerMode.NORMAL,
            power_w=3010.0 + n % 97,
            hashrate_ths=110.0 + n % 13,
            temp_c=61.0 + n % 7,
            fan_rpm=4800,
        )
        for n in range(records)
    ]


def _produce(environment: dict[str, str], records: int, run: int) -> None:
    codec = Codec(Registry(environment["HCP_SCHEMA_REGISTRY_URL"]))
    settings = {"bootstrap.servers": environment["HCP_KAFKA_BOOTSTRAP_SERVERS"], "compression.type": "lz4"}
    producer = Producer({**settings, "linger.ms": 50, "queue.buffering.max.messages": 200_000})
    for number, reading in enumerate(_readings(records, run)):
        producer.produce(TELEMETRY.name, codec.encode(TELEMETRY, reading), reading.device_id)
        if number % 10_000 == 0:
            producer.flush(60.0)
    producer.flush(60.0)
    codec.registry.close()


def _end_to_end(home: Path, environment: dict[str, str], total: int) -> float:
    name = "project-timescale"
    workers = Workers(home, [WorkerSpec(name, ("worker", name))], environment)
    with psycopg.connect(environment["HCP_METRICS_DSN"], autocommit=True) as connection:

        def applied() -> int:
            row = connection.execute(APPLIED).fetchone()
            return int(row[0]) if row else 0

        before = applied()
        workers.start()
        try:
            deadline = time.monotonic() + WAIT_S
            first, first_at = before, 0.0
            while (now := applied()) < total:
                if time.monotonic() > deadline:
                    raise SystemExit(f"{now:,} of {total:,} rows after {WAIT_S:.0f} s")
                if first == before and now > before:
                    first, first_at = now, time.monotonic()
                threading.Event().wait(0.05)
            return (total - first) / (time.monotonic() - first_at)
        finally:
            workers.stop()


def _raw_copy(environment: dict[str, str], records: int) -> float:
    frame = pl.DataFrame(
        [
            {
                "observed_at": r.observed_at,
                "device_id": r.device_id,
                "facility_id": r.facility_id,
                "resource_group_id": r.resource_group_id,
                "kind": "ASIC",
                "power_mode": r.power_mode.value,
                "workload_id": None,
                "power_w": r.power_w,
                "hashrate_ths": r.hashrate_ths,
                "utilization_ratio": None,
                "temp_c": r.temp_c,
            }
            for r in _readings(records, 10)
        ],
        schema_overrides={"workload_id": pl.String, "utilization_ratio": pl.Float64},
    )
    batches = [binary_copy(part, METRICS.columns) for part in frame.iter_slices(BATCH)]
    names = ", ".join(METRICS.columns)
    with psycopg.connect(environment["HCP_METRICS_DSN"]) as connection:
        started = time.monotonic()
        for batch in batches:
            with connection.cursor().copy(f"COPY metrics ({names}) FROM STDIN (FORMAT binary)".encode()) as copy:
                copy.write(batch)
            connection.commit()
        return records / (time.monotonic() - started)


if __name__ == "__main__":
    raise SystemExit(main())
