"""How fast a day of the full fleet goes through the whole system: event time over wall time, on a part of that day.

`python -m tests.bench.day [--miners N] [--gpus N] [--minutes M] [--speed S] [--lockstep]`. The stack and all workers
run as in `hcp demo`; the simulator has all that it has: readings, prices, calls, workloads, breakdowns. The clock
starts with it and stops when every worker has taken all of its last minute. The last line says how long a day takes
at that speed: nothing in the system grows with event time but the logs and tables.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hcp import worker_metrics
from projections.table import Database
from tests.demo_world import WORKERS, DemoWorld, running_demo

PROMISED_SPEED = 4.0
_HOURS_A_DAY = 24
_POLL_S = 1.0
# The marker of a transaction at the end of a partition counts as an event that has not been read.
_MARKERS = 24
_LAST = timedelta(minutes=1)


def main() -> int:
    """Measures and prints; returns 1 where it is slower than promised."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--miners", type=int, default=400_000, help="(default %(default)s)")
    parser.add_argument("--gpus", type=int, default=10_000, help="(default %(default)s)")
    parser.add_argument("--minutes", type=int, default=15, help="of event time (default %(default)s)")
    parser.add_argument(
        "--speed", type=float, default=0.0, help="of the simulator, 0 for all it has (default %(default)s)"
    )
    parser.add_argument("--lockstep", action="store_true", help="event time waits for the agents' plans")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "day.json")
    args = parser.parse_args()
    start = datetime.now(UTC).replace(minute=0, second=0, microsecond=0) - timedelta(days=1)
    end = start + timedelta(minutes=args.minutes)
    with tempfile.TemporaryDirectory(prefix="hcp-day-") as directory, running_demo(Path(directory)) as world:
        simulate = [
            sys.executable, "-m", "hcp", "simulate", "--speed", str(args.speed), "--miners", str(args.miners), "--gpus",
            str(args.gpus), "--start", start.isoformat(), "--until", end.isoformat(),
            *(["--lockstep"] if args.lockstep else []),
        ]  # fmt: skip
        began = time.monotonic()
        subprocess.run(simulate, env={**os.environ, **world.environment}, check=True)
        simulated_s = time.monotonic() - began
        print(f"simulated and in Kafka: {args.minutes * 60 / simulated_s:.2f} times real time", flush=True)
        await_everything(world, end)
        seconds = time.monotonic() - began
        ((readings,),) = world.query(Database.TIMESCALE, "SELECT count(*) FROM metrics")
    speed = args.minutes * 60 / seconds
    result = {
        "devices": args.miners + args.gpus,
        "minutes": args.minutes,
        "readings": readings,
        "readings_per_s": round(readings / seconds),
        "simulator_speed": round(args.minutes * 60 / simulated_s, 2),
        "speed": round(speed, 2),
    }
    print(json.dumps(result))
    print(f"{speed:.2f} times real time (promised {PROMISED_SPEED}): a day in {_HOURS_A_DAY / speed:.1f} hours")
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if speed >= PROMISED_SPEED else 1


def await_everything(world: DemoWorld, end: datetime) -> None:
    """Returns when the readings of the last minute are rows and no worker lags behind."""
    pause = threading.Event()
    while not pause.wait(_POLL_S):
        found = {name: worker_metrics.read(world.workers.metrics_ports[name]) for name in WORKERS}
        lags = {name: entry.lag_events for name, entry in found.items()}
        print(f"waiting for {', '.join(f'{lag:,} of {name}' for name, lag in lags.items())}", flush=True)
        if all(entry.answers and entry.lag_events <= _MARKERS for entry in found.values()):
            ((newest,),) = world.query(Database.TIMESCALE, "SELECT max(observed_at) FROM metrics")
            if newest is not None and newest >= end - _LAST:
                return


if __name__ == "__main__":
    raise SystemExit(main())
