"""Plans of a fleet: gap and time, beside SCIP and HiGHS on one program of the same problem in the same run.

`python -m tests.bench.decisions [--seeds N] [--large] [--live N] [--output FILE]`. The fleet is 3 sites of 40 ASIC
groups and 60 jobs over 48 intervals; `--large` adds one ten times as large, `--live` plans of one site as they come
every five minutes. A peer gets as much time as the plan took, model building not counted for it, and its answer is
evaluated by the same function. Time is that of the wall and of the processor: on a busy machine compare the latter.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from streams.domain.plan.problem import PlanProblem
from streams.domain.plan.program import chosen, program
from streams.domain.plan.solve import solve_plan
from streams.domain.plan.value import outcome
from tests.plan_case import fleet
from tests.plan_program import solved

PEERS = {"scip": "", "highs": "output_flag=false\nthreads=1"}


def main() -> int:
    """Prints a line a problem and the summary; writes all as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--live", type=int, default=10)
    parser.add_argument("--large", action="store_true")
    parser.add_argument("--output", type=Path, default=Path("bench-results") / "decisions.json")
    args = parser.parse_args()
    cases = [("fleet", seed, fleet(seed)) for seed in range(args.seeds)]
    cases += [("live", seed, fleet(seed, sites=1, groups=4, jobs=6)) for seed in range(args.live)]
    cases += [("large", 0, fleet(0, groups=400, jobs=600))] if args.large else []
    results = []
    for name, seed, case in cases:
        results.append(_measured(case, peers=name == "fleet") | {"case": name, "seed": seed})
        print(json.dumps(results[-1]), flush=True)
    for name in dict.fromkeys(name for name, _, _ in cases):
        own = [result for result in results if result["case"] == name]
        print(
            f"{name}: {len(own)} problems; " + "; ".join(_spread(own, key) for key in ("wall_s", "cpu_s", "gap_ratio"))
        )
        for peer in PEERS:
            lost = [result[peer] / result["objective_usd"] for result in own if result.get(peer) is not None]
            if peer in own[0]:
                ratio = f"{np.median(lost):.4f} of our worth (median)" if lost else "no answer"
                print(f"  {peer}: answers to {len(lost)} of {len(own)} in the same time, {ratio}")
    args.output.parent.mkdir(exist_ok=True)
    args.output.write_text(json.dumps(results, indent=2) + "\n")
    return 0


def _measured(case: PlanProblem, *, peers: bool) -> dict[str, Any]:
    wall, cpu = time.monotonic(), time.process_time()
    plan = solve_plan(case)
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    result: dict[str, Any] = {
        "wall_s": round(wall, 4),
        "cpu_s": round(cpu, 4),
        "objective_usd": plan.objective_usd,
        "bound_usd": plan.bound_usd,
        "gap_ratio": round(plan.gap_ratio, 6),
    }
    if peers:
        made = program(case)
        for peer, settings in PEERS.items():
            engine = solved(made, peer, settings, seconds=wall)
            result[peer] = None
            if engine.has_solution():
                values = np.asarray(engine.variable_values())
                result[peer] = outcome(case, *chosen(case, made, values)).worth_usd
    return result


def _spread(results: list[dict[str, Any]], key: str) -> str:
    values = [result[key] for result in results]
    return f"{key} median {np.median(values):.4f}, p95 {np.percentile(values, 95):.4f}, most {max(values):.4f}"


if __name__ == "__main__":
    raise SystemExit(main())
