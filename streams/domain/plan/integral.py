"""The plan of a small problem, one or two facilities of some groups: its program in whole numbers, by CP-SAT.

Gangs that are large beside their group, and groups that are large beside a cap, leave the linear relaxation far from
any plan; CP-SAT settles in a second what branch and bound over that relaxation leaves open after hundreds of nodes.
Shadow prices are the duals of the relaxation, by HiGHS; where jobs run on over several intervals, only the sum of what
one more GPU is worth in all of these is settled, not which of them has it. The search ends after work done, so that the
same problem gives the same bytes.

Power counts in parts of a watt, the tail of costs in tenths of a cent, money as finely as 64 bits allow. All is rounded
to the side of what is allowed and of what is worth more, so that the bound holds, and so finely that a load is over its
limit by less than a watt, or at a large site by less than a millionth of what it can draw.
"""

import math
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from ortools.sat.python import cp_model
from scipy.sparse import csr_matrix

from streams.domain.dispatch import cp_sat
from streams.domain.plan.highs import of_sheet
from streams.domain.plan.problem import Floats, Ints, Placement, PlanProblem
from streams.domain.plan.program import Program, chosen, program
from streams.domain.plan.proof import Proof

MAX_COLUMNS = 2_500
"""Up to this size CP-SAT is quicker than column generation, which has few schedules to choose among."""
FIRST_LIMIT, LIMIT = 0.5, 3.0
"""In CP-SAT's deterministic seconds."""
GAP_RATIO = 5e-5
"""Half of the gap up to which a plan is called optimal: rounding may add to it."""
UNITS_PER_TAIL_USD, MOST_UNITS_PER_USD = 1e3, 1e9
MOST_UNITS = 2.0**60
"""All terms of the worth together, of what CP-SAT takes: what it adds up must not go over 63 bits."""
WATTS_PER_MW, MOST_PARTS = 1e6, 1e8
"""Of a megawatt, and of all that a site can draw. With numbers over a billion CP-SAT's presolve has proven optima that
were none (google/or-tools issue 5293); without that step of it, hard plans stay far from theirs."""
_LOWEST, _HIGHEST = -(2**63), 2**63 - 1
SHARE_DECIMALS = 3
"""Shares that differ by less are equal: the order of the options decides."""


@dataclass(frozen=True, slots=True, eq=False)
class Whole:
    """Modes and placements, and what proves them."""

    modes: dict[str, Ints]
    placements: dict[str, Placement]
    proof: Proof


@dataclass(frozen=True, slots=True, eq=False)
class _Numbers:
    """The program without its loads, which are what runs: worth, terms, and bounds of columns and rows; `fixed_usd`.

    `units`: whole numbers to one of a column, 1 where it is a count; `fine`: those to a megawatt or dollar in a row;
    `per_usd`: those to a dollar of worth.
    """

    worth: Floats
    fixed_usd: float
    matrix: csr_matrix
    low: Floats
    high: Floats
    row_low: Floats
    row_high: Floats
    units: Floats
    fine: float
    per_usd: float


def whole(problem: PlanProblem) -> Whole | None:
    """Returns the best plan of a small problem; None for a large one, or where none was found by the limit."""
    # The modes alone may be too many: then the program need not be made.
    if sum(len(group.modes) - 1 for group in problem.asic_groups) * problem.intervals > MAX_COLUMNS:
        return None
    made = program(problem)
    if made.sheet.n_columns > MAX_COLUMNS:
        return None
    numbers = _numbers(problem, made)
    model, variables = _model(numbers)
    shares, duals = _relaxed(made)
    # First with the jobs where the relaxation asks for them most, which is easy, then from there.
    placed = _placed(numbers, made, shares)
    domains = [model.proto.variables[option].domain for option in made.places.tolist()]
    for domain, is_placed in zip(domains, placed.tolist(), strict=True):
        domain[0] = domain[1] = is_placed
    start, _ = _solved(model, variables, FIRST_LIMIT)
    for domain in domains:
        domain[0], domain[1] = 0, 1
    if start is not None:
        model.proto.solution_hint.vars.extend(range(len(variables)))
        model.proto.solution_hint.values.extend(start.tolist())
    found, bound = _solved(model, variables, LIMIT)
    if found is None:
        return None
    proof = Proof(bound / numbers.per_usd, duals, made.frame)
    return Whole(*chosen(problem, made, found / numbers.units), proof)


def _solved(model: cp_model.CpModel, variables: list[cp_model.IntVar], limit_s: float) -> tuple[Ints | None, float]:
    solver = cp_sat.engine(limit_s)
    solver.parameters.linearization_level = 2
    solver.parameters.relative_gap_limit = GAP_RATIO
    if solver.solve(model) not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        return None, np.inf
    return np.array([solver.value(variable) for variable in variables]), solver.best_objective_bound


def _relaxed(made: Program) -> tuple[Floats, Floats]:
    """The values of the columns and the duals of the rows."""
    settings = highspy.HighsOptions()
    settings.output_flag, settings.threads, settings.random_seed, settings.presolve = False, 1, 1, "off"
    engine = of_sheet(made.sheet, settings)
    engine.run()
    solution = engine.getSolution()
    return np.array(solution.col_value), np.array(solution.row_dual)


