"""A planning problem as one sparse mixed-integer program, built in bulk with arrays.

    maximise  worth of the modes and placements - cost of energy - switching - penalties

    x[g,m,t]  ASIC group g runs in mode m > OFF, binary; u = sum over m <= 1, 0 where it is not available
    y, z      it starts, it stops:                  y[t] - z[t] = u[t] - u[t-1]
    minimum run:   y[t-U+1] + ... + y[t] <= u[t] + too short      (the facets of Rajan and Takriti, "Minimum Up/Down
    minimum rest:  z[t-D+1] + ... + z[t] <= 1 - u[t] + too short   Polytopes of the Unit Commitment Problem", 2005)
    p[o]      a job takes its option o, binary; at most one a job; GPUs of what runs on a group <= its units
    L[i,t]    load of a site = base + what runs;    L <= cap + over;  L <= limit + excess;  L >= minimum - short
              |L[t] - L[t-1]| <= ramp + jump;       spill >= block - sell back - L
    CVaR      eta + sum of probability * tail[w] / share,  tail[w] >= cost of scenario w - eta   (Rockafellar and
              Uryasev, "Optimization of Conditional Value-at-Risk", 2000): the load is decided before the price is known

The load is one variable a site and interval, so costs, limits and scenarios touch few columns.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from streams.domain.plan.penalty import PENALTY_USD_MWH, Rule
from streams.domain.plan.placement import Options, options
from streams.domain.plan.problem import AsicGroup, Floats, Ints, PlanProblem

INF = float("inf")


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """Maximise `worth @ v + constant_usd` with `row_low <= matrix @ v <= row_high`, `low <= v <= high`.

    `modes` (running modes of all groups in order, intervals), `starts` and others are positions of columns; `limits`
    has for each limiting rule its subjects and the positions of its rows (subjects, intervals).
    """

    low: Floats
    high: Floats
    worth: Floats
    is_integer: NDArray[np.bool_]
    row_low: Floats
    row_high: Floats
    matrix: csr_matrix
    constant_usd: float
    modes: Ints
    places: Ints
    options: Options
    limits: dict[Rule, tuple[tuple[str, ...], Ints]]


def build(problem: PlanProblem) -> Model:
    """Returns the program of a problem."""
    found = options(problem)
    sheet = _Sheet()
    shape = (len(problem.sites), problem.intervals)
    load = sheet.columns(shape, low=-INF)
    load_row = sheet.rows(load, np.ones(shape), _base_mw(problem), _base_mw(problem))
    limits: dict[Rule, tuple[tuple[str, ...], Ints]] = {}
    spill = _site_rules(sheet, problem, load, limits)
    transformer_row = _transformer_rows(sheet, problem, limits)
    modes = _asic_rules(sheet, problem, load_row, transformer_row)
    places = sheet.columns((found.job.size,), high=1.0, worth=found.worth_usd + found.tie_usd, integer=True)
    _job_rules(sheet, problem, found, places, load_row, transformer_row, limits)
    _energy(sheet, problem, load, spill)
    matrix = sheet.matrix()
    return Model(
        low=np.concatenate(sheet.low),
        high=np.concatenate(sheet.high),
        worth=sheet.worths(),
        is_integer=np.concatenate(sheet.integer),
        row_low=np.concatenate(sheet.row_low),
        row_high=np.concatenate(sheet.row_high),
        matrix=matrix,
        constant_usd=_constant_usd(problem) + float(found.rest_usd.sum()),
        modes=modes,
        places=places,
        options=found,
        limits=limits,
    )


@dataclass(slots=True)
class _Sheet:
    """Columns, rows and terms as they are added; shapes of the arguments are broadcast."""

    low: list[Floats] = field(default_factory=list)
    high: list[Floats] = field(default_factory=list)
    worth: list[Floats] = field(default_factory=list)
    integer: list[NDArray[np.bool_]] = field(default_factory=list)
    row_low: list[Floats] = field(default_factory=list)
    row_high: list[Floats] = field(default_factory=list)
    terms: list[tuple[Ints, Ints, Floats]] = field(default_factory=list)
    costs: list[tuple[Ints, Floats]] = field(default_factory=list)
    n_columns: int = 0
    n_rows: int = 0

    def columns(
        self,
        shape: tuple[int, ...],
        *,
        low: Floats | float = 0.0,
        high: Floats | float = INF,
        worth: Floats | float = 0.0,
        integer: bool = False,
    ) -> Ints:
        """Adds columns; returns their positions in this shape."""
        count = int(np.prod(shape))
        for kept, value in ((self.low, low), (self.high, high), (self.worth, worth)):
            kept.append(np.broadcast_to(np.asarray(value, dtype=np.float64), shape).ravel())
        self.integer.append(np.full(count, integer))
        self.n_columns += count
        return np.arange(self.n_columns - count, self.n_columns).reshape(shape)

    def rows(self, columns: Ints, factors: Floats | float, low: Floats | float, high: Floats | float) -> Ints:
        """Adds one row for each of these columns, with it as the first term; returns the rows' positions."""
        shape, count = columns.shape, columns.size
        for kept, value in ((self.row_low, low), (self.row_high, high)):
            kept.append(np.broadcast_to(np.asarray(value, dtype=np.float64), shape).ravel())
        self.n_rows += count
        rows = np.arange(self.n_rows - count, self.n_rows).reshape(shape)
        self.add(rows, columns, factors)
        return rows

    def add(self, rows: Ints, columns: Ints, factors: Floats | float) -> None:
        """Adds terms; terms of one row and column add up."""
        row, column, factor = np.broadcast_arrays(rows, columns, np.asarray(factors, dtype=np.float64))
        self.terms.append((row.ravel(), column.ravel(), factor.ravel()))

    def charge(self, columns: Ints, cost: Floats) -> None:
        """Takes a cost off the worth of columns that are there."""
        self.costs.append((columns, cost))

    def worths(self) -> Floats:
        worth = np.concatenate(self.worth)
        for columns, cost in self.costs:
            worth[columns] -= cost
        return worth

    def matrix(self) -> csr_matrix:
        row, column, factor = (np.concatenate(part) for part in zip(*self.terms, strict=True))
        return csr_matrix((factor, (row, column)), shape=(self.n_rows, self.n_columns))


