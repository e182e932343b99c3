"""Which jobs run where and when, as whole ones, at the prices of the relaxation: a program of the GPUs alone.

Power is paid for at its price. First come the options that the relaxation has asked for, which are few, beginning with
those of the greatest shares that fit; then, where they are not too many, all that can be in a better packing, beginning
with the best of the first: not those that lose more at the prices of the GPUs than what it is short of the bound. That
also proves a bound: gangs that are large beside their group share it badly, which no price of a GPU tells.

CP-SAT comes as far in a tenth of the time that branch and bound over the linear relaxation takes. It ends after work
done, so that the same problem gives the same bytes.
"""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from ortools.sat.python import cp_model
from scipy.sparse import csc_matrix

from streams.domain.dispatch import cp_sat
from streams.domain.penalty import Rule
from streams.domain.plan.master import Master
from streams.domain.plan.problem import Floats, Ints
from streams.domain.plan.relaxation import Relaxation
from streams.domain.plan.response import NONE

FIRST_LIMIT, ALL_LIMIT = 1.0, 2.0
"""In CP-SAT's deterministic seconds."""
GAP_RATIO = 1e-5
"""A tenth of the gap up to which a plan is called optimal."""
ENOUGH_RATIO = 1e-4
"""Up to this gap a packing of the first options is enough."""
MAX_OPTIONS = 8_000
"""Up to so many options that can be in a better packing are tried: all of those of a facility with a hundred jobs."""
UNITS_PER_USD = 1e4
"""Too few for what decides between equals (`placement.TIE`), which would take long to prove: the start decides."""
WATTS_PER_MW = 1e6
SHARE_DECIMALS = 3
"""Shares that differ by less are equal: the worth of a GPU-hour decides."""


@dataclass(frozen=True, slots=True, eq=False)
class Packing:
    """The option of each job, NONE where it does not run, and what no packing is worth more than.

    The worth is that of `Master.paid_usd`; the bound is infinite where none was proven.
    """

    placed: Ints
    bound_usd: float


@dataclass(frozen=True, slots=True, eq=False)
class _Program:
    """Options with their worth in units, what they take of the rows, and how much there is."""

    options: Ints
    worth: Ints
    matrix: csc_matrix
    most: Ints


def packed(master: Master, relaxed: Relaxation) -> Packing:
    """Returns the best packing found at the prices of the relaxation."""
    placed = np.full(master.jobs, NONE)
    share = {
        choice: float(relaxed.shares[n]) if n < relaxed.shares.size else 0.0
        for n, choice in enumerate(master.choice)
        if not isinstance(choice, np.ndarray)
    }
    if not share:
        return Packing(placed, np.inf)
    paid = master.paid_usd(relaxed.duals)
    asked = _program(master, paid, np.array(sorted(share), dtype=np.int64))
    start = _start(master, asked, paid, np.array([share[option] for option in asked.options.tolist()]))
    chosen, _ = _best(asked, start, FIRST_LIMIT)
    bound_usd = np.inf
    most_usd, loss_usd = master.losses_usd(relaxed.duals)
    short_usd = most_usd - (asked.worth[chosen].sum() - master.jobs) / UNITS_PER_USD
    open_options = np.union1d(np.flatnonzero(loss_usd <= short_usd), asked.options[chosen])
    if short_usd <= ENOUGH_RATIO * most_usd:
        bound_usd, options = most_usd, asked.options[chosen]
    elif open_options.size <= MAX_OPTIONS:
        whole = _program(master, paid, open_options)
        chosen, bound = _best(whole, np.isin(whole.options, asked.options[chosen]), ALL_LIMIT)
        # Rounding takes half a unit off each job at most. A call's limit may be broken at a price: with it no bound.
        if whole.most.size == _rows_of_jobs(master):
            bound_usd = (bound + master.jobs / 2) / UNITS_PER_USD
        options = whole.options[chosen]
    else:
        options = asked.options[chosen]
    placed[master.options.job[options]] = options
    return Packing(placed, bound_usd)


def _start(master: Master, asked: _Program, paid_usd: Floats, share: Floats) -> NDArray[np.bool_]:
    """The options that still fit, of the greatest share first, and of equal ones that of the dearest GPU-hours."""
    found, matrix = master.options, asked.matrix
    each = (paid_usd / (found.gpus * (found.stop - found.start)))[asked.options]
    chosen, left = np.zeros(asked.options.size, dtype=np.bool_), asked.most.copy()
    for n in np.lexsort((-each, -np.round(share, SHARE_DECIMALS))).tolist():
        column = slice(matrix.indptr[n], matrix.indptr[n + 1])
        rows, needed = matrix.indices[column], matrix.data[column]
        if asked.worth[n] > 0 and (left[rows] >= needed).all():
            left[rows] -= needed
            chosen[n] = True
    return chosen


