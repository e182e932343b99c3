"""The classes of an interval whose option is in doubt, in the order in which they are opened, and what they can change.

At a dual's prices each class has a default, the option that is worth most when power and GPUs are paid for; another
option loses something against it. No selection that is better than a known one has an option which loses more than the
gap between the known one and the dual's bound.
"""

from dataclasses import dataclass

import numpy as np

from streams.domain.dual import Dual
from streams.domain.interval import Floats, Interval, Ints
from streams.domain.rounding import defaults

_ANY = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Excess:
    """By how much a dual's bound is known to be too high: for the workloads, and for groups behind transformers.

    `behind`: of transformers that feed no GPUs, by number, what their groups lose at least.
    """

    jobs: float
    behind: dict[int, float]

    @property
    def total(self) -> float:
        """By how much in all."""
        return self.jobs + sum(self.behind.values())


NO_EXCESS = Excess(0.0, {})


class Core:
    """Classes in doubt within a gap: workloads first, the groups behind one transformer after the other, the rest.

    `default`: option of every class; `root`: what the defaults draw, are worth and hold; `classes`: those of the core;
    `block`: of each of these -1 for a workload, else its transformer, the number of transformers for none.
    `changes`: what each of their options changes against the default, shape (rows, classes, options). Rows are watts,
    worth, the GPUs of each pool and the watts behind each transformer.

    What the classes from each depth on can change, a column for each class and one more: `down` and `up` (rows as
    above), by how much they can lower and raise it; `spare`, by how much the bound is known to be too high for them.
    `gain[depth][f]`: worth that their workloads can add, power paid for, with `f` GPUs for them in all, of which they
    hold `held[depth]` at their defaults. With one pool there is no such table: the price of a GPU is about as good, and
    cheaper.
    """

    WATTS, WORTH, HELD = range(3)

    def __init__(self, problem: Interval, prices: Dual, losses: Floats, gap: float, excess: Excess) -> None:
        self.default = defaults(problem, losses)
        is_job, count = problem.jobs, len(problem.rooms)
        feeder = np.where(is_job, -1, problem.transformer[:, 0])
        # The options of a part for which the bound is too high may lose so much more.
        spare = np.array([*(excess.behind.get(t, 0.0) for t in range(count)), 0.0])[feeder]
        self.losses: Floats = losses - np.where(is_job, excess.jobs, spare)[:, None]
        others = self.losses.copy()
        others[np.arange(len(others)), self.default] = np.inf
        self.least: Floats = others.min(axis=1, initial=np.inf)
        core = np.flatnonzero(self.least <= gap)
        block = np.where(is_job, -1, np.where(feeder < 0, count, feeder))[core]
        order = np.lexsort((self.least[core], block))
        core = core[order]
        self.classes: list[int] = core.tolist()
        self.block: list[int] = block[order].tolist()
        rows = _rows(problem)
        at = np.arange(len(is_job)), self.default
        self.root: Ints = rows[:, *at].sum(axis=1)
        self.changes: Ints = (rows - rows[:, *at][:, :, None])[:, core]
        self._set_reach(np.where(self.losses[core] <= gap, self.changes, 0), len(problem.pools), excess)
        jobs = sum(number < 0 for number in self.block)
        if len(problem.pools) > 1:
            self._set_gain(problem, prices, jobs, gap)

    def _set_reach(self, usable: Ints, pools: int, excess: Excess) -> None:
        ends = np.zeros((2, len(usable), len(self.classes) + 1), np.int64)
        ends[:, :, :-1] = -usable.min(axis=2, initial=0), usable.max(axis=2, initial=0)
        self.down, self.up = ends[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
        self.spare = np.zeros(len(self.classes) + 1)
        for transformer, lost in excess.behind.items():
            # Until the first of its groups is opened, all that is known of them is what they are worth at best.
            first = self.block.index(transformer) if transformer in self.block else len(self.classes)
            self.spare[: first + 1] += lost
            self.up[self.HELD + pools + transformer, : first + 1] = _ANY

    def _set_gain(self, problem: Interval, prices: Dual, jobs: int, gap: float) -> None:
        """Adds one workload after the other to the table (the knapsack's dynamic program, by GPUs in all)."""
        value = problem.worth - prices.watts(problem.transformer) * problem.watts
        value -= value[np.arange(len(value)), self.default][:, None]
        at_default = problem.of(self.default, problem.gpus)
        self.gain, self.held = [np.zeros(sum(problem.pools) + 1)], [0]
        for c in reversed(self.classes[:jobs]):
            is_usable = self.losses[c] <= gap
            then, more = self.gain[-1], np.full(len(self.gain[0]), -np.inf)
            # Places in several pools that draw and earn the same are one option here.
            for gpus, added in set(zip(problem.gpus[c, is_usable].tolist(), value[c, is_usable].tolist(), strict=True)):
                np.maximum(more[gpus:], then[: len(then) - gpus] + added, out=more[gpus:])
            self.gain.append(more)
            self.held.append(self.held[-1] + int(at_default[c]))
        self.gain.reverse()
        self.held.reverse()


def _rows(problem: Interval) -> Ints:
    gpus = [np.where(problem.pool == pool, problem.gpus, 0) for pool in range(len(problem.pools))]
    behind = [np.where(problem.transformer == t, problem.watts, 0) for t in range(len(problem.rooms))]
    return np.stack([problem.watts, problem.worth, *gpus, *behind])
