"""Time to the proven optimum of one interval, ours beside CP-SAT, on the same sites in the same run.

`python -m tests.bench.dispatch [--sites N] [--groups G] [--jobs J] [--gpu-groups P] [--transformers T] [--held-up]`.
The sites are those of the unit tests, four modes a group. Ours is timed from the choices to the selection
(`knapsack.optimum`), as CP-SAT is, and once more as a whole decision from its snapshot (`allocation.solve`). Both use
one thread, and its CPU time is what counts, not other work on the machine. Where both are proven optimal their worth
must be equal.
"""

import argparse
import gc
import json
import platform
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from streams.domain.allocation import solve
from streams.domain.choice import choices
from streams.domain.dispatch import cp_sat, knapsack
from streams.domain.dispatch.merit_order import merit_order
from streams.domain.selection import worth
from tests.unit.streams.site_case import held_up, site, within_plan

T = TypeVar("T")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sites", type=int, default=200, help="drawn, with seeds from 0 (default %(default)s)")
    parser.add_argument("--groups", type=int, default=40, help="ASIC groups (default %(default)s)")
    parser.add_argument("--jobs", type=int, default=60, help="workloads (default %(default)s)")
    parser.add_argument("--gpu-groups", type=int, default=1, help="(default %(default)s)")
    parser.add_argument("--transformers", type=int, default=0, help="that can bind (default %(default)s)")
    parser.add_argument("--held-up", action="store_true", help="dear power; ramp, block and awards hold the load up")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "dispatch.json")
    return parser.parse_args()


def main() -> int:
    """Measures and prints; exit code 1 where two proven optima differ."""
    args = arguments()
    times: dict[str, list[float]] = {"hcp knapsack": [], "CP-SAT": [], "hcp decision": []}
    unfinished = unproven = wrong = binding = 0
    # A collection of what the sites before left would count as the solver's time.
    gc.disable()
    for seed in range(args.sites):
        draw = random.Random(seed)
        case = within_plan(draw, site(draw, args.groups, args.jobs, args.gpu_groups, args.transformers))
        case = held_up(draw, case) if args.held_up else case
        found = choices(case)
        start = merit_order(found)
        gc.collect()
        best = _timed(times["hcp knapsack"], lambda found=found: knapsack.optimum(found))  # type: ignore[misc]
        peer = _timed(times["CP-SAT"], lambda found=found, start=start: cp_sat.best(found, start))  # type: ignore[misc]
        selection, status, _ = peer
        _timed(times["hcp decision"], lambda case=case: solve(case))  # type: ignore[misc]
        unfinished += best is None
        binding += best is not None and any(best.prices.transformer)
        unproven += status != "OPTIMAL"
        theirs = worth(found, selection)
        wrong += best is not None and (best.worth < theirs or (status == "OPTIMAL" and best.worth != theirs))
    percentiles = {name: _percentiles(entries) for name, entries in times.items()}
    result: dict[str, Any] = {
        "sites": args.sites,
        "groups": args.groups,
        "jobs": args.jobs,
        "gpu_groups": args.gpu_groups,
        "transformers": args.transformers,
        "held_up": args.held_up,
        "machine": platform.platform(),
        "cpu_ms": percentiles,
        "cp_sat_over_ours": {
            name: round(percentiles["CP-SAT"][name] / percentiles["hcp knapsack"][name], 1) for name in ("p50", "p99")
        },
        "with_a_binding_transformer": binding,
        "left_to_cp_sat": unfinished,
        "not_proven_by_cp_sat": unproven,
        "different_optima": wrong,
    }
    args.output.parent.mkdir(exist_ok=True)
    args.output.write_text(json.dumps(result, indent=2) + "\n")
    print(_summary(result))
    return 1 if wrong else 0


def _timed(times: list[float], call: Callable[[], T]) -> T:
    started = time.process_time()
    result = call()
    times.append((time.process_time() - started) * 1000)
    return result


def _percentiles(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        f"p{share}": round(ordered[min(len(ordered) * share // 100, len(ordered) - 1)], 2) for share in (50, 95, 99)
    }


def _summary(result: dict[str, Any]) -> str:
    lines = [f"{'CPU ms':<16}{'p50':>10}{'p95':>10}{'p99':>10}"]
    lines += [
        f"{name:<16}{row['p50']:>10.2f}{row['p95']:>10.2f}{row['p99']:>10.2f}" for name, row in result["cpu_ms"].items()
    ]
    ratios = result["cp_sat_over_ours"]
    lines.append(f"CP-SAT takes {ratios['p50']} times as long at the median, {ratios['p99']} at p99")
    lines.append(
        f"of {result['sites']}: {result['with_a_binding_transformer']} with a binding transformer,"
        f" {result['left_to_cp_sat']} left to CP-SAT, {result['not_proven_by_cp_sat']} not proven"
        f" by CP-SAT within its limit, {result['different_optima']} with different optima"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
