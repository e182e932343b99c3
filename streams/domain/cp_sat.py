"""The best choices of an interval by CP-SAT (OR-tools), for what the knapsack search does not finish.

In integers, with one worker, a fixed seed and a limit in deterministic time: the same choices give the same selection.
"""

from functools import cache
from importlib.metadata import version
from typing import Any

from ortools.sat.python import cp_model

from streams.domain.choice import Choices, ModeChoice, PlaceChoice, Selection, worth

# In CP-SAT's deterministic seconds, about as long as wall seconds. What is found by then is taken, with its proven gap.
DETERMINISTIC_LIMIT = 0.5
SEED = 1


@cache
def name() -> str:
    """Solver and version, as it stands in each decision."""
    return f"OR-tools CP-SAT {version('ortools')}"


def best(found: Choices, start: Selection) -> tuple[Selection, str, float]:
    """Returns a selection, its status, and the bound that is proven, in money units an hour.

    `start` is a feasible selection; nothing worse comes back. Status: OPTIMAL, FEASIBLE (the limit was reached), or
    FALLBACK (`start` itself).
    """
    model = cp_model.CpModel()
    modes = {
        (choice.group, choice.mode): model.new_bool_var(f"{choice.group}/{choice.mode}")
        for options in found.modes.values()
        for choice in options
    }
    places = [model.new_bool_var(f"{p.workload.workload_id}@{p.group}") for p in found.places]
    for group, options in found.modes.items():
        model.add_exactly_one(modes[group, choice.mode] for choice in options)
    for name in {p.workload.workload_id: None for p in found.places}:
        model.add_at_most_one(
            var for p, var in zip(found.places, places, strict=True) if p.workload.workload_id == name
        )
    for group, units in found.gpus.items():
        held = [(p, var) for p, var in zip(found.places, places, strict=True) if p.group == group]
        model.add(sum(p.workload.gpus * var for p, var in held) <= units)
    variables = [*(modes[c.group, c.mode] for options in found.modes.values() for c in options), *places]
    chosen: list[ModeChoice | PlaceChoice] = [*(c for options in found.modes.values() for c in options), *found.places]
    load = cp_model.LinearExpr.weighted_sum(variables, [c.extra_w for c in chosen])
    model.add(load <= found.cap_extra_w)
    objective = cp_model.LinearExpr.weighted_sum(variables, [c.worth for c in chosen])
    if found.limit_extra_w is not None:
        excess = model.new_int_var(0, max(found.cap_extra_w, 1), "excess_w")
        model.add(load - excess <= found.limit_extra_w)
        objective -= found.penalty_per_w * excess
        model.add_hint(excess, 0)
    model.maximize(objective)
    for (group, mode), var in modes.items():
        model.add_hint(var, start.modes[group] is mode)
    for place, var in zip(found.places, places, strict=True):
        model.add_hint(var, start.places.get(place.workload.workload_id) == place.group)
    solver = _solver()
    status = solver.solve(model)
    if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        # No answer within the limit: the merit-order rule's, with a bound that needs no solver.
        return start, "FALLBACK", float(sum(max(c.worth, 0) for c in chosen))
    selection = Selection(
        {group: mode for (group, mode), var in modes.items() if solver.boolean_value(var)},
        {
            p.workload.workload_id: p.group
            for p, var in zip(found.places, places, strict=True)
            if solver.boolean_value(var)
        },
    )
    if worth(found, selection) < worth(found, start):
        selection = start
    return selection, "OPTIMAL" if status == cp_model.OPTIMAL else "FEASIBLE", solver.best_objective_bound


def _solver() -> Any:
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = SEED
    solver.parameters.max_deterministic_time = DETERMINISTIC_LIMIT
    return solver
