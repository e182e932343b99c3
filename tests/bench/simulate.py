"""What a simulated fleet costs: encoding beside fastavro, live on a share of a core, and as fast as it goes.

`python -m tests.bench.simulate [--miners M] [--gpus G]`. Kafka and the registry of the embedded stack; CPU is user and
system time of the simulating process with all its threads, so the producer's too. Live and as fast as possible are
`simulators.run`, as `hcp simulate` runs it, from its first word on its progress to its last.
"""

import argparse
import gc
import io
import json
import platform
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import fastavro
import polars as pl

from deploy.local.stack import Stack
from schemas import provision
from schemas.catalog import Topic
from schemas.codec import HEADER_BYTES
from schemas.registry import Registry
from simulators.configuration import SimulationConfig
from simulators.encoding import Encoder, encoder
from simulators.fleet import DEVICE, SLICE_MS
from simulators.run import Listener, Progress, run
from simulators.simulation import ASIC_TOPIC, GPU_TOPIC, Simulation
from simulators.site import operator
from simulators.timeline import to_ms
from tests.stack_fixture import parts_directory

PROMISED_RATIO = 5.0
PROMISED_SHARE = 0.5
PROMISED_READINGS_A_CPU_SECOND = 250_000
START = datetime(2026, 1, 15, 12, tzinfo=UTC)
SEED = 1
BATCH = 10_000
RUNS = 7


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a run: event time, events handed over, wall clock and CPU of this process."""

    event_time: datetime
    events: int
    wall_s: float
    cpu_s: float


def main() -> int:
    """Measures and prints; returns 1 where a promise is not kept."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miners", type=int, default=400_000, help="(default %(default)s)")
    parser.add_argument("--gpus", type=int, default=10_000, help="(default %(default)s)")
    parser.add_argument("--live-s", type=int, default=45, help="event time of the live run (default %(default)s)")
    parser.add_argument("--fast-s", type=int, default=150, help="event time as fast as possible (default %(default)s)")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "simulate.json")
    args = parser.parse_args()
    result: dict[str, Any] = {"machine": platform.platform(), "miners": args.miners, "gpus": args.gpus}
    result |= _without_producer(args.miners, args.gpus)
    with tempfile.TemporaryDirectory(prefix="hcp-simulate-") as directory:
        stack = Stack(Path(directory) / "home", parts_directory())
        try:
            environment = stack.up(only=["kafka", "registry"]).environment
            kafka = {"bootstrap.servers": environment["HCP_KAFKA_BOOTSTRAP_SERVERS"]}
            provision.create_topics(kafka)
            provision.register_schemas(Registry(environment["HCP_SCHEMA_REGISTRY_URL"]))
            start = START
            for name, speed, seconds in (("live", 1.0, args.live_s), ("fast", 0.0, args.fast_s)):
                config = SimulationConfig(
                    kafka=kafka, registry_url=environment["HCP_SCHEMA_REGISTRY_URL"], miners=args.miners,
                    gpus=args.gpus, speed=speed, seed=SEED, start=start, end=start + timedelta(seconds=seconds),
                )  # fmt: skip
                result[name] = _run(config)
                # The next run goes on where the log ends.
                start += timedelta(seconds=seconds)
        finally:
            stack.down(wipe=True)
    print(_summary(result))
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n")
    is_kept = (
        all(row["ratio"] >= PROMISED_RATIO for row in result["encode"].values())
        and result["live"]["core_share"] <= PROMISED_SHARE
        and result["fast"]["readings_a_cpu_s"] >= PROMISED_READINGS_A_CPU_SECOND
    )
    return 0 if is_kept else 1


