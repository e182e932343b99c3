"""The plan of a small problem, one or two facilities of some groups: its program solved to the end by branch and bound.

Shadow prices are the duals of the linear relaxation. Where jobs run on over several intervals, only the sum of what one
more GPU is worth in all of these is settled, not which of them has it. HiGHS with one thread, a fixed seed and a limit
in nodes, so that the same problem gives the same bytes.
"""

from dataclasses import dataclass

import highspy
import numpy as np
from scipy.sparse import csc_matrix

from streams.domain.plan.highs import loaded
from streams.domain.plan.problem import Ints, Placement, PlanProblem
from streams.domain.plan.program import Program, chosen, program
from streams.domain.plan.proof import Proof

MAX_COLUMNS = 2_500
"""Up to this size the branch and bound is quicker than column generation, which has few schedules to choose among."""
MAX_NODES = 200
"""A gang that needs all GPUs of a group takes a hundred; more settle little that these leave open."""
GAP_RATIO = 1e-4


@dataclass(frozen=True, slots=True, eq=False)
class Exact:
    """Modes and placements, and what proves them."""

    modes: dict[str, Ints]
    placements: dict[str, Placement]
    proof: Proof


def exact(problem: PlanProblem) -> Exact | None:
    """Returns the best plan of a small problem; None for a large one, or where the nodes did not give any."""
    # The modes alone may be too many: then the program need not be made.
    if sum(len(group.modes) - 1 for group in problem.asic_groups) * problem.intervals > MAX_COLUMNS:
        return None
    made = program(problem)
    if made.sheet.n_columns > MAX_COLUMNS:
        return None
    engine = _engine(made)
    engine.run()
    duals = np.array(engine.getSolution().row_dual)
    whole = np.flatnonzero(np.concatenate(made.sheet.integer)).astype(np.int32)
    engine.changeColsIntegrality(whole.size, whole, np.full(whole.size, highspy.HighsVarType.kInteger))
    engine.run()
    info = engine.getInfo()
    if info.primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return None
    modes, placements = chosen(problem, made, np.array(engine.getSolution().col_value))
    return Exact(modes, placements, Proof(float(info.mip_dual_bound) + made.constant_usd, duals, made.frame))


def _engine(made: Program) -> highspy.Highs:
    settings = highspy.HighsOptions()
    settings.output_flag, settings.threads, settings.random_seed = False, 1, 1
    # On these programs presolve takes two thirds of the time and saves no node.
    settings.presolve = "off"
    settings.mip_rel_gap, settings.mip_max_nodes = GAP_RATIO, MAX_NODES
    # Strong branching takes longer than all nodes and saves few of them.
    settings.mip_pscost_minreliable = 0
    sheet = made.sheet
    columns = np.concatenate(sheet.low), np.concatenate(sheet.high)
    rows = np.concatenate(sheet.row_low), np.concatenate(sheet.row_high)
    return loaded(sheet.worths(), columns, rows, csc_matrix(sheet.matrix()), settings)
