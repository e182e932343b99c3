"""The projection worker on the peers' topic, for `tests.bench.projections`: applies BENCH_N records, then reports.

Beside the worker (`append`, `latest`) its ceilings: reading alone (`consume`), reading and decoding alone (`decode`).
"""

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence

from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition
from prometheus_client.metrics import MetricWrapperBase

from hcp import allocator, collector
from projections.consumer_setting import consumer_settings
from projections.session import ProjectionSession
from projections.sink import NO_IDS, Claim, Rows, Step
from projections.sinks.postgres import PostgresSink
from projections.table import Database, Mode, Table
from projections.worker import ProjectionConfig
from schemas import metric
from schemas.catalog import Topic
from schemas.message_block import Place
from schemas.message_queue import MessageQueue
from schemas.registry import Registry
from tests.bench.rollup_app import PeerTelemetry

_READ = 20_000

COLUMNS = {
    **dict.fromkeys(("device_id", "facility", "kind"), "text"),
    "ts": "timestamptz",
    **dict.fromkeys(("power_w", "temp_c", "hashrate_ths", "util"), "real"),
    "seq": "bigint",
}
LOG = Table("telemetry_log", Database.POSTGRES, Mode.APPEND, {"telemetry": lambda frame: frame}, COLUMNS)
LATEST = Table(
    "telemetry_latest", Database.POSTGRES, Mode.LATEST, {"telemetry": lambda frame: frame}, COLUMNS,
    key=("device_id",), order=("ts",),
)  # fmt: skip


class _Postgres(PostgresSink):
    """The worker's sink, which knows when it was asked where to begin, and when it last committed."""

    claimed_at = applied_at = 0.0

    def claim(self, oldest: Mapping[Place, int], topic_ids: Mapping[str, str] = NO_IDS) -> dict[Place, Claim]:
        claims = super().claim(oldest, topic_ids)
        self.claimed_at = self.claimed_at or time.time()
        return claims

    def apply(self, rows: Sequence[Rows], steps: Mapping[Place, Step]) -> dict[str, int]:
        written = super().apply(rows, steps)
        self.applied_at = time.time()
        return written


class _Nowhere:
    """A sink that takes everything and keeps nothing; see `projections.sink.Sink`."""

    dependency = "nowhere"
    fresh_start = "it keeps nothing"
    claimed_at = applied_at = 0.0

    def claim(self, oldest: Mapping[Place, int], topic_ids: Mapping[str, str] = NO_IDS) -> dict[Place, Claim]:
        self.claimed_at = self.claimed_at or time.time()
        return {place: Claim(offset, 1) for place, offset in oldest.items()}

    def release(self, places: Sequence[Place]) -> None:
        pass

    def encode(self, rows: Rows) -> Rows:
        return rows

    def apply(self, rows: Sequence[Rows], steps: Mapping[Place, Step]) -> dict[str, int]:
        self.applied_at = time.time()
        return {}

    def close(self) -> None:
        pass


def main() -> None:
    """Runs until all records are applied, or read where that is all, and reports the times of the first and last."""
    mode, name, total = sys.argv[1], os.environ["BENCH_TOPIC"], int(os.environ["BENCH_N"])
    worker, dsn = os.environ["BENCH_RUN"], os.environ["BENCH_PG"]
    # As `hcp worker` does.
    collector.relax()
    allocator.keep_memory()

    def catalog(_name: str) -> Topic:
        return PeerTelemetry(name, "", object, "device_id", "ts", 4)

    sink = _Nowhere() if mode in {"consume", "decode"} else _Postgres(dsn, worker)
    config = ProjectionConfig(
        kafka={"bootstrap.servers": os.environ["BENCH_BROKER"]},
        registry_url=os.environ["BENCH_REGISTRY"],
        worker=worker,
        sink=lambda: sink,
        tables=(LATEST if mode == "latest" else LOG,),
        memory_mb=int(os.environ.get("BENCH_MEMORY_MB", "256")),
        topics={"telemetry": name},
        catalog=catalog,
    )
    if mode == "consume":
        first, last = _consumed(config, name, total)
    else:
        _project(config, name, total)
        # What is before the claim is joining the group: no record can come yet.
        first, last = sink.claimed_at, sink.applied_at
    limit = _value(metric.BATCH_LIMIT.labels(worker))
    print("\nBENCH " + json.dumps({"first": first, "last": last, "batch": limit}), flush=True)


def _project(config: ProjectionConfig, name: str, total: int) -> None:
    session = ProjectionSession(config, Registry(config.registry_url))
    while _value(metric.EVENTS_IN.labels(config.worker, name)) < total:
        session.step()
    session.close()


def _consumed(config: ProjectionConfig, name: str, total: int) -> tuple[float, float]:
    """Reads as the worker reads, and forgets what it has read.

    Its start is the oldest record: the worker's client has it said by the store.
    """
    settings = consumer_settings(config.kafka, config.worker, config.memory_mb)
    consumer = Consumer({**settings, "auto.offset.reset": "earliest"})
    queue = MessageQueue(consumer)
    places = [(name, partition) for partition in consumer.list_topics(name).topics[name].partitions]
    queue.route(places)
    consumer.assign([TopicPartition(*place, OFFSET_BEGINNING) for place in places])
    first, taken = 0.0, 0
    while taken < total:
        before = time.time()
        consumer.poll(0)
        count = len(queue.take(_READ, 0.05))
        first = first or (before if count else 0.0)
        taken += count
    last = time.time()
    queue.close()
    consumer.close()
    return first, last


def _value(found: MetricWrapperBase) -> float:
    """Returns a metric's value without asking all others for theirs."""
    return next(sample.value for family in found.collect() for sample in family.samples)


if __name__ == "__main__":
    main()
