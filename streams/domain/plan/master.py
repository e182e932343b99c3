"""The relaxation of a planning problem by column generation, with a proven bound.

Each ASIC group takes one schedule and each job at most one option; caps, ramps, GPUs and prices tie them together
through the rows of the sites. The master program mixes the schedules found so far; its duals are prices at which every
group's best schedule is found exactly, all at once (Dantzig and Wolfe, "Decomposition Principle for Linear Programs",
1960). What all earn at those prices plus the worth of the limits is a bound on every plan (Lagrange), tighter than the
relaxation of a model with a variable a mode and interval, as schedules are whole. Prices are smoothed towards the best
bound's (Wentges, "Weighted Dantzig-Wolfe decomposition for linear mixed-integer programming", 1997).
"""

from dataclasses import dataclass

import highspy
import numpy as np
from scipy.sparse import csc_matrix

from streams.domain.penalty import Rule
from streams.domain.plan.highs import loaded
from streams.domain.plan.placement import Options, options
from streams.domain.plan.problem import Floats, Ints, PlanProblem
from streams.domain.plan.schedule import Fleet, best_schedules, fleet, schedule_usd
from streams.domain.plan.site_rule import Frame, frame

REDUCED_COST_TOLERANCE_USD = 1e-6
PRIMAL_SIMPLEX = 4
"""HiGHS option `simplex_strategy`."""


@dataclass(frozen=True, slots=True, eq=False)
class Priced:
    """Best answers to prices: a schedule for each group, the best option of each job that has one, and the bound."""

    bound_usd: float
    modes: Ints
    worth_usd: Floats
    best: Ints
    best_usd: Floats