def _best(program: _Program, start: NDArray[np.bool_], limit_s: float) -> tuple[NDArray[np.bool_], float]:
    """The best choice found, at least `start`, and a bound in units."""
    worth = program.worth
    model = cp_model.CpModel()
    variables = [model.new_bool_var("") for _ in range(worth.size)]
    rows = program.matrix.tocsr()
    for row, limit in enumerate(program.most.tolist()):
        entries = slice(rows.indptr[row], rows.indptr[row + 1])
        factors = rows.data[entries]
        if factors.sum() > limit:
            terms = [variables[n] for n in rows.indices[entries].tolist()]
            # The stubs know sequences of Python numbers only.
            model.add(cast("Any", cp_model.LinearExpr.weighted_sum(terms, factors.tolist()) <= limit))
    model.maximize(cp_model.LinearExpr.weighted_sum(variables, worth.tolist()))
    for variable, is_chosen in zip(variables, start.tolist(), strict=True):
        model.add_hint(variable, is_chosen)
    solver = cp_sat.engine(limit_s)
    # Presolve finds nothing here that pays for itself; all cuts do.
    solver.parameters.symmetry_level = solver.parameters.cp_model_probing_level = 0
    solver.parameters.linearization_level = 2
    solver.parameters.relative_gap_limit = GAP_RATIO
    if solver.solve(model) not in {cp_model.OPTIMAL, cp_model.FEASIBLE}:
        return start, np.inf
    found = np.array([solver.boolean_value(variable) for variable in variables])
    return found if worth[found].sum() > worth[start].sum() else start, solver.best_objective_bound


def _program(master: Master, paid_usd: Floats, options: Ints) -> _Program:
    """The rows are GPUs, one for each job, and power where jobs alone could be short of it, W."""
    found, problem = master.options, master.problem
    groups, count = problem.gpu_groups, problem.intervals
    length = found.stop[options] - found.start[options]
    column = np.repeat(np.arange(options.size), length)
    time = np.arange(column.size) - np.repeat(np.cumsum(length) - length, length) + found.start[options][column]
    group = found.group[options][column]
    gpus, power_w = found.gpus[options][column], np.ceil(found.power_mw[options][column] * WATTS_PER_MW)
    units = np.array([g.units for g in groups], dtype=np.int64)
    terms = [
        (group * count + time, column, gpus),
        (units.size + found.job[options], np.arange(options.size), np.ones(options.size, dtype=np.int64)),
    ]
    most = [units.ravel(), np.ones(master.jobs, dtype=np.int64)]
    for members, room_mw in _rooms(master):
        mine = members[group]
        terms.append((sum(h.size for h in most) + time[mine], column[mine], power_w[mine].astype(np.int64)))
        most.append(np.floor(room_mw * WATTS_PER_MW).astype(np.int64))
    row, col, factor = (np.concatenate(part) for part in zip(*terms, strict=True))
    limit = np.concatenate(most)
    matrix = csc_matrix((factor, (row, col)), shape=(limit.size, options.size), dtype=np.int64)
    return _Program(options, np.round(paid_usd[options] * UNITS_PER_USD).astype(np.int64), matrix, limit)


def _rows_of_jobs(master: Master) -> int:
    return len(master.problem.gpu_groups) * master.problem.intervals + master.jobs


def _rooms(master: Master) -> list[tuple[NDArray[np.bool_], Floats]]:
    """Limits of power that jobs alone could break: the GPU groups behind each, and MW over rest in each interval."""
    problem, frame = master.problem, master.frame
    low, high = np.concatenate(frame.sheet.row_low), np.concatenate(frame.sheet.row_high)
    most = np.array([g.units * g.unit_power_mw for g in problem.gpu_groups])
    sites = zip(problem.sites, frame.load_row, strict=True)
    rooms = [(frame.gpu_load[:, 0] == r[0], np.minimum(site.cap_mw, site.limit_mw) - low[r]) for site, r in sites]
    _, transformers = frame.limits.get(Rule.TRANSFORMER_CAP, ((), ()))
    rooms += [(frame.gpu_transformer[:, 0] == rows[0], high[rows]) for rows in transformers]
    return [(members, np.maximum(room, 0.0)) for members, room in rooms if (most[members].sum(axis=0) > room).any()]
