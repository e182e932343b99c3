"""A large fleet live into TimescaleDB: how far behind the projection is, second by second, while the whole system runs.

`python -m tests.bench.live [--rate N] [--minutes M]`. The stack, all workers and the simulator (prices, workloads, a
small fleet) run as in `hcp demo`; beside them one process produces N readings a second, evenly, each encoded when it is
due. The lag is the worker's own, events behind the log's end, over N.
"""

import argparse
import io
import json
import multiprocessing
import os
import shutil
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
from confluent_kafka import Producer

from hcp import worker_metrics
from projections.table import Database
from schemas.catalog import topic
from schemas.codec import header
from tests.demo_world import FLEET, running_demo

WORKER = "project-timescale"
PROMISED_LAG_S = 2.0
TICKS_A_SECOND = 20
WARM_UP_S = 30.0


def main() -> int:
    """Measures and prints; returns 1 where the lag was once 2 s or more."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=int, default=27_000, help="readings a second (default %(default)s)")
    parser.add_argument("--minutes", type=float, default=10.0, help="(default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "live.json")
    args = parser.parse_args()
    lags: list[float] = []
    with (
        tempfile.TemporaryDirectory(prefix="hcp-live-") as directory,
        running_demo(Path(directory), *FLEET[:-1], "1") as world,
    ):
        stop = multiprocessing.Event()
        sent = multiprocessing.Value("q", 0)
        environment = world.environment
        newest = world.await_rows(Database.TIMESCALE, "SELECT max(observed_at) FROM metrics", lambda rows: rows[0][0])
        behind = datetime.now(UTC) - newest[0][0]
        os.environ["LIVE_SCHEMA_ID"] = str(world.codec.registry.schema_id(topic("telemetry.asic")))
        source = multiprocessing.Process(
            target=produce_fleet,
            args=(environment["HCP_KAFKA_BOOTSTRAP_SERVERS"], behind, args.rate, stop, sent),
        )
        source.start()
        try:
            began = time.monotonic()
            pause = threading.Event()
            while (elapsed := time.monotonic() - began) < args.minutes * 60 + WARM_UP_S:
                pause.wait(1.0)
                found = worker_metrics.read(world.workers.metrics_ports[WORKER])
                if elapsed >= WARM_UP_S and found.answers:
                    lags.append(found.lag_events / args.rate)
                    if lags[-1] >= PROMISED_LAG_S:
                        print(f"{datetime.now(UTC):%H:%M:%S} lag {lags[-1]:.2f} s", flush=True)
                    if len(lags) % 30 == 0:
                        print(f"{elapsed:6.0f} s: {sent.value:,} sent, lag {lags[-1]:.2f} s", flush=True)
        finally:
            stop.set()
            source.join()
            args.output.parent.mkdir(parents=True, exist_ok=True)
            # It says who held the database.
            shutil.copy(world.stack.log("timescale"), args.output.with_suffix(".timescale.log"))
        rate = sent.value / (args.minutes * 60 + WARM_UP_S)
    lags.sort()
    result = {
        "rate": round(rate),
        "seconds": len(lags),
        "lag_p50_s": round(lags[len(lags) // 2], 3),
        "lag_p99_s": round(lags[int(len(lags) * 0.99)], 3),
        "lag_max_s": round(lags[-1], 3),
    }
    print(json.dumps(result))
    args.output.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if lags[-1] < PROMISED_LAG_S else 1


def produce_fleet(kafka: str, behind: timedelta, rate: int, stop: Any, sent: Any) -> None:
    """Produces a fleet that reports every 15 s, spread evenly; what is late is caught up at once.

    Event time is `behind` the wall clock, as the simulator's is.
    """
    telemetry = topic("telemetry.asic")
    schema = fastavro.parse_schema(dict(telemetry.schema))
    record = {
        "facility_id": "Texas-1", "resource_group_id": "tx1-asic", "power_mode": "NORMAL", "hashrate_ths": 100.0,
        "temp_c": 60.0, "fan_rpm": 5000,
    }  # fmt: skip
    start = header(int(os.environ["LIVE_SCHEMA_ID"]))
    producer = Producer({
        "bootstrap.servers": kafka, "compression.type": "lz4", "linger.ms": 20, "queue.buffering.max.messages": 500_000,
    })  # fmt: skip
    began, number, devices = time.monotonic(), 0, rate * 15
    while not stop.wait(1 / TICKS_A_SECOND):
        due = int((time.monotonic() - began) * rate)
        now_ms = int((datetime.now(UTC) - behind).timestamp() * 1000)
        while number < due:
            device = f"live-{number % devices:06}"
            out = io.BytesIO()
            out.write(start)
            power_w = 3000.0 + number % 97
            fastavro.schemaless_writer(
                out, schema, {**record, "device_id": device, "observed_at": now_ms, "power_w": power_w}
            )
            producer.produce(telemetry.name, out.getvalue(), device)
            number += 1
            if number % 1000 == 0:
                producer.poll(0)
        sent.value = number
    producer.flush(30.0)


if __name__ == "__main__":
    raise SystemExit(main())