def _stacked(rows: list[Floats]) -> Floats:
    return np.array(rows, dtype=np.float64)


def _base_mw(problem: PlanProblem) -> Floats:
    """Load that nothing turns off (sites, intervals), MW."""
    position = {site.facility_id: n for n, site in enumerate(problem.sites)}
    base = np.array([site.base_mw for site in problem.sites])
    for asic in problem.asic_groups:
        base[position[asic.facility_id]] += asic.modes[0].power_mw
    for gpu in problem.gpu_groups:
        base[position[gpu.facility_id]] += gpu.idle_power_mw
    return np.repeat(base[:, None], problem.intervals, axis=1)


def _site_rules(
    sheet: _Sheet, problem: PlanProblem, load: Ints, limits: dict[Rule, tuple[tuple[str, ...], Ints]]
) -> Ints:
    hours = problem.interval_s / 3600
    sites, names = problem.sites, tuple(site.facility_id for site in problem.sites)

    def bounded(rule: Rule, factors: float, high: Floats) -> Ints:
        slack = sheet.columns(
            load.shape, worth=-PENALTY_USD_MWH[rule] * hours, high=np.where(np.isfinite(high), INF, 0)
        )
        rows = sheet.rows(load, factors, -INF, high)
        sheet.add(rows, slack, -1.0)
        limits[rule] = (names, rows)
        return rows

    bounded(Rule.FACILITY_CAP, 1.0, _stacked([site.cap_mw for site in sites]))
    bounded(Rule.GRID_LIMIT, 1.0, _stacked([site.limit_mw for site in sites]))
    least = _stacked([np.full(problem.intervals, site.min_load_mw) for site in sites])
    bounded(Rule.MINIMUM_LOAD, -1.0, np.where(least > 0, -least, INF))
    _ramp_rules(sheet, problem, load, limits)
    kept = _stacked([site.block_mw - site.sell_back_mw for site in sites])
    spill = sheet.columns(load.shape, high=np.where(kept > 0, INF, 0.0))
    sheet.add(sheet.rows(spill, 1.0, np.where(kept > 0, kept, -INF), INF), load, 1.0)
    return spill


