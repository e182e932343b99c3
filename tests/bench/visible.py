"""From the producer's send to a row that a query sees, one event at a time: what a projection adds under low load.

`python -m tests.bench.visible [--events N]`. The embedded stack, `hcp worker project-postgres` as users run it, audit
events. The clock starts before the event is handed to the producer and stops when a query, asked again without a pause,
finds its row; so broker, fetch, decode, commit and query are all in it.
"""

import argparse
import random
import tempfile
import threading
import time
from pathlib import Path

import psycopg
from confluent_kafka import Producer

from deploy.local.stack import Stack
from hcp.worker_process import Workers, WorkerSpec
from projections import migration
from projections.table import Database
from schemas import provision
from schemas.catalog import topic
from schemas.codec import Codec
from schemas.registry import Registry
from tests.bench.latency import report
from tests.stack_fixture import parts_directory
from tests.streams_event import audit

PROMISED_MS = 250.0
WARM_UP = 20
LIMIT_S = 60.0


def main() -> int:
    """Measures and prints; returns 1 where the 99th percentile is above what is promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=300, help="(default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "visible.json")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hcp-visible-") as directory:
        home = Path(directory) / "home"
        stack = Stack(home, parts_directory())
        try:
            environment = dict(stack.up(only=["kafka", "registry", "postgres"]).environment)
            environment |= {"HCP_HOME": str(home), "HCP_PARTS_DIR": str(stack.parts)}
            milliseconds = sorted(_measured(home, environment, args.events)[WARM_UP:])
        finally:
            stack.down(wipe=True)
    return report(milliseconds, PROMISED_MS, args.output)


def _measured(home: Path, environment: dict[str, str], events: int) -> list[float]:
    kafka = {"bootstrap.servers": environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]}
    registry = Registry(environment["HCP_SCHEMA_REGISTRY_URL"])
    provision.create_topics(kafka)
    provision.register_schemas(registry)
    codec, producer, chance = Codec(registry), Producer({**kafka, "linger.ms": 0}), random.Random(1)
    entry, found = topic("audit.events"), []
    workers = Workers(home, [WorkerSpec("project-postgres", ("worker", "project-postgres"))], environment)
    with psycopg.connect(environment["HCP_POSTGRES_DSN"], autocommit=True) as connection:
        migration.migrate(connection, migration.migrations(Database.POSTGRES))
        workers.start()
        try:
            for number in range(events):
                event = audit(number)
                value = codec.encode(entry, event)
                began = time.monotonic()
                producer.produce(entry.name, value, b"acme")
                producer.poll(0)
                while not connection.execute(
                    "SELECT 1 FROM audit_logs WHERE event_id = %s", (event.event_id,)
                ).fetchall():
                    if time.monotonic() - began > LIMIT_S:
                        raise SystemExit(f"event {number} is not visible after {LIMIT_S:.0f} s")
                found.append((time.monotonic() - began) * 1000)
                # Not in step with the worker's polls.
                threading.Event().wait(chance.uniform(0.0, 0.1))
        finally:
            workers.stop()
            registry.close()
    return found


if __name__ == "__main__":
    raise SystemExit(main())
