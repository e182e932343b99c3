"""The projection worker on the peers' topic, for `tests.bench.projections`: applies BENCH_N records, then reports."""

import json
import os
import sys
import time
from typing import Any

from prometheus_client import REGISTRY

from hcp import collector
from projections.session import ProjectionSession
from projections.sinks.postgres import PostgresSink
from projections.table import Database, Mode, Table
from projections.worker import ProjectionConfig
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
    labels: dict[str, Any] = {"worker": worker, "topic": name}
    session = ProjectionSession(config, Registry(config.registry_url))
    first = 0.0
    while (applied := REGISTRY.get_sample_value("hcp_events_in_total", labels) or 0) < total:
        before = time.time()
        session.step()
        if not first and (session.has_work or applied):
            first = before
    last = time.time()
    limit = REGISTRY.get_sample_value("hcp_batch_limit_events", {"worker": worker})
    print("\nBENCH " + json.dumps({"first": first, "last": last, "batch": limit}), flush=True)
    session.close()


if __name__ == "__main__":
    main()