def _ramp_rules(
    sheet: _Sheet, problem: PlanProblem, load: Ints, limits: dict[Rule, tuple[tuple[str, ...], Ints]]
) -> None:
    hours = problem.interval_s / 3600
    ramped = [n for n, site in enumerate(problem.sites) if np.isfinite(site.ramp_mw)]
    if not ramped:
        return
    ramp = np.repeat([[problem.sites[n].ramp_mw] for n in ramped], problem.intervals, axis=1)
    before = np.zeros(ramp.shape)
    for k, n in enumerate(ramped):
        known = problem.sites[n].load_before_mw
        before[k, 0] = INF if known is None else known
    jump = sheet.columns(ramp.shape, worth=-PENALTY_USD_MWH[Rule.RAMP] * hours)
    free = np.isinf(before)
    before[free] = 0.0
    low, high = np.where(free, -INF, before - ramp), np.where(free, INF, before + ramp)
    up = sheet.rows(load[ramped], 1.0, -INF, high)
    down = sheet.rows(load[ramped], 1.0, low, INF)
    for rows, sign in ((up, -1.0), (down, 1.0)):
        sheet.add(rows[:, 1:], load[ramped, :-1], -1.0)
        sheet.add(rows, jump, sign)
    names = tuple(problem.sites[n].facility_id for n in ramped)
    limits[Rule.RAMP] = (names + names, np.concatenate([up, down]))


def _transformer_rows(
    sheet: _Sheet, problem: PlanProblem, limits: dict[Rule, tuple[tuple[str, ...], Ints]]
) -> dict[str, Ints]:
    found = [transformer for site in problem.sites for transformer in site.transformers]
    if not found:
        return {}
    hours = problem.interval_s / 3600
    over = sheet.columns((len(found), problem.intervals), worth=-PENALTY_USD_MWH[Rule.TRANSFORMER_CAP] * hours)
    base = dict.fromkeys([transformer.transformer_id for transformer in found], 0.0)
    for asic in problem.asic_groups:
        if asic.transformer_id is not None:
            base[asic.transformer_id] += asic.modes[0].power_mw
    for gpu in problem.gpu_groups:
        if gpu.transformer_id is not None:
            base[gpu.transformer_id] += gpu.idle_power_mw
    room = _stacked([t.cap_mw - base[t.transformer_id] for t in found])
    rows = sheet.rows(over, -1.0, -INF, room)
    limits[Rule.TRANSFORMER_CAP] = (tuple(base), rows)
    return dict(zip(base, rows, strict=True))


def _asic_rules(sheet: _Sheet, problem: PlanProblem, load_row: Ints, transformer_row: dict[str, Ints]) -> Ints:
    hours, count = problem.interval_s / 3600, problem.intervals
    groups = problem.asic_groups
    owner = np.array([n for n, group in enumerate(groups) for _ in group.modes[1:]], dtype=np.int64)
    site = {s.facility_id: n for n, s in enumerate(problem.sites)}
    extra = np.array([m.power_mw - g.modes[0].power_mw for g in groups for m in g.modes[1:]])
    earned = np.array([m.revenue_usd_h - g.modes[0].revenue_usd_h for g in groups for m in g.modes[1:]]) * hours
    available = np.array([group.available for group in groups], dtype=np.bool_).reshape(len(groups), count)
    modes = sheet.columns(
        (owner.size, count), high=available[owner].astype(np.float64), worth=earned[:, None], integer=True
    )
    if not groups:
        return modes
    homes = np.array([site[group.facility_id] for group in groups])
    sheet.add(load_row[homes[owner]], modes, -extra[:, None])
    for n, group in enumerate(groups):
        if group.transformer_id is not None:
            own = owner == n
            sheet.add(transformer_row[group.transformer_id][None, :], modes[own], extra[own][:, None])
    _commitment(sheet, problem, modes, owner, available)
    return modes


def _commitment(sheet: _Sheet, problem: PlanProblem, modes: Ints, owner: Ints, available: NDArray[np.bool_]) -> None:
    groups, count = problem.asic_groups, problem.intervals
    shape = (len(groups), count)
    starts = sheet.columns(shape, high=1.0, worth=-np.array([[g.start_cost_usd] for g in groups]))
    stops = sheet.columns(shape, high=1.0, worth=-np.array([[g.stop_cost_usd] for g in groups]))
    was_on = np.array([g.mode_before > 0 for g in groups])
    before = np.zeros(shape)
    before[:, 0] = was_on
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
    several = [n for n, group in enumerate(groups) if group.min_down > 1 and len(group.modes) > 2]
    for n in several:
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


