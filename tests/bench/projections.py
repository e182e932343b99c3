"""Projections into PostgreSQL beside what one would use instead and beside raw COPY, on the same topic in the same run.

`python -m tests.bench.projections [--records N] [--runs R] [--peers DIR] [--only NAME …]`. Peers are a harness of their
own, a folder with bench.py and infra.py: Debezium's JDBC sink (insert and upsert), the plain loop of fastavro and
executemany, and binary COPY of rows that are decoded already (copy) or formatted already (copy-raw). Ours are `append`
and `latest`: consume, decode, check, write, offsets in the same transaction; and what they can't exceed: `consume`
(reading alone, with our client) and `decode` (reading and decoding, nothing written). The broker, the registry and
PostgreSQL are the embedded stack's, with PostgreSQL's default durability. All upserts go to pages filled as our tables
declare it. What each one wrote is checked against the generator's sums. Rates are from where the first record can come
(the claim of the partitions) to the last commit. Memory whatever the backlog: `--records 10000000 --runs 1 --only
append latest`.
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
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg

from deploy.local.stack import Stack
from projections import ddl, migration
from projections.table import Database
from schemas.registry import Registry
from tests.bench.projections_app import LATEST
from tests.bench.rollup_app import PeerTelemetry
from tests.stack_fixture import parts_directory

ROOT = Path(__file__).parents[2]
OURS = ("append", "latest", "decode", "consume")
PEERS = ("debezium-insert", "debezium-upsert", "psycopg-insert", "copy", "copy-raw")
RATIOS = (
    ("append", "copy", 0.5),
    ("append", "copy-raw", None),
    ("append", "debezium-insert", 10.0),
    ("append", "psycopg-insert", 10.0),
    ("latest", "debezium-upsert", 20.0),
    ("decode", "copy", None),
    ("decode", "debezium-insert", None),
    ("decode", "debezium-upsert", None),
    ("consume", "debezium-upsert", None),
)
"""Ours, the other, and the ratio that is promised."""
PEAK_MB = 500
"""Memory that is promised of ours, whatever the backlog."""


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000, help="in the topic (default %(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="of each, in turn (default %(default)s)")
    parser.add_argument("--peers", type=Path, default=ROOT.parent / "shared" / "peers", help="harness of the peers")
    parser.add_argument("--only", nargs="+", default=[*OURS, *PEERS], choices=[*OURS, *PEERS], metavar="NAME")
    parser.add_argument("--memory-mb", type=int, default=256, help="HCP_PROJECTION_MEMORY_MB of ours (%(default)s)")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "hcp-bench-projections")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "projections.json")
    return parser.parse_args()


def main() -> int:
    """Measures and prints; returns 1 where a sum is wrong or a promise is missed."""
    args = arguments()
    if not (args.peers / "bench.py").exists():
        print(f"no peers in {args.peers}: the topic's generator is theirs too; give --peers DIR", file=sys.stderr)
        return 2
    args.work.mkdir(parents=True, exist_ok=True)
    args.timeout, args.compression = 900, "lz4"
    sys.path[:0] = [str(args.peers), str(args.peers / "apps")]
    infra, telemetry = importlib.import_module("infra"), importlib.import_module("telemetry")
    bench: Any = importlib.import_module("bench")
    bench.fresh_tables = _with_room(bench.fresh_tables)
    os.environ["BENCH_SCHEMA"] = json.dumps(telemetry.SCHEMA)
    os.environ["BENCH_MEMORY_MB"] = str(args.memory_mb)
    stack = Stack(args.work / "home", parts_directory())
    results: list[dict[str, Any]] = []
    try:
        state = stack.up(only=["kafka", "registry", "postgres"])
        pids = {service.name: service.pid for service in state.services}
        kafka = state.environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]
        broker = SimpleNamespace(address=kafka, process=SimpleNamespace(pid=pids["kafka"]))
        postgres = _postgres(state.environment["HCP_POSTGRES_DSN"], args.work / "home" / "postgres", pids["postgres"])
        registry = Registry(state.environment["HCP_SCHEMA_REGISTRY_URL"])
        if registry.register(PeerTelemetry("telemetry", "", object, "device_id", "ts", 4)) != telemetry.SCHEMA_ID:
            raise SystemExit("the peers' schema did not get the id that their messages name")
        stub = infra.Registry()
        print(f"# loading {args.records:,} records", file=sys.stderr)
        expected = {"telemetry": infra.load_topic(kafka, "telemetry", args.records, args.compression)}
        for number in range(1, args.runs + 1):
            for name in args.only:
                if name in OURS:
                    result = _ours(name, args, bench, broker, registry.url, postgres, expected["telemetry"], number)
                else:
                    result = bench.run(name, args, broker, stub, postgres, expected, number)
                results.append(result)
                print(json.dumps({key: value for key, value in result.items() if key != "check"}), flush=True)
        stub.stop()
        registry.close()
    finally:
        stack.down(wipe=True)
    summary, is_kept = _summary(args.only, results)
    print(summary)
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"results": results, "summary": summary}, indent=2) + "\n")
    return 0 if is_kept and all(result["ok"] for result in results) else 1


def _postgres(dsn: str, home: Path, pid: int | None) -> SimpleNamespace:
    """A database of the peers' own, whose owner has the name and password that their sinks use."""
    password = (home / "superuser.password").read_text().strip()
    with psycopg.connect(dsn, autocommit=True, dbname="postgres", user="postgres", password=password) as connection:
        connection.execute("CREATE ROLE bench LOGIN CREATEROLE PASSWORD 'bench'")
        connection.execute("GRANT pg_checkpoint TO bench")
        connection.execute("CREATE DATABASE bench OWNER bench")
    address = dsn.rpartition("@")[2].partition("/")[0]
    host, _, port = address.partition(":")
    conninfo = f"host={host} port={port} user=bench password=bench dbname=bench"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        migration.migrate(connection, migration.migrations(Database.POSTGRES))
    return SimpleNamespace(conninfo=conninfo, jdbc=f"jdbc:postgresql://{address}/bench?sslmode=disable", pid=pid)


