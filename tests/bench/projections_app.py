"""The projection worker on the peers' topic, for `tests.bench.projections`: applies BENCH_N records, then reports."""

import json
import os
import sys
import time

from prometheus_client.metrics import MetricWrapperBase

from hcp import allocator, collector
from projections.session import ProjectionSession
from projections.sinks.postgres import PostgresSink
from projections.table import Database, Mode, Table
from projections.worker import ProjectionConfig
from schemas import metric
from schemas.catalog import Topic
from schemas.registry import Registry
from tests.bench.rollup_app import PeerTelemetry

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


def main() -> None:
    """Runs the session until all records are applied and reports the times of the first and the last."""
    name, total, worker = os.environ["BENCH_TOPIC"], int(os.environ["BENCH_N"]), os.environ["BENCH_RUN"]
    dsn = os.environ["BENCH_PG"]
    # As `hcp worker` does.
    collector.relax()
    allocator.keep_memory()

    def catalog(_name: str) -> Topic:
        return PeerTelemetry(name, "", object, "device_id", "ts", 4)

    config = ProjectionConfig(
        kafka={"bootstrap.servers": os.environ["BENCH_BROKER"]},
        registry_url=os.environ["BENCH_REGISTRY"],
        worker=worker,
        sink=lambda: PostgresSink(dsn, worker),
        tables=(LATEST if sys.argv[1] == "latest" else LOG,),
        memory_mb=int(os.environ.get("BENCH_MEMORY_MB", "256")),
        topics={"telemetry": name},
        catalog=catalog,
    )
    session = ProjectionSession(config, Registry(config.registry_url))
    first = 0.0
    while _value(metric.EVENTS_IN.labels(worker, name)) < total:
        before = time.time()
        session.step()
        if not first and session.has_work:
            first = before
    last = time.time()
    limit = _value(metric.BATCH_LIMIT.labels(worker))
    print("\nBENCH " + json.dumps({"first": first, "last": last, "batch": limit}), flush=True)
    session.close()


def _value(found: MetricWrapperBase) -> float:
    """Returns a metric's value without asking all others for theirs."""
    return next(sample.value for family in found.collect() for sample in family.samples)


if __name__ == "__main__":
    main()