class Master:
    """The master program and its columns. Agents are the ASIC groups, then the jobs; not thread-safe."""

    def __init__(self, problem: PlanProblem) -> None:
        self.problem = problem
        self.frame: Frame = frame(problem)
        self.fleet: Fleet = fleet(problem)
        self.options: Options = options(problem)
        self.groups, self.jobs = len(problem.asic_groups), len(problem.jobs)
        self.constant_usd = self.frame.constant_usd + float(self.options.rest_usd.sum())
        job = self.options.job
        self._first = np.flatnonzero(np.diff(job, prepend=-1))
        self._extra_mw = self.fleet.power_mw - self.fleet.power_mw[:, :1]
        self._extra_usd = self.fleet.earned_usd - self.fleet.earned_usd[:, :1]
        self.owner: list[int] = []
        self.choice: list[Ints | int] = []
        self._seen: set[tuple[int, bytes]] = set()
        self._engine = self._program()

    def _program(self) -> highspy.Highs:
        sheet, agents = self.frame.sheet, self.groups + self.jobs
        self.rows, self.columns = sheet.n_rows, sheet.n_columns
        matrix = csc_matrix(sheet.matrix())
        self._site_matrix = matrix
        self._site_worth = sheet.worths()
        self._site_low, self._site_high = np.concatenate(sheet.low), np.concatenate(sheet.high)
        one_each = np.where(np.arange(agents) < self.groups, 1.0, -np.inf)
        self._row_low = np.concatenate([*sheet.row_low, one_each])
        self._row_high = np.concatenate([*sheet.row_high, np.ones(agents)])
        columns, rows = (self._site_low, self._site_high), (self._row_low, self._row_high)
        return loaded(self._site_worth, columns, rows, matrix, _settings())

    def first_prices(self, over_usd_mwh: float = 0.0) -> Floats:
        """Duals where power costs its price, and more by so much where a facility has a cap."""
        duals = np.zeros(self.rows + self.groups + self.jobs)
        sheet = self.frame.sheet
        load = self.frame.load
        duals[self.frame.load_row] = sheet.worths()[load]
        sites = {site.facility_id: n for n, site in enumerate(self.problem.sites)}
        names, rows = self.frame.limits[Rule.FACILITY_CAP]
        more = over_usd_mwh * self.problem.interval_s / 3600
        duals[rows] += more
        duals[self.frame.load_row[[sites[name] for name in names]]] -= more
        return duals

    def weights(self, duals: Floats) -> Floats:
        """Weight of each price scenario at these duals: its probability, and what the tail adds to it."""
        sites = self.problem.sites
        if not sites:
            return np.ones(1)
        weights = (1 - self.problem.risk_weight) * sites[0].probability
        if self.frame.tail_row.size:
            weights = weights - duals[self.frame.tail_row]
        return np.asarray(weights)

    def power_usd(self, duals: Floats) -> Floats:
        """What a MW costs an ASIC group in an interval at these duals, (groups, intervals)."""
        plus = np.append(duals, 0.0)
        return np.asarray(plus[self.frame.asic_transformer] - plus[self.frame.asic_load])

    def priced(self, duals: Floats) -> Priced:
        """Returns the best answers to prices, and the bound that they prove."""
        worth, modes = self.schedules(duals)
        best, best_usd = self._best_options(duals)
        bound = self._site_bound(duals) + float(worth.sum()) + float(np.maximum(best_usd, 0.0).sum())
        return Priced(bound, modes, worth, best, best_usd)

    def schedules(self, duals: Floats, more: Floats | float = 0.0) -> tuple[Floats, Ints]:
        """Returns what the best schedule of each group is worth at prices, and its modes.

        `more` is added to what a mode earns in an interval, (intervals, groups, modes).
        """
        power = -self.power_usd(duals)
        rewards = self._extra_usd[None] + power.T[:, :, None] * self._extra_mw[None]
        return best_schedules(self.fleet, rewards + more)

    def schedule_worth_usd(self, agent: int, modes: Ints, power_usd: Floats) -> float:
        """What a schedule of a group is worth over rest where a MW costs so much, (groups, intervals)."""
        earned = self._extra_usd[agent, modes] - power_usd[agent] * self._extra_mw[agent, modes]
        return float(earned.sum()) - schedule_usd(self.fleet, agent, modes)

    def paid_usd(self, duals: Floats) -> Floats:
        """What each option is worth after its power is paid for."""
        plus, found, frame = np.append(duals, 0.0), self.options, self.frame
        power = _summed(plus[frame.gpu_load] - plus[frame.gpu_transformer])
        drawn = power[found.group, found.stop] - power[found.group, found.start]
        return np.asarray(found.worth_usd + found.tie_usd + found.power_mw * drawn)

    def bound_usd(self, duals: Floats, jobs_usd: float) -> float:
        """Returns the bound that prices prove where the jobs are worth no more than `jobs_usd`, power paid for.

        GPUs have no price then: what limits them is in that figure.
        """
        worth, _ = self.schedules(duals)
        free = duals.copy()
        free[self.frame.gpu_units] = 0.0
        return self._site_bound(free) + float(worth.sum()) + jobs_usd

    def losses_usd(self, duals: Floats) -> tuple[float, Floats]:
        """Returns what no packing of the jobs is worth more than, power paid for, and what of that each option loses.

        By the prices of GPUs: of the jobs' best options, and of all GPUs.
        """
        found, gpu_units = self.options, self.frame.gpu_units
        priced = np.array(duals)
        priced[gpu_units] = np.maximum(duals[gpu_units], 0.0)
        worth, most = self._options_usd(priced), np.zeros(self.jobs)
        np.maximum.at(most, found.job, worth)
        units = np.array([group.units for group in self.problem.gpu_groups]).reshape(gpu_units.shape)
        return float(most.sum() + (priced[gpu_units] * units).sum()), most[found.job] - worth

    def _options_usd(self, duals: Floats) -> Floats:
        found, units = self.options, _summed(duals[self.frame.gpu_units])
        used = units[found.group, found.stop] - units[found.group, found.start]
        return np.asarray(self.paid_usd(duals) - found.gpus * used)

    def _best_options(self, duals: Floats) -> tuple[Ints, Floats]:
        if not self.options.job.size:
            return np.zeros(0, dtype=np.int64), np.zeros(0)
        worth = self._options_usd(duals)
        ends = np.append(self._first[1:], worth.size)
        best = np.array([a + int(worth[a:b].argmax()) for a, b in zip(self._first, ends, strict=True)])
        return best, worth[best]

    def _site_bound(self, duals: Floats) -> float:
        """Most that the site columns and limits can be worth at these duals, whatever their signs and errors."""
        own = duals[: self.rows]
        # A dual of the wrong sign for a one-sided row proves nothing: it counts as zero, in the reduced costs too.
        own = np.where(np.isinf(self._row_high[: self.rows]), np.minimum(own, 0.0), own)
        own = np.where(np.isinf(self._row_low[: self.rows]), np.maximum(own, 0.0), own)
        limit = np.where(own > 0, self._row_high[: self.rows], self._row_low[: self.rows])
        limits_usd = float(own[own != 0] @ limit[own != 0])
        reduced = self._site_worth - self._site_matrix.T @ own
        columns_usd = float(reduced @ np.where(reduced > 0, self._site_high, self._site_low))
        return limits_usd + columns_usd

    def answers(self, priced: Priced) -> list[tuple[int, Ints | int]]:
        """Returns what was priced as columns: each group's schedule, and the options that earn more than rest."""
        jobs = self.options.job[priced.best]
        gains = np.flatnonzero(priced.best_usd > REDUCED_COST_TOLERANCE_USD)
        return [
            *((n, priced.modes[n]) for n in range(self.groups)),
            *((self.groups + int(jobs[n]), int(priced.best[n])) for n in gains),
        ]

    def append(self, found: list[tuple[int, Ints | int]]) -> int:
        """Adds columns (agent, its schedule or the position of its option) that are not there; returns how many."""
        values, starts, rows, factors = [], [0], [], []
        for agent, choice in found:
            key = (agent, choice.tobytes() if isinstance(choice, np.ndarray) else choice.to_bytes(8))
            if key in self._seen:
                continue
            self._seen.add(key)
            worth, row, factor = self._column(agent, choice)
            values.append(worth)
            rows.append(row)
            factors.append(factor)
            starts.append(starts[-1] + row.size)
            self.owner.append(agent)
            self.choice.append(choice)
        if values:
            self._engine.addCols(
                len(values),
                np.array(values),
                np.zeros(len(values)),
                np.ones(len(values)),
                starts[-1],
                np.array(starts[:-1], dtype=np.int32),
                np.concatenate(rows).astype(np.int32),
                np.concatenate(factors),
            )
        return len(values)

    def _column(self, agent: int, choice: Ints | int) -> tuple[float, Ints, Floats]:
        frame, convexity = self.frame, np.array([self.rows + agent])
        if isinstance(choice, np.ndarray):
            extra = self._extra_mw[agent, choice]
            t = np.flatnonzero(extra)
            worth = float(self._extra_usd[agent, choice].sum())
            worth -= schedule_usd(self.fleet, agent, choice)
            load, through, power = frame.asic_load[agent, t], frame.asic_transformer[agent, t], extra[t]
            rows, factors = [load, convexity], [-power, np.ones(1)]
        else:
            found = self.options
            group, t = found.group[choice], np.arange(found.start[choice], found.stop[choice])
            worth = float(found.worth_usd[choice] + found.tie_usd[choice])
            load, through = frame.gpu_load[group, t], frame.gpu_transformer[group, t]
            power = np.full(t.size, found.power_mw[choice])
            gpus = np.full(t.size, float(found.gpus[choice]))
            rows, factors = [load, frame.gpu_units[group, t], convexity], [-power, gpus, np.ones(1)]
        if through.size and through[0] >= 0:
            rows.append(through)
            factors.append(power)
        return worth, np.concatenate(rows), np.concatenate(factors)

    def fix(self, columns: Ints, share: float) -> None:
        """Gives columns a share, for good."""
        at, shares = (columns + self.columns).astype(np.int32), np.full(columns.size, share)
        self._engine.changeColsBounds(at.size, at, shares, shares)

    def solve(self) -> tuple[float, Floats, Floats]:
        """Returns the master's optimum, its duals, and the share of each column in it."""
        self._engine.run()
        solution = self._engine.getSolution()
        objective = float(self._engine.getInfo().objective_function_value)
        return objective, np.array(solution.row_dual), np.array(solution.col_value)[self.columns :]


def _settings() -> highspy.HighsOptions:
    settings = highspy.HighsOptions()
    settings.output_flag = False
    # Primal simplex on one thread: new columns keep the last basis feasible, and the path is the same each time.
    settings.threads, settings.presolve, settings.simplex_strategy = 1, "off", PRIMAL_SIMPLEX
    return settings


def _summed(prices: Floats) -> Floats:
    return np.concatenate([np.zeros((prices.shape[0], 1)), np.cumsum(prices, axis=1)], axis=1)
