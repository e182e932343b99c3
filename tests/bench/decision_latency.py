"""From an event of the grid to its decision in Postgres, one at a time, while a large fleet reports beside it.

`python -m tests.bench.decision_latency [--events N] [--rate N]`. The stack, all workers and the simulator run as in
`hcp demo`; beside them one process produces N readings a second. Each event is a grid signal that limits nothing: the
agents dispatch it at once. The clock starts before it is handed to the producer and stops when a query finds the row
of its decision, so broker, agents, solver, transaction, projection and query are all in it.
"""

import argparse
import multiprocessing
import os
import random
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import NAMESPACE_OID, uuid5

import psycopg
from confluent_kafka import Producer

from projections.table import Database
from schemas.catalog import topic
from schemas.events import GridSignal, SignalKind, SignalStatus
from tests.bench.latency import report
from tests.bench.live import produce_fleet
from tests.demo_world import FLEET, DemoWorld, running_demo

PROMISED_MS = 500.0
WARM_UP = 10
LIMIT_S = 60.0
FACILITY = "Texas-1"
DECIDED = "SELECT 1 FROM allocations WHERE facility_id = %s AND decided_at >= %s"


def main() -> int:
    """Measures and prints; returns 1 where the 99th percentile is above what is promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300, help="(default %(default)s)")
    parser.add_argument("--rate", type=int, default=27_000, help="readings a second beside (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "decision-latency.json")
    args = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="hcp-latency-") as directory,
        running_demo(Path(directory), *FLEET[:-1], "1") as world,
    ):
        first = world.await_rows(Database.POSTGRES, "SELECT max(decided_at) FROM allocations", lambda rows: rows[0][0])
        behind = timedelta(seconds=round((datetime.now(UTC) - first[0][0]).total_seconds()))
        stop, sent = multiprocessing.Event(), multiprocessing.Value("q", 0)
        os.environ["LIVE_SCHEMA_ID"] = str(world.codec.registry.schema_id(topic("telemetry.asic")))
        kafka = world.environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]
        source = multiprocessing.Process(target=produce_fleet, args=(kafka, behind, args.rate, stop, sent))
        source.start()
        began = time.monotonic()
        try:
            milliseconds = sorted(_measured(world, behind, args.events)[WARM_UP:])
        finally:
            stop.set()
            source.join()
        rate = sent.value / (time.monotonic() - began)
    return report(milliseconds, PROMISED_MS, args.output, readings_per_s=round(rate))


def _measured(world: DemoWorld, behind: timedelta, events: int) -> list[float]:
    entry, chance = topic("grid.signals"), random.Random(1)
    producer = Producer({**world.kafka, "linger.ms": 0, "partitioner": "murmur2_random"})
    found = []
    with psycopg.connect(world.environment["HCP_POSTGRES_DSN"], autocommit=True) as connection:
        for number in range(events):
            now = datetime.now(UTC)
            event = _signal(number, now.replace(microsecond=now.microsecond // 1000 * 1000) - behind)
            value = world.codec.encode(entry, event)
            began = time.monotonic()
            producer.produce(entry.name, value, FACILITY.encode())
            producer.poll(0)
            # Decisions come in the order of their times: where another followed at once, the row is that one's.
            while not connection.execute(DECIDED, (FACILITY, event.observed_at)).fetchall():
                if time.monotonic() - began > LIMIT_S:
                    raise SystemExit(f"the decision of signal {number} is not there after {LIMIT_S:.0f} s")
            found.append((time.monotonic() - began) * 1000)
            # Not in step with the workers' polls.
            threading.Event().wait(chance.uniform(0.2, 0.5))
    return found


def _signal(number: int, at: datetime) -> GridSignal:
    return GridSignal(
        event_id=str(uuid5(NAMESPACE_OID, f"latency/{number}/{at.isoformat()}")),
        signal_id=f"latency-{number}",
        facility_id=FACILITY,
        kind=SignalKind.CURTAILMENT,
        status=SignalStatus.CALLED,
        observed_at=at,
        starts_at=at,
        ends_at=at + timedelta(minutes=1),
        limit_mw=1e6,
        payment_usd_mwh=0.0,
    )


if __name__ == "__main__":
    raise SystemExit(main())
