"""The plan of a planning problem: modes and placements over the horizon, with a proven bound on what could be better."""

from functools import cache
from importlib.metadata import version

import numpy as np
from ortools.linear_solver.python.model_builder_helper import ModelBuilderHelper, ModelSolverHelper

from streams.domain.plan.model import Model, build
from streams.domain.plan.problem import Floats, Ints, Placement, Plan, PlanProblem, ShadowPrice
from streams.domain.plan.value import outcome

MAX_NODES = 5


def solve_plan(problem: PlanProblem, warm: Plan | None = None) -> Plan:
    """Returns the best plan found. Deterministic; always gives one, and names what could not be kept."""
    model = build(problem)
    relaxed = _solved(model, "glop", "")
    bound = relaxed.objective_value() + model.constant_usd
    values = np.asarray(relaxed.variable_values())
    if not _is_integral(model, values):
        exact = _solved(model, "scip", f"limits/nodes = {MAX_NODES}\nlimits/gap = 0.0005", integer=True)
        if exact.has_solution():
            values = np.asarray(exact.variable_values())
            bound = min(bound, exact.best_objective_bound() + model.constant_usd)
    modes, placements = chosen(problem, model, values)
    found = outcome(problem, modes, placements)
    return Plan(
        modes=modes,
        placements=placements,
        load_mw=found.load_mw,
        objective_usd=found.worth_usd,
        bound_usd=max(bound, found.worth_usd),
        status="FEASIBLE",
        solver=solver_name(),
        shadow_prices=shadow_prices(problem, model, np.asarray(relaxed.dual_values())),
        given_up=found.given_up,
    )


@cache
def solver_name() -> str:
    """Solver and version, as it stands in each decision."""
    return f"OR-tools {version('ortools')}"


def _solved(model: Model, solver: str, settings: str, *, integer: bool = False) -> ModelSolverHelper:
    program = ModelBuilderHelper()
    program.fill_model_from_sparse_data(model.low, model.high, model.worth, model.row_low, model.row_high, model.matrix)
    program.set_maximize(True)
    if integer:
        for column in np.flatnonzero(model.is_integer).tolist():
            program.set_var_integrality(column, True)
    engine = ModelSolverHelper(solver)
    if settings:
        engine.set_solver_specific_parameters(settings)
    engine.solve(program)
    return engine


def _is_integral(model: Model, values: Floats) -> bool:
    whole = values[model.is_integer]
    return bool(np.all(np.abs(whole - np.rint(whole)) < 1e-6))


def chosen(problem: PlanProblem, model: Model, values: Floats) -> tuple[dict[str, Ints], dict[str, Placement]]:
    """Returns the modes and placements that an integral solution stands for."""
    running = np.rint(values[model.modes]).astype(np.int64)
    modes, row = {}, 0
    for group in problem.asic_groups:
        count = len(group.modes) - 1
        modes[group.group_id] = np.arange(1, count + 1) @ running[row : row + count]
        row += count
    found, taken = model.options, np.flatnonzero(values[model.places] > 0.5).tolist()
    placements = {
        problem.jobs[found.job[n]].job_id: Placement(
            problem.gpu_groups[found.group[n]].group_id, int(found.start[n]), int(found.stop[n])
        )
        for n in taken
    }
    return modes, placements


def shadow_prices(problem: PlanProblem, model: Model, duals: Floats) -> tuple[ShadowPrice, ...]:
    """Returns what one more unit of each binding limit is worth an hour, sorted."""
    hours = problem.interval_s / 3600
    found = []
    for rule, (subjects, rows) in model.limits.items():
        price = np.abs(duals[rows]) / hours
        found.extend(
            ShadowPrice(rule, subjects[n], int(t), float(price[n, t])) for n, t in np.argwhere(price > 1e-6).tolist()
        )
    return tuple(sorted(found, key=lambda entry: (entry.interval, entry.rule, entry.subject)))