def _with_room(fresh_tables: Callable[[SimpleNamespace], None]) -> Callable[[SimpleNamespace], None]:
    """Returns what makes the tables and fills the pages of the one with upserts as ours declares it, for all alike."""

    def made(postgres: SimpleNamespace) -> None:
        fresh_tables(postgres)
        with psycopg.connect(postgres.conninfo, autocommit=True) as connection:
            connection.execute(ddl.set_fill(LATEST.name, LATEST.fill_percent or 100).encode())

    return made


def _ours(  # noqa: PLR0917 - as the harness calls its own
    name: str, args: argparse.Namespace, bench: Any, broker: Any, registry_url: str, postgres: Any,
    expected: dict[str, Any], number: int,
) -> dict[str, Any]:  # fmt: skip
    bench.fresh_tables(postgres)
    environment = {
        **os.environ,
        "BENCH_BROKER": broker.address,
        "BENCH_REGISTRY": registry_url,
        "BENCH_RUN": f"{name}-{number}-{int(time.time())}",
        "BENCH_N": str(args.records),
        "BENCH_TOPIC": "telemetry",
        "BENCH_PG": postgres.conninfo,
    }
    servers = [broker.process.pid, postgres.pid]
    cpu_before = [bench.tree(pid)[0] for pid in servers]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.projections_app", name],
        env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    sampler = bench.Sampler(process.pid)
    assert process.stdout is not None
    report = next(json.loads(line[6:]) for line in process.stdout if line.startswith("BENCH "))
    sampler.on = False
    sampler.join()
    process.wait(60)
    server_cpu = sum(bench.tree(pid)[0] - before for pid, before in zip(servers, cpu_before, strict=True))
    found, wanted = {}, {}
    if name in {"append", "latest"}:
        is_latest = name == "latest"
        found = bench.read_table(postgres, "telemetry_latest" if is_latest else "telemetry_log")
        wanted = expected["latest" if is_latest else "all"]
    millions = args.records / 1e6
    return {
        "peer": name,
        "run": number,
        "records": args.records,
        "records_s": round(args.records / (report["last"] - report["first"])),
        "cpu_s_per_m_steady": round(sampler.cpu_between(report["first"], report["last"]) / millions, 2),
        "server_cpu_s_per_m": round(server_cpu / millions, 2),
        "peak_rss_mb": round(sampler.peak / 1e6),
        "batch": report["batch"],
        "check": found,
        "ok": all(abs(found[key] - wanted[key]) <= 1e-9 * abs(wanted[key]) for key in wanted),
    }


def _summary(names: list[str], results: list[dict[str, Any]]) -> tuple[str, bool]:
    rate = {n: statistics.median(r["records_s"] for r in results if r["peer"] == n) for n in names}
    lines = [f"{'':<18}{'records/s, median':>20}{'lowest':>12}{'highest':>12}{'peak MB':>10}  sums"]
    for name in names:
        runs = [r for r in results if r["peer"] == name]
        rates, peak = [r["records_s"] for r in runs], max(r["peak_rss_mb"] for r in runs)
        verdict = "right" if all(r["ok"] for r in runs) else "WRONG"
        lines.append(f"{name:<18}{rate[name]:>20,.0f}{min(rates):>12,}{max(rates):>12,}{peak:>10}  {verdict}")
    most = max((r["peak_rss_mb"] for r in results if r["peer"] in OURS), default=0)
    is_kept = most <= PEAK_MB
    lines.append(f"peak memory of ours: {most} MB (promised {PEAK_MB} at most)")
    for ours, other, promised in RATIOS:
        if ours in rate and other in rate:
            ratio = rate[ours] / rate[other]
            is_kept = is_kept and (promised is None or ratio >= promised)
            told = "" if promised is None else f" (promised {promised})"
            lines.append(f"{ours} / {other}: {ratio:.2f}{told}")
    return "\n".join(lines), is_kept


if __name__ == "__main__":
    raise SystemExit(main())