def _without_producer(miners: int, gpus: int) -> dict[str, Any]:
    """Encoding beside fastavro, and CPU seconds per second of event time of simulating alone and with encoding."""
    simulation = Simulation(operator(miners, gpus, to_ms(START)), SEED, to_ms(START))
    simulation.advance()
    readings = {kind: frame for kind, frame in simulation.advance().readings if frame.height}
    devices = {ASIC_TOPIC: simulation.asics.fleet.identity, GPU_TOPIC: simulation.gpus.fleet.identity}
    encoders = {kind: encoder(kind, 1, devices[kind]) for kind in readings}
    encode = {kind.name: _beside_fastavro(kind, frame[:BATCH], encoders[kind]) for kind, frame in readings.items()}
    simulated, encoded = [], []
    for _ in range(RUNS):
        found, cpu_s = _timed(simulation.advance)
        simulated.append(cpu_s)
        parts = [(encoders[kind], part) for kind, frame in found.readings for part in frame.iter_slices(BATCH)]
        _, cpu_s = _timed(lambda parts=parts: [write(part) for write, part in parts])  # type: ignore[misc]
        encoded.append(cpu_s)
    slice_s = SLICE_MS / 1000
    shares = {
        "simulate": statistics.median(simulated) / slice_s,
        "simulate_and_encode": (statistics.median(simulated) + statistics.median(encoded)) / slice_s,
    }
    return {"encode": encode, "core_share_without_producer": {name: round(s, 4) for name, s in shares.items()}}


def _beside_fastavro(kind: Topic, frame: pl.DataFrame, encode: Encoder) -> dict[str, float]:
    """Readings a CPU second of both, in turn. fastavro gets its records ready made; both must give the same bytes."""
    schema, records = fastavro.parse_schema(kind.schema), frame.drop(DEVICE).to_dicts()

    def one_by_one() -> list[bytes]:
        values = []
        for record in records:
            out = io.BytesIO()
            fastavro.schemaless_writer(out, schema, record)
            values.append(out.getvalue())
        return values

    ours, theirs = [], []
    for _ in range(RUNS):
        values, cpu_s = _timed(lambda: encode(frame))
        ours.append(cpu_s)
        expected, cpu_s = _timed(one_by_one)
        theirs.append(cpu_s)
        if [value[HEADER_BYTES:] for value in values] != expected:
            raise SystemExit(f"{kind.name}: fastavro writes other bytes")
    fast, slow = frame.height / statistics.median(ours), frame.height / statistics.median(theirs)
    return {"ours_a_cpu_s": round(fast), "fastavro_a_cpu_s": round(slow), "ratio": round(fast / slow, 1)}


def _run(config: SimulationConfig) -> dict[str, float]:
    marks: list[Mark] = []

    def note(progress: Progress) -> None:
        marks.append(Mark(progress.event_time, progress.events, time.monotonic(), time.process_time()))

    run(config, threading.Event(), Listener(progress=note))
    # Its producer is in a cycle with its callbacks, and would look for the broker for ever.
    gc.collect()
    if len(marks) < 2:
        raise SystemExit(f"{config.end} came before the run could be measured: give it more event time")
    first, last = marks[0], marks[-1]
    events, cpu_s = last.events - first.events, last.cpu_s - first.cpu_s
    event_s = (last.event_time - first.event_time).total_seconds()
    return {
        "event_time_s": event_s,
        "readings": events,
        "core_share": round(cpu_s / event_s, 4),
        "readings_a_cpu_s": round(events / cpu_s),
        "readings_a_wall_s": round(events / (last.wall_s - first.wall_s)),
    }


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    started = time.process_time()
    result = call()
    return result, time.process_time() - started


def _summary(result: dict[str, Any]) -> str:
    lines = [
        f"encode {name}: {row['ours_a_cpu_s']:,} readings a CPU second, fastavro {row['fastavro_a_cpu_s']:,}: "
        f"{row['ratio']} times"
        for name, row in result["encode"].items()
    ]
    alone, live, fast = result["core_share_without_producer"], result["live"], result["fast"]
    lines.append(
        f"{result['miners']:,} miners and {result['gpus']:,} GPUs, share of a core: simulate {alone['simulate']:.1%}, "
        f"and encode {alone['simulate_and_encode']:.1%}, and produce, live {live['core_share']:.1%}"
    )
    lines.append(
        f"as fast as possible: {fast['readings_a_cpu_s']:,} readings a CPU second, "
        f"{fast['readings_a_wall_s']:,} a second of wall time"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
