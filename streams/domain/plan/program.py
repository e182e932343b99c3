"""A planning problem as one mixed-integer program with a variable for each mode and interval.

    x[g,m,t]  ASIC group g runs in mode m > OFF, binary; u = sum over m <= 1, 0 where it is not available
    y, z      it starts, it stops:                  y[t] - z[t] = u[t] - u[t-1]
    minimum run:   y[t-U+1] + ... + y[t] <= u[t] + too short      (the facets of Rajan and Takriti, "Minimum Up/Down
    minimum rest:  z[t-D+1] + ... + z[t] <= 1 - u[t] + too short   Polytopes of the Unit Commitment Problem", 2005)
    p[o]      a job takes its option o, binary; at most one a job; GPUs of what runs on a group <= its units

Rules and costs of sites are those of `streams.domain.plan.site_rule`; groups and jobs share nothing with the column
generation of `streams.domain.plan.master`.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.domain.penalty import PENALTY_USD_MWH, Rule
from streams.domain.plan.placement import Options, options
from streams.domain.plan.problem import AsicGroup, Floats, Ints, Placement, PlanProblem
from streams.domain.plan.sheet import INF, Sheet
from streams.domain.plan.site_rule import Frame, frame


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """The program; positions of the columns of running modes (all groups', intervals) and of options."""

    frame: Frame
    modes: Ints
    places: Ints
    options: Options
    constant_usd: float

    @property
    def sheet(self) -> Sheet:
        """Columns, rows and terms."""
        return self.frame.sheet


def program(problem: PlanProblem) -> Program:
    """Returns the program of a problem."""
    found, rules = options(problem), frame(problem)
    modes = asic_rules(rules, problem)
    places = rules.sheet.columns((found.job.size,), high=1.0, worth=found.worth_usd + found.tie_usd, integer=True)
    _job_rules(rules, found, places)
    return Program(rules, modes, places, found, rules.constant_usd + float(found.rest_usd.sum()))


def chosen(problem: PlanProblem, made: Program, values: Floats) -> tuple[dict[str, Ints], dict[str, Placement]]:
    """Returns the modes and placements that an integral solution stands for."""
    running = np.rint(values[made.modes]).astype(np.int64)
    modes, row = {}, 0
    for group in problem.asic_groups:
        count = len(group.modes) - 1
        modes[group.group_id] = np.arange(1, count + 1) @ running[row : row + count]
        row += count
    found, taken = made.options, np.flatnonzero(values[made.places] > 0.5).tolist()
    return modes, {
        problem.jobs[found.job[n]].job_id: Placement(
            problem.gpu_groups[found.group[n]].group_id, int(found.start[n]), int(found.stop[n])
        )
        for n in taken
    }


def asic_rules(rules: Frame, problem: PlanProblem) -> Ints:
    """Adds the ASIC groups; returns the columns of running modes, (all groups' modes, intervals)."""
    sheet, hours, count = rules.sheet, problem.interval_s / 3600, problem.intervals
    groups = problem.asic_groups
    owner = np.array([n for n, group in enumerate(groups) for _ in group.modes[1:]], dtype=np.int64)
    extra = np.array([m.power_mw - g.modes[0].power_mw for g in groups for m in g.modes[1:]])
    earned = np.array([m.revenue_usd_h - g.modes[0].revenue_usd_h for g in groups for m in g.modes[1:]]) * hours
    available = np.array([group.available for group in groups], dtype=np.bool_).reshape(len(groups), count)
    high = available[owner].astype(np.float64)
    modes = sheet.columns((owner.size, count), high=high, worth=earned[:, None], integer=True)
    if not groups:
        return modes
    sheet.add(rules.asic_load[owner], modes, -extra[:, None])
    through = rules.asic_transformer[owner]
    has = through[:, 0] >= 0
    sheet.add(through[has], modes[has], extra[has][:, None])
    _commitment(sheet, problem, modes, owner, available)
    return modes


def _commitment(sheet: Sheet, problem: PlanProblem, modes: Ints, owner: Ints, available: NDArray[np.bool_]) -> None:
    groups, count = problem.asic_groups, problem.intervals
    shape = (len(groups), count)
    starts = sheet.columns(shape, high=1.0, worth=-np.array([[g.start_cost_usd] for g in groups]))
    stops = sheet.columns(shape, high=1.0, worth=-np.array([[g.stop_cost_usd] for g in groups]))
    before = np.zeros(shape)
    before[:, 0] = [g.mode_before > 0 for g in groups]
    # u[t] - u[t-1] - y[t] + z[t] = 0
    rows = sheet.rows(starts, -1.0, before, before)
    sheet.add(rows, stops, 1.0)
    sheet.add(rows[owner], modes, 1.0)
    sheet.add(rows[owner][:, 1:], modes[:, :-1], -1.0)
    on_rows = _window_rows(sheet, problem, starts, available, Rule.MINIMUM_RUN)
    sheet.add(on_rows[owner], modes, -1.0)
    off_rows = _window_rows(sheet, problem, stops, np.ones_like(available), Rule.MINIMUM_REST)
    sheet.add(off_rows[owner], modes, 1.0)
    # Where a rest may be cut short, the row above no longer keeps a group to one mode.
    for n in [n for n, group in enumerate(groups) if group.min_down > 1 and len(group.modes) > 2]:
        own = np.flatnonzero(owner == n)
        once = sheet.rows(modes[own[0]], 1.0, -INF, 1.0)
        sheet.add(once, modes[own[1:]], 1.0)
    changing = np.array([g.change_cost_usd > 0 and len(g.modes) > 2 for g in groups])[owner]
    if changing.any():
        own = owner[changing]
        cost = np.array([g.change_cost_usd for g in groups])[own]
        change = sheet.columns((own.size, count), high=1.0, worth=-cost[:, None])
        is_before = np.array([g.mode_before == m for g in groups for m in range(1, len(g.modes))])[changing]
        high = np.zeros(change.shape)
        high[:, 0] = is_before
        rows = sheet.rows(modes[changing], 1.0, -INF, high)
        sheet.add(rows[:, 1:], modes[changing][:, :-1], -1.0)
        sheet.add(rows, starts[own], -1.0)
        sheet.add(rows, change, -1.0)


def _window_rows(sheet: Sheet, problem: PlanProblem, switched: Ints, active: NDArray[np.bool_], rule: Rule) -> Ints:
    """Rows: switches in the window - too short <= 0 (of a run) or 1 (of a rest); the caller adds the state."""
    hours, count = problem.interval_s / 3600, problem.intervals
    groups, is_run = problem.asic_groups, rule is Rule.MINIMUM_RUN
    span = np.array([max(g.min_up if is_run else g.min_down, 1) for g in groups])
    full_mw = np.array([max(m.power_mw for m in g.modes) for g in groups])
    penalty = PENALTY_USD_MWH[rule] * hours * full_mw
    carried = np.array([_carried(g, count, is_run=is_run) for g in groups])
    short = sheet.columns(switched.shape, high=np.where(span > 1, INF, 0.0)[:, None], worth=-penalty[:, None])
    high = np.where(active, (0.0 if is_run else 1.0) - carried, INF)
    rows = sheet.rows(short, -1.0, -INF, high)
    time = np.arange(count)
    last_out = np.maximum.accumulate(np.where(active, -1, time), axis=1)
    first = np.maximum(time - span[:, None] + 1, last_out + 1)
    for lag in range(min(int(span.max(initial=1)), count)):
        group, t = np.nonzero(time - lag >= first)
        sheet.add(rows[group, t], switched[group, t - lag], 1.0)
    return rows


def _carried(group: AsicGroup, count: int, *, is_run: bool) -> Ints:
    """1 in the intervals in which a start (or stop) before the horizon still binds the group, else 0."""
    left = (group.min_up if is_run else group.min_down) - group.held
    bound = (group.mode_before > 0) is is_run and left > 0
    carried = np.arange(count) < (left if bound else 0)
    if is_run:
        carried &= np.logical_and.accumulate(group.available)
    return carried.astype(np.int64)


def _job_rules(rules: Frame, found: Options, places: Ints) -> None:
    if not found.job.size:
        return
    sheet = rules.sheet
    jobs, first = np.unique(found.job, return_index=True)
    one = sheet.rows(places[first], 1.0, -INF, 1.0)
    others = np.setdiff1d(np.arange(found.job.size), first)
    sheet.add(one[np.searchsorted(jobs, found.job[others])], places[others], 1.0)
    # Each option once for every interval that it runs.
    length = found.stop - found.start
    option = np.repeat(np.arange(found.job.size), length)
    time = np.arange(option.size) - np.repeat(np.cumsum(length) - length, length) + found.start[option]
    group = found.group[option]
    sheet.add(rules.gpu_units[group, time], places[option], found.gpus[option].astype(np.float64))
    sheet.add(rules.gpu_load[group, time], places[option], -found.power_mw[option])
    through = rules.gpu_transformer[group, time]
    has = through >= 0
    sheet.add(through[has], places[option[has]], found.power_mw[option[has]])
