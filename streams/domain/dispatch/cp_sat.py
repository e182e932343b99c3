"""The exact optimum of one interval's choices: a multiple-choice knapsack with assignment, in integers by CP-SAT.

One worker, a fixed seed and a limit in deterministic time, so that the same choices give the same selection.
"""

from functools import cache
from importlib.metadata import version

from ortools.sat.python import cp_model

from streams.domain.choice import Choices, ModeChoice, PlaceChoice
from streams.domain.selection import Selection, worth

# In CP-SAT's deterministic seconds, about as long as wall seconds. What is found by then is taken, with its proven gap.
DETERMINISTIC_LIMIT = 0.5
SEED = 1


@cache
def name() -> str:
    """Solver and version, as it stands in each decision."""
    return f"OR-tools CP-SAT {version('ortools')}"


def engine(deterministic_s: float) -> cp_model.CpSolver:
    """Returns a solver whose answer depends on the model alone: one worker, a fixed seed, a limit in work done."""
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = SEED
    solver.parameters.max_deterministic_time = deterministic_s
    return solver


def best(found: Choices, start: Selection) -> tuple[Selection, str, float]:
    """Returns the best selection, its status (OPTIMAL, FEASIBLE or FALLBACK) and a bound on the worth, money units.

    Never worse than `start`, which is what a solver without an answer leaves.
    """
    model = cp_model.CpModel()
    chosen: list[ModeChoice | PlaceChoice] = [*(c for options in found.modes.values() for c in options), *found.places]
    variables = [model.new_bool_var("") for _ in chosen]
    _choose(model, found, chosen, variables)
    load = cp_model.LinearExpr.weighted_sum(variables, [choice.extra_w for choice in chosen])
    objective = cp_model.LinearExpr.weighted_sum(variables, [choice.worth for choice in chosen])
    model.add(load <= found.cap_extra_w)
    if found.limit_extra_w is not None:
        excess = model.new_int_var(0, max(found.cap_extra_w, 1), "excess_w")
        model.add(load - excess <= found.limit_extra_w)
        objective -= found.penalty_per_w * excess
    for floor in found.floors:
        short = model.new_int_var(0, max(floor.extra_w, 1), "short_w")
        model.add(load + short >= floor.extra_w)
        objective -= floor.penalty_per_w * short
    model.maximize(objective)
    for choice, var in zip(chosen, variables, strict=True):
        model.add_hint(var, _is_chosen(choice, start))
    solver = engine(DETERMINISTIC_LIMIT)
    status = solver.solve(model)
    if status not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        # No answer within the limit: the start, with a bound that needs no solver.
        return start, "FALLBACK", float(sum(max(choice.worth, 0) for choice in chosen))
    taken = [choice for choice, var in zip(chosen, variables, strict=True) if solver.boolean_value(var)]
    selection = Selection(
        {choice.group: choice.mode for choice in taken if isinstance(choice, ModeChoice)},
        {choice.workload.workload_id: choice.group for choice in taken if isinstance(choice, PlaceChoice)},
    )
    if worth(found, selection) < worth(found, start):
        selection = start
    return selection, "OPTIMAL" if status == cp_model.OPTIMAL else "FEASIBLE", solver.best_objective_bound


def _choose(
    model: cp_model.CpModel,
    found: Choices,
    chosen: list[ModeChoice | PlaceChoice],
    variables: list[cp_model.IntVar],
) -> None:
    pairs = list(zip(chosen, variables, strict=True))
    for group in found.modes:
        model.add_exactly_one(var for c, var in pairs if isinstance(c, ModeChoice) and c.group == group)
    places = [(c, var) for c, var in pairs if isinstance(c, PlaceChoice)]
    for name in {c.workload.workload_id: None for c, _ in places}:
        model.add_at_most_one(var for c, var in places if c.workload.workload_id == name)
    for group, units in found.gpus.items():
        model.add(sum(c.workload.gpus * var for c, var in places if c.group == group) <= units)
    for transformer, room_w in found.transformers.items():
        model.add(sum(c.extra_w * var for c, var in pairs if found.fed_by.get(c.group) == transformer) <= room_w)


def _is_chosen(choice: ModeChoice | PlaceChoice, selection: Selection) -> bool:
    match choice:
        case ModeChoice():
            return selection.modes[choice.group] is choice.mode
        case PlaceChoice():
            return selection.places.get(choice.workload.workload_id) == choice.group