def _window_rows(sheet: _Sheet, problem: PlanProblem, switched: Ints, active: NDArray[np.bool_], rule: Rule) -> Ints:
    """Rows: switches in the window - too short <= 0 (of a run) or 1 (of a rest); the caller adds the state."""
    hours, count = problem.interval_s / 3600, problem.intervals
    groups, is_run = problem.asic_groups, rule is Rule.MINIMUM_RUN
    span = np.array([max(g.min_up if is_run else g.min_down, 1) for g in groups])
    full_mw = np.array([max(m.power_mw for m in g.modes) for g in groups])
    penalty = PENALTY_USD_MWH[rule] * hours * full_mw
    carried = np.array([window_carried(g, count, is_run=is_run) for g in groups])
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


def window_carried(group: AsicGroup, count: int, *, is_run: bool) -> NDArray[np.int64]:
    """1 in the intervals in which a start (or stop) before the horizon still binds the group, else 0."""
    was_on = group.mode_before > 0
    left = (group.min_up if is_run else group.min_down) - group.held
    bound = was_on is is_run and left > 0
    carried = np.arange(count) < (left if bound else 0)
    if is_run:
        carried &= np.logical_and.accumulate(group.available)
    return carried.astype(np.int64)


def _job_rules(
    sheet: _Sheet,
    problem: PlanProblem,
    found: Options,
    places: Ints,
    load_row: Ints,
    transformer_row: dict[str, Ints],
    limits: dict[Rule, tuple[tuple[str, ...], Ints]],
) -> None:
    if not found.job.size:
        return
    count, groups = problem.intervals, problem.gpu_groups
    jobs, first = np.unique(found.job, return_index=True)
    position = np.zeros(len(problem.jobs), dtype=np.int64)
    position[jobs] = np.arange(jobs.size)
    one = sheet.rows(places[first], 1.0, -INF, 1.0)
    others = np.setdiff1d(np.arange(found.job.size), first)
    sheet.add(one[position[found.job[others]]], places[others], 1.0)
    # Each option once for every interval that it runs.
    length = found.stop - found.start
    option = np.repeat(np.arange(found.job.size), length)
    time = np.arange(option.size) - np.repeat(np.cumsum(length) - length, length) + found.start[option]
    idle = sheet.columns((len(groups), count))
    units = np.array([group.units for group in groups], dtype=np.float64)
    gpu_rows = sheet.rows(idle, 1.0, units, units)
    sheet.add(gpu_rows[found.group[option], time], places[option], found.gpus[option].astype(np.float64))
    limits[Rule.GPU_UNITS] = (tuple(group.group_id for group in groups), gpu_rows)
    site = {s.facility_id: n for n, s in enumerate(problem.sites)}
    homes = np.array([site[group.facility_id] for group in groups])
    sheet.add(load_row[homes[found.group[option]], time], places[option], -found.power_mw[option])
    for n, group in enumerate(groups):
        if group.transformer_id is not None:
            own = found.group[option] == n
            sheet.add(
                transformer_row[group.transformer_id][time[own]], places[option[own]], found.power_mw[option[own]]
            )


def _energy(sheet: _Sheet, problem: PlanProblem, load: Ints, spill: Ints) -> None:
    """Adds the cost of energy: expected, and its CVaR."""
    hours, sites, risk = problem.interval_s / 3600, problem.sites, problem.risk_weight
    spilt = [np.maximum(site.cost_usd_mwh, 0.0) for site in sites]
    for n, site in enumerate(sites):
        sheet.charge(load[n], ((1 - risk) * site.probability @ site.cost_usd_mwh + site.payment_usd_mwh) * hours)
        sheet.charge(spill[n], (1 - risk) * site.probability @ spilt[n] * hours)
    if risk <= 0:
        return
    probability = sites[0].probability
    eta = sheet.columns((1,), low=-INF, worth=-risk)
    tail = sheet.columns(probability.shape, worth=-risk * probability / problem.risk_tail)
    rows = sheet.rows(tail, 1.0, 0.0, INF)
    sheet.add(rows, eta, 1.0)
    for n, site in enumerate(sites):
        sheet.add(rows[:, None], load[n][None, :], -site.cost_usd_mwh * hours)
        sheet.add(rows[:, None], spill[n][None, :], -spilt[n] * hours)


def _constant_usd(problem: PlanProblem) -> float:
    hours = problem.interval_s / 3600
    paid = sum(float(site.payment_usd_mwh @ site.cap_mw) for site in problem.sites)
    return hours * (paid + problem.intervals * sum(group.modes[0].revenue_usd_h for group in problem.asic_groups))
