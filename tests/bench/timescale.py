"""Telemetry rows a second from Kafka into TimescaleDB, beside raw binary COPY of rows encoded before, in one run.

`python -m tests.bench.timescale [--records N] [--runs R]`. End to end is `hcp worker project-timescale` as users
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

import psycopg
from confluent_kafka import Producer

from deploy.local.stack import Stack
from hcp.worker_process import Workers, WorkerSpec
from projections import migration
from projections.copy_format import binary_copy
from projections.table import Database
from projections.tables import METRICS
from schemas import provision
from schemas.catalog import Topic, topic
from schemas.codec import Codec
from schemas.columnar import ColumnarDecoder
from schemas.registry import Registry
from tests.rollup_world import reading
from tests.stack_fixture import parts_directory
from tests.streams_event import facility

TELEMETRY = topic("telemetry.asic")
DEVICES = 10_000
BATCH = 50_000
NEEDED_ROWS_S = 50_000
WAIT_S = 300.0
RAW_HOUR = 10
APPLIED = "SELECT coalesce(sum(next_offset), 0) FROM projection_offsets WHERE topic = 'telemetry.asic'"


def main() -> int:
    """Measures and prints; returns 1 where end to end is below the rate that is promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000, help="a run (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="(default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "timescale.json")
    args = parser.parse_args()
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="hcp-bench-") as directory:
        home = Path(directory) / "home"
        stack = Stack(home, parts_directory())
        try:
            environment = dict(stack.up(only=["kafka", "registry", "timescale"]).environment)
            environment |= {"HCP_HOME": str(home), "HCP_PARTS_DIR": str(stack.parts), "HCP_METRICS_PORT": "0"}
            registry = Registry(environment["HCP_SCHEMA_REGISTRY_URL"])
            _provision(environment, registry)
            codec = Codec(registry)
            # Hours of its own, so that neither grows the other's chunks.
            batches = _encoded(registry, _readings(codec, args.records, RAW_HOUR))
            for number in range(1, args.runs + 1):
                _produce(environment, TELEMETRY, _readings(codec, args.records, number))
                results.append(
                    {
                        "run": number,
                        "records": args.records,
                        "end_to_end_rows_s": round(_end_to_end(home, environment, args.records * number)),
                        "raw_copy_rows_s": round(_raw_copy(environment, batches, args.records)),
                    }
                )
                print(json.dumps(results[-1]), flush=True)
            registry.close()
        finally:
            stack.down(wipe=True)
    rows_s = statistics.median(result["end_to_end_rows_s"] for result in results)
    raw_rows_s = statistics.median(result["raw_copy_rows_s"] for result in results)
    print(f"end to end {rows_s:,.0f} rows/s, raw COPY {raw_rows_s:,.0f} rows/s: {rows_s / raw_rows_s:.0%} of it")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(results, indent=2) + "\n")
    return 0 if rows_s >= NEEDED_ROWS_S else 1


def _provision(environment: dict[str, str], registry: Registry) -> None:
    provision.create_topics({"bootstrap.servers": environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]})
    provision.register_schemas(registry)
    with psycopg.connect(environment["HCP_METRICS_DSN"], autocommit=True) as connection:
        migration.migrate(connection, migration.migrations(Database.TIMESCALE))
    facilities = topic("registry.facilities")
    _produce(environment, facilities, [("Texas-1", Codec(registry).encode(facilities, facility()))])


def _readings(codec: Codec, records: int, hour: int) -> list[tuple[str, bytes]]:
    """Keys and values; every device reports every 15 s, from an hour of the last day on."""
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1) + timedelta(hours=hour)
    found = []
    for n in range(records):
        event = reading(
            0.0,
            f"tx1-asic-{n % DEVICES:05}",
            observed_at=start + timedelta(seconds=15 * (n // DEVICES)),
            power_w=3010.0 + n % 97,
            hashrate_ths=110.0 + n % 13,
            temp_c=61.0 + n % 7,
        )
        found.append((event.device_id, codec.encode(TELEMETRY, event)))
    return found


def _encoded(registry: Registry, readings: list[tuple[str, bytes]]) -> list[bytes]:
    """The rows that the worker makes of the readings, as COPY streams of its batch size."""
    frame = ColumnarDecoder(TELEMETRY, registry).decode([value for _, value in readings]).frame
    rows = METRICS.sources[TELEMETRY.name](frame)
    return [binary_copy(part, METRICS.columns) for part in rows.iter_slices(BATCH)]


def _produce(environment: dict[str, str], to: Topic, messages: list[tuple[str, bytes]]) -> None:
    settings = {"bootstrap.servers": environment["HCP_KAFKA_BOOTSTRAP_SERVERS"], "compression.type": "lz4"}
    producer = Producer({**settings, "linger.ms": 50, "queue.buffering.max.messages": 200_000})
    for number, (key, value) in enumerate(messages):
        producer.produce(to.name, value, key)
        if number % 10_000 == 0:
            producer.flush(60.0)
    if unsent := producer.flush(60.0):
        raise SystemExit(f"{unsent:,} records of {to.name} were not delivered")


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


def _raw_copy(environment: dict[str, str], batches: list[bytes], records: int) -> float:
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
