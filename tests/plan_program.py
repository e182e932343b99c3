"""The program of a planning problem, solved by a solver of OR-tools: the planner's peer."""

from typing import Any

import numpy as np
from ortools.linear_solver.python.model_builder_helper import ModelBuilderHelper, ModelSolverHelper

from streams.domain.plan.program import Program


def solved(
    made: Program, solver: str, settings: str = "", *, relaxed: bool = False, seconds: float | None = None
) -> Any:
    """Returns the OR-tools solver after its run; `seconds` is for benchmarks only."""
    sheet = made.sheet
    model: Any = ModelBuilderHelper()
    model.fill_model_from_sparse_data(
        np.concatenate(sheet.low),
        np.concatenate(sheet.high),
        sheet.worths(),
        np.concatenate(sheet.row_low),
        np.concatenate(sheet.row_high),
        sheet.matrix(),
    )
    model.set_maximize(True)
    if not relaxed:
        for column in np.flatnonzero(np.concatenate(sheet.integer)).tolist():
            model.set_var_integrality(column, True)
    engine = ModelSolverHelper(solver)
    if settings:
        engine.set_solver_specific_parameters(settings)
    if seconds is not None:
        engine.set_time_limit_in_seconds(seconds)
    engine.solve(model)
    return engine