def _placed(numbers: _Numbers, made: Program, shares: Floats) -> Ints:
    """1 for the options that fit, of the greatest shares first."""
    rows = made.frame.gpu_units.ravel()
    terms, left = numbers.matrix[rows][:, made.places].tocsc(), numbers.row_high[rows].copy()
    placed, share = np.zeros(made.places.size, dtype=np.int64), np.round(shares[made.places], SHARE_DECIMALS)
    done: set[int] = set()
    for n in np.argsort(-share, kind="stable")[: np.count_nonzero(share)].tolist():
        entries = slice(terms.indptr[n], terms.indptr[n + 1])
        at, needed = terms.indices[entries], terms.data[entries]
        if made.options.job[n] not in done and (left[at] >= needed).all():
            left[at] -= needed
            placed[n] = 1
            done.add(int(made.options.job[n]))
    return placed


def _numbers(problem: PlanProblem, made: Program) -> _Numbers:
    sheet, frame = made.sheet, made.frame
    low, high = np.concatenate(sheet.low), np.concatenate(sheet.high)
    row_low, row_high = np.concatenate(sheet.row_low), np.concatenate(sheet.row_high)
    terms, worth = csr_matrix(sheet.matrix()), sheet.worths()
    # load = base + what runs: the load of each row is put in by that, and its row and column are left empty.
    load, rows = frame.load.ravel(), frame.load_row.ravel()
    put, runs, base = terms[:, load], terms[rows], row_low[rows]
    fixed_usd, shift = made.constant_usd + float(worth[load] @ base), put @ base
    worth = worth - runs.T @ worth[load]
    worth[load] = 0.0
    terms = csr_matrix(terms - put @ runs)
    row_low, row_high = row_low - shift, row_high - shift
    row_low[rows], row_high[rows] = -np.inf, np.inf
    # Idle GPUs are worth nothing: they are what the others leave.
    row_low[frame.gpu_units] = -np.inf
    first = int(np.append(made.modes, made.places).min(initial=sheet.n_columns))
    units = np.ones(sheet.n_columns)
    # A row has at most two terms of a group or job, as a ramp does, and one of what is over.
    parts_per_mw = WATTS_PER_MW * (2 * (len(problem.asic_groups) + len(problem.jobs)) + 1)
    fine = min(parts_per_mw, MOST_PARTS / float(high[load].max(initial=1.0)))
    units[:first] = fine
    if frame.tail_row.size:
        units[first - 1 - frame.tail_row.size : first] = UNITS_PER_TAIL_USD
    high = np.where(np.isinf(high), problem.intervals, high)
    most_usd = abs(fixed_usd) + float(np.abs(worth) @ np.maximum(np.abs(low), np.abs(high)))
    per_usd = min(MOST_UNITS_PER_USD, MOST_UNITS / max(most_usd, 1.0))
    return _Numbers(worth, fixed_usd, terms, low, high, row_low, row_high, units, fine, per_usd)


def _model(numbers: _Numbers) -> tuple[cp_model.CpModel, list[cp_model.IntVar]]:
    model, units = cp_model.CpModel(), numbers.units
    low = np.floor(numbers.low * units).astype(np.int64)
    high = np.ceil(numbers.high * units).astype(np.int64)
    variables = [model.new_int_var(a, b, "") for a, b in zip(low.tolist(), high.tolist(), strict=True)]
    _add_rows(model, numbers)
    worth = np.ceil(numbers.worth / units * numbers.per_usd).astype(np.int64)
    some = np.flatnonzero(worth)
    fixed = int(np.ceil(numbers.fixed_usd * numbers.per_usd))
    model.maximize(_sum([variables[n] for n in some.tolist()], worth[some]) + fixed)
    return model, variables


def _add_rows(model: cp_model.CpModel, numbers: _Numbers) -> None:
    matrix = numbers.matrix
    rows = np.flatnonzero(np.diff(matrix.indptr))  # those of the loads are empty
    first, length = matrix.indptr[rows], np.diff(matrix.indptr)[rows]
    columns, factors = matrix.indices, matrix.data
    one = numbers.units[columns]
    is_count = np.logical_and.reduceat((one == 1) & (factors == np.round(factors)), first)
    scale = np.where(is_count, 1.0, numbers.fine)
    spare = np.where(is_count, 0.0, np.maximum.reduceat(np.where(one > 1, numbers.fine / one, 0.0), first))
    scaled = factors * np.repeat(scale, length) / one
    at_most, at_least = np.floor(scaled).astype(np.int64).tolist(), np.ceil(scaled).astype(np.int64).tolist()
    least, most = numbers.row_low[rows] * scale - spare, numbers.row_high[rows] * scale + spare
    names, ends = columns.tolist(), (first + length).tolist()

    def add(terms: slice, weights: list[int], lowest: int, highest: int) -> None:
        row = model.proto.constraints.add().linear
        row.vars.extend(names[terms])
        row.coeffs.extend(weights[terms])
        row.domain.extend([lowest, highest])

    for start, end, low, high in zip(first.tolist(), ends, least.tolist(), most.tolist(), strict=True):
        terms = slice(start, end)
        if low == high:
            add(terms, at_most, int(high), int(high))
            continue
        if high < np.inf:
            add(terms, at_most, _LOWEST, math.ceil(high))
        if low > -np.inf:
            add(terms, at_least, math.floor(low), _HIGHEST)


def _sum(variables: list[cp_model.IntVar], factors: Floats | Ints) -> Any:
    # The stubs know sequences of Python numbers only, and take a comparison for a truth value.
    return cp_model.LinearExpr.weighted_sum(variables, factors.astype(np.int64).tolist())
