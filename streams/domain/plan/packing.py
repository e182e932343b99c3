"""Which jobs run where and when, as whole ones, at the prices of the relaxation: a program of the GPUs alone.

Power is paid for at its price and the options are those that the relaxation has asked for, so the program is small and
nearly whole by itself. HiGHS with one thread, a fixed seed and a limit in nodes, so that the same problem gives the
same bytes.
"""

import highspy
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_matrix

from streams.domain.plan.highs import loaded
from streams.domain.plan.master import Master
from streams.domain.plan.penalty import Rule
from streams.domain.plan.problem import Floats, Ints
from streams.domain.plan.response import NONE

GAP_RATIO = 1e-4
MAX_NODES = 20


def packed(master: Master, duals: Floats) -> Ints:
    """Returns the option of each job, NONE where it does not run."""
    found = master.options
    placed = np.full(master.jobs, NONE)
    taken = [choice for choice in master.choice if not isinstance(choice, np.ndarray)]
    if not taken:
        return placed
    options = np.array(sorted(taken), dtype=np.int64)
    worth = master.paid_usd(duals)[options]
    matrix, high = _limits(master, options)
    engine = loaded(
        worth, (np.zeros(worth.size), np.ones(worth.size)), (np.full(high.size, -np.inf), high), matrix, _settings()
    )
    columns = np.arange(worth.size, dtype=np.int32)
    engine.changeColsIntegrality(columns.size, columns, np.full(columns.size, highspy.HighsVarType.kInteger))
    engine.run()
    if engine.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
        return placed
    values = np.array(engine.getSolution().col_value)
    chosen = options[values > 0.5]
    placed[found.job[chosen]] = chosen
    return placed


def _limits(master: Master, options: Ints) -> tuple[csc_matrix, Floats]:
    """Rows of what options take together, and how much there is: GPUs, power where it could be short, one a job."""
    found, problem = master.options, master.problem
    groups, count = problem.gpu_groups, problem.intervals
    length = found.stop[options] - found.start[options]
    column = np.repeat(np.arange(options.size), length)
    time = np.arange(column.size) - np.repeat(np.cumsum(length) - length, length) + found.start[options][column]
    group = found.group[options][column]
    gpus, power = found.gpus[options][column].astype(np.float64), found.power_mw[options][column]
    units = np.array([g.units for g in groups], dtype=np.float64)
    terms = [
        (group * count + time, column, gpus),
        (units.size + found.job[options], np.arange(options.size), np.ones(options.size)),
    ]
    high = [units.ravel(), np.ones(master.jobs)]
    for members, room in _rooms(master):
        mine = members[group]
        terms.append((sum(h.size for h in high) + time[mine], column[mine], power[mine]))
        high.append(room)
    row, col, factor = (np.concatenate(part) for part in zip(*terms, strict=True))
    limit = np.concatenate(high)
    return csc_matrix((factor, (row, col)), shape=(limit.size, options.size)), limit


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


def _settings() -> highspy.HighsOptions:
    settings = highspy.HighsOptions()
    settings.output_flag, settings.threads, settings.random_seed = False, 1, 1
    settings.mip_rel_gap, settings.mip_max_nodes = GAP_RATIO, MAX_NODES
    return settings
