"""Records a CPU-second of the rollup beside stock Faust and Kafka Streams, on the same topic in the same run.

`python -m tests.bench.rollup [--records N] [--runs R] [--peers DIR]`. The peers are a harness of their own, a folder
with bench.py and infra.py. Each one's output is checked against the generator's sums. CPU is user and system time of
the process tree between its first and its last record.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from confluent_kafka import Consumer, TopicPartition

from deploy.local.stack import Stack
from schemas import provision
from schemas.catalog import topic
from schemas.codec import Codec
from schemas.registry import Registry
from tests.bench.rollup_app import PeerTelemetry
from tests.stack_fixture import parts_directory

ROOT = Path(__file__).parents[2]
OURS = "ours"
WINDOW_MS = 15_000
GRACE_MS = 15_000


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=500_000, help="in the topic (default %(default)s)")
    parser.add_argument("--slow-records", type=int, default=50_000, help="for Faust (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn (default %(default)s)")
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "peers", help="harness of the peers")
    parser.add_argument("--only", nargs="+", default=[OURS, "faust", "kstreams", "kstreams-local"], metavar="NAME")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "hcp-bench-rollup")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "rollup.json")
    return parser.parse_args()


def main() -> int:
    """Measures and prints; returns the exit code."""
    args = arguments()
    if not (args.peers / "bench.py").exists():
        print(f"no peers in {args.peers}: the topic's generator is theirs too; give --peers DIR", file=sys.stderr)
        return 2
    args.work.mkdir(parents=True, exist_ok=True)
    args.timeout, args.compression = 900, "lz4"
    sys.path[:0] = [str(args.peers), str(args.peers / "apps")]
    infra, bench = importlib.import_module("infra"), importlib.import_module("bench")
    telemetry = importlib.import_module("telemetry")
    os.environ["BENCH_SCHEMA"] = json.dumps(telemetry.SCHEMA)
    stack = Stack(args.work / "home", parts_directory())
    results: list[dict[str, Any]] = []
    try:
        state = stack.up(only=["kafka", "registry"])
        kafka, url = state.environment["HCP_KAFKA_BOOTSTRAP_SERVERS"], state.environment["HCP_SCHEMA_REGISTRY_URL"]
        pid = next(service.pid for service in state.services if service.name == "kafka")
        broker = SimpleNamespace(address=kafka, process=SimpleNamespace(pid=pid))
        stub = infra.Registry()
        registry = Registry(url)
        _register_as_the_peers_do(registry, telemetry.SCHEMA_ID)
        expected = {}
        for name, total in (("telemetry", args.records), ("telemetry-short", args.slow_records)):
            print(f"# loading {name}: {total:,} records", file=sys.stderr)
            expected[name] = infra.load_topic(kafka, name, total, args.compression)
        for number in range(1, args.runs + 1):
            for name in args.only:
                if name == OURS:
                    result = _ours(args, bench, infra, kafka=kafka, url=url, registry=registry, number=number)
                else:
                    result = bench.run(name, args, broker, stub, None, expected, number)
                results.append(result)
                print(json.dumps(result), flush=True)
        stub.stop()
        registry.close()
    finally:
        stack.down(wipe=True)
    summary = _summary(args.only, results)
    print(summary)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"results": results, "summary": summary}, indent=2) + "\n")
    return 0 if all(result["ok"] for result in results) else 1


def _register_as_the_peers_do(registry: Registry, schema_id: int) -> None:
    found = registry.register(PeerTelemetry("telemetry", "", object, "device_id", "ts", 4))
    if found != schema_id:
        raise SystemExit(f"the peers' schema got the id {found}, their messages say {schema_id}")


def _ours(
    args: argparse.Namespace, bench: Any, infra: Any, *, kafka: str, url: str, registry: Registry, number: int
) -> dict[str, Any]:
    output = replace(topic("fleet.windows"), name=f"out-ours-{number}-{int(time.time())}")
    provision.create_topics({"bootstrap.servers": kafka}, topics=[output])
    registry.register(output)
    environment = {
        **os.environ,
        "BENCH_BROKER": kafka,
        "BENCH_REGISTRY": url,
        "BENCH_RUN": output.name,
        "BENCH_OUT": output.name,
        "BENCH_N": str(args.records),
        "BENCH_TOPIC": "telemetry",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.rollup_app"], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    sampler = bench.Sampler(process.pid)
    assert process.stdout is not None
    report = next(json.loads(line[6:]) for line in process.stdout if line.startswith("BENCH "))
    sampler.on = False
    sampler.join()
    process.wait(60)
    millions = args.records / 1e6
    return {
        "peer": OURS,
        "run": number,
        "records": args.records,
        "records_s": round(args.records / (report["last"] - report["first"])),
        "cpu_s_per_m": round(max(cpu for _, cpu in sampler.samples) / millions, 2),
        "cpu_s_per_m_steady": round(sampler.cpu_between(report["first"], report["last"]) / millions, 2),
        "peak_rss_mb": round(sampler.peak / 1e6),
        "ok": _windows(kafka, Codec(registry), output) == _expected(infra, args.records),
    }


def _expected(infra: Any, total: int) -> dict[tuple[str, str, int], tuple[int, float]]:
    """Count and power of each window that is closed in all partitions at the end of the topic."""
    sums: dict[tuple[str, str, int], list[float]] = defaultdict(lambda: [0, 0.0])
    newest = 0
    for record in infra.records(total):
        cell = sums[record["facility"], record["kind"], record["ts"] // WINDOW_MS * WINDOW_MS]
        cell[0] += 1
        cell[1] += record["power_w"]
        newest = max(newest, record["ts"])
    closed_until = (newest - GRACE_MS) // WINDOW_MS * WINDOW_MS
    return {key: (int(n), power) for key, (n, power) in sums.items() if key[2] + WINDOW_MS <= closed_until}


def _windows(kafka: str, codec: Codec, output: Any) -> dict[tuple[str, str, int], tuple[int, float]]:
    consumer = Consumer(
        {
            "bootstrap.servers": kafka,
            "group.id": "check",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
        }
    )
    consumer.assign([TopicPartition(output.name, 0, 0)])
    sums: dict[tuple[str, str, int], list[float]] = defaultdict(lambda: [0, 0.0])
    while messages := consumer.consume(10_000, 3.0):
        for message in messages:
            window = codec.decode(output, message.value())
            cell = sums[window.facility_id, window.resource_group_id, int(window.window_start.timestamp() * 1000)]
            cell[0] += window.readings
            cell[1] += window.power_w_sum
    consumer.close()
    return {key: (int(n), power) for key, (n, power) in sums.items()}


def _summary(names: list[str], results: list[dict[str, Any]]) -> str:
    cpu = {n: statistics.median(r["cpu_s_per_m_steady"] for r in results if r["peer"] == n) for n in names}
    rate = {n: statistics.median(r["records_s"] for r in results if r["peer"] == n) for n in names}
    lines = [f"{'':<16}{'records/s':>12}{'CPU s/M':>10}{'records a CPU-second, ours over it':>38}"]
    for name in names:
        ratio = f"{cpu[name] / cpu[OURS]:.1f}" if OURS in cpu else "-"
        lines.append(f"{name:<16}{rate[name]:>12,.0f}{cpu[name]:>10.2f}{ratio:>38}")
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
