"""A whole plan and its exact improvement: each group's and job's best answer to what all others do.

The answer of an ASIC group is exact, ramps included, as the cost of a site is known for each of its modes: by the same
dynamic program that prices schedules. With several price scenarios the worst ones are weighted as they were found.
"""

from dataclasses import dataclass, field

import numpy as np

from streams.domain.penalty import PENALTY_USD_MWH, Rule
from streams.domain.plan.placement import Options
from streams.domain.plan.problem import Floats, Ints, PlanProblem
from streams.domain.plan.schedule import Fleet, best_schedules, schedule_usd
from streams.domain.plan.site_cost import Costs

GAIN_USD = 1e-6
NONE = -1


@dataclass(slots=True)
class Answer:
    """A plan as arrays, and the loads that it makes. A job may be absent: without load or worth.

    `power_usd`: what a MW costs a group in an interval at shadow prices, (groups, intervals).
    """

    problem: PlanProblem
    fleet: Fleet
    options: Options
    costs: Costs
    modes: Ints
    placed: Ints
    power_usd: Floats
    asic_site: Ints = field(init=False)
    asic_transformer: Ints = field(init=False)
    gpu_site: Ints = field(init=False)
    gpu_transformer: Ints = field(init=False)
    load: Floats = field(init=False)
    through: Floats = field(init=False)
    through_cap: Floats = field(init=False)
    free: Ints = field(init=False)
    switching: Floats = field(init=False)

    def __post_init__(self) -> None:
        problem = self.problem
        site = {s.facility_id: n for n, s in enumerate(problem.sites)}
        transformers = [t for s in problem.sites for t in s.transformers]
        # The last row stands for no transformer: no cap.
        position: dict[str | None, int] = {t.transformer_id: n for n, t in enumerate(transformers)}
        position[None] = len(transformers)
        asics, gpus = problem.asic_groups, problem.gpu_groups
        self.asic_site = np.array([site[g.facility_id] for g in asics], dtype=np.int64)
        self.asic_transformer = np.array([position[g.transformer_id] for g in asics], dtype=np.int64)
        self.gpu_site = np.array([site[g.facility_id] for g in gpus], dtype=np.int64)
        self.gpu_transformer = np.array([position[g.transformer_id] for g in gpus], dtype=np.int64)
        shape = (len(transformers) + 1, problem.intervals)
        self.through_cap = np.array([*(t.cap_mw for t in transformers), np.full(problem.intervals, np.inf)])
        self.load = np.repeat([[s.base_mw] for s in problem.sites], problem.intervals, axis=1)
        self.through = np.zeros(shape)
        self.free = np.array([g.units for g in gpus], dtype=np.int64).reshape(len(gpus), problem.intervals)
        for n, gpu in enumerate(gpus):
            self.load[self.gpu_site[n]] += gpu.idle_power_mw
            self.through[self.gpu_transformer[n]] += gpu.idle_power_mw
        self.switching = np.zeros(len(asics))
        for n in range(len(asics)):
            self._draw(n, 1.0)
        for option in self.placed[self.placed != NONE].tolist():
            self._take(option, 1)

    def _draw(self, n: int, sign: float) -> None:
        power = sign * self.fleet.power_mw[n, self.modes[n]]
        self.load[self.asic_site[n]] += power
        self.through[self.asic_transformer[n]] += power
        self.switching[n] = schedule_usd(self.fleet, n, self.modes[n])

    def _take(self, option: int, sign: int) -> None:
        found = self.options
        group, window = found.group[option], slice(found.start[option], found.stop[option])
        self.load[self.gpu_site[group], window] += sign * found.power_mw[option]
        self.through[self.gpu_transformer[group], window] += sign * found.power_mw[option]
        self.free[group, window] -= sign * found.gpus[option]

    def set_modes(self, n: int, modes: Ints) -> None:
        """Gives a group a schedule."""
        self._draw(n, -1.0)
        self.modes[n] = modes
        self._draw(n, 1.0)

    def copied(self) -> tuple[Ints, Floats, Floats, Floats]:
        """A copy of the schedules and what they make, to restore."""
        return self.modes.copy(), self.load.copy(), self.through.copy(), self.switching.copy()

    def restore(self, kept: tuple[Ints, Floats, Floats, Floats]) -> None:
        """Takes back what was done to the schedules since they were copied."""
        self.modes, self.load, self.through, self.switching = kept

    def set_option(self, job: int, option: int) -> None:
        """Gives a job an option, or NONE."""
        if self.placed[job] != NONE:
            self._take(int(self.placed[job]), -1)
        self.placed[job] = option
        if option != NONE:
            self._take(option, 1)

    def site_usd(self, site: int, load: Floats) -> float:
        """Cost of a load of a site, ramps included."""
        ramps = self.costs.ramp_usd(site, np.diff(load)).sum()
        first = load[0] - self.costs.before[site]
        first_usd = 0.0 if np.isnan(first) else float(self.costs.ramp_usd(site, first))
        return float(self.costs.usd(site, load).sum() + ramps) + first_usd

    def through_usd(self, transformer: Ints | int | tuple[int, Ints], power: Floats) -> Floats:
        """Penalty of power through transformers over their caps, in all intervals or some."""
        over = np.maximum(power - self.through_cap[transformer], 0.0)
        return np.asarray(PENALTY_USD_MWH[Rule.TRANSFORMER_CAP] * self.costs.hours * over)

    def worth_usd(self) -> float:
        """Worth of all, without constants."""
        rows = np.arange(len(self.modes))[:, None]
        worth = float(self.fleet.earned_usd[rows, self.modes].sum() - self.switching.sum())
        taken = self.placed[self.placed != NONE]
        worth += float((self.options.worth_usd + self.options.tie_usd)[taken].sum())
        worth -= sum(self.site_usd(n, self.load[n]) for n in range(len(self.load)))
        return worth - float(self.through_usd(np.arange(len(self.through)), self.through).sum())

    def home_usd(self, rows: Ints) -> float:
        """Worth of the site of these ASIC groups, all that it has, without its jobs."""
        at = self.modes[rows]
        worth = float(self.fleet.earned_usd[rows[:, None], at].sum() - self.switching[rows].sum())
        site, through = int(self.asic_site[rows[0]]), np.unique(self.asic_transformer[rows])
        return (
            worth - self.site_usd(site, self.load[site]) - float(self.through_usd(through, self.through[through]).sum())
        )

    def job_usd(self, job: int, options_of: Ints) -> float:
        """Worth of a job and of the sites where it may be."""
        option, groups = int(self.placed[job]), np.unique(self.options.group[options_of])
        worth = 0.0 if option == NONE else float(self.options.worth_usd[option] + self.options.tie_usd[option])
        through = np.unique(self.gpu_transformer[groups])
        worth -= sum(self.site_usd(n, self.load[n]) for n in np.unique(self.gpu_site[groups]).tolist())
        return worth - float(self.through_usd(through, self.through[through]).sum())

    def best_modes(self) -> tuple[Floats, Ints, Floats]:
        """Returns what the best answer of each group is worth, its modes, and what it does now is worth."""
        fleet, site, count = self.fleet, self.asic_site, self.problem.intervals
        own = np.take_along_axis(fleet.power_mw, self.modes, axis=1)
        others = self.load[site] - own
        level = others.T[:, :, None] + fleet.power_mw[None]
        sites = site[:, None]
        usd = np.stack(
            [self.costs.usd(site, others + fleet.power_mw[:, m : m + 1]) for m in range(level.shape[2])], axis=2
        )
        through = self.through[self.asic_transformer] - own
        usd += np.stack(
            [
                self.through_usd(self.asic_transformer, through + fleet.power_mw[:, m : m + 1])
                for m in range(level.shape[2])
            ],
            axis=2,
        )
        rewards = fleet.earned_usd[None] - usd.transpose(1, 0, 2)
        first = level[0] - self.costs.before[sites]
        rewards[0] -= np.where(np.isnan(first), 0.0, self.costs.ramp_usd(sites, first))
        moves = None
        if np.isfinite(self.costs.ramp[site]).any():
            moves = np.zeros((count, site.size, level.shape[2], level.shape[2]))
            change = level[1:, :, None, :] - level[:-1, :, :, None]
            moves[1:] = self.costs.ramp_usd(site[:, None, None], change)
        worth, modes = best_schedules(fleet, rewards, moves)
        now = np.take_along_axis(rewards, self.modes.T[:, :, None], axis=2)[:, :, 0].sum(axis=0)
        if moves is not None:
            at = self.modes
            t, n = np.arange(1, count)[:, None], np.arange(site.size)[None, :]
            now -= moves[t, n, at[:, :-1].T, at[:, 1:].T].sum(axis=0)
        return worth, modes, now - self.switching

    def level_usd(self, site: int, at: Ints, load: Floats) -> Floats:
        """Cost of loads of a site in intervals (..., at), with the ramps from and to the intervals beside them."""
        costs, last = self.costs, self.problem.intervals - 1
        usd = costs.usd((site, at), load)
        before = np.where(at > 0, self.load[site, np.maximum(at - 1, 0)], costs.before[site])
        after = np.where(at < last, self.load[site, np.minimum(at + 1, last)], np.nan)
        for change in (load - before, after - load):
            usd += np.where(np.isnan(change), 0.0, costs.ramp_usd(site, change))
        return usd

    def gain_usd(self, n: int, modes: Ints) -> float:
        """What a group's change to a schedule is worth, as things are."""
        site, transformer = self.asic_site[n], self.asic_transformer[n]
        change = self.fleet.power_mw[n, modes] - self.fleet.power_mw[n, self.modes[n]]
        gain = float((self.fleet.earned_usd[n, modes] - self.fleet.earned_usd[n, self.modes[n]]).sum())
        gain -= schedule_usd(self.fleet, n, modes) - float(self.switching[n])
        gain -= self.site_usd(site, self.load[site] + change) - self.site_usd(site, self.load[site])
        power = self.through[transformer]
        return gain - float(
            (self.through_usd(transformer, power + change) - self.through_usd(transformer, power)).sum()
        )

    def best_option(self, job: int, options_of: Ints) -> tuple[int, float]:
        """Returns the best option of a job as things are, NONE where it had better not run, and its worth."""
        found = self.options
        worth = (found.worth_usd + found.tie_usd)[options_of]
        for group in np.unique(found.group[options_of]).tolist():
            own = found.group[options_of] == group
            mine = options_of[own]
            site, through = self.gpu_site[group], self.gpu_transformer[group]
            load, power = self.load[site], float(found.power_mw[mine[0]])
            usd = self.costs.usd(site, load + power) - self.costs.usd(site, load)
            usd += self.through_usd(through, self.through[through] + power) - self.through_usd(
                through, self.through[through]
            )
            total = np.concatenate([[0.0], np.cumsum(usd)])
            short = np.concatenate([[0], np.cumsum(self.free[group] < found.gpus[mine[0]])])
            start, stop = found.start[mine], found.stop[mine]
            worth[own] -= total[stop] - total[start]
            worth[own] = np.where(short[stop] > short[start], -np.inf, worth[own])
        best = int(worth.argmax())
        return (int(options_of[best]), float(worth[best])) if worth[best] > GAIN_USD else (NONE, 0.0)
