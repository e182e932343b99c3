"""The core of a problem: the classes whose option is in doubt, in the order in which they are opened.

At a dual's prices each class has a default, the option that is worth most when power and GPUs are paid for; another
option loses something against it. No selection that is better than a known one has an option which loses more than the
gap between the known one and the dual's bound (the core of E. Balas and E. Zemel, "An algorithm for large zero-one
knapsack problems", Operations Research 28, 1980, in classes).
"""

from bisect import bisect_right

import numpy as np

from streams.domain.dispatch.dual import Dual
from streams.domain.dispatch.problem import Floats, Ints, Problem
from streams.domain.dispatch.rounding import defaults


class Core:
    """Classes in doubt within a gap: workloads first, the groups behind one transformer after the other, the rest.

    `default`: option of every class; `root`: what the defaults draw, are worth and hold; `classes`: those of the core;
    `block`: of each of these -1 for a workload, else its transformer, the number of transformers for none.
    `order`: the options of each, by what they lose, the default first; `losses`: how much that is.
    `changes`: what each changes against the default, shape (rows, classes, options). Rows are watts, worth, the GPUs of
    each pool and the watts behind each transformer.

    What the classes from each depth on can change, for each class and one more: `down` and `up` (rows as above), by how
    much they can lower and raise it; `is_open`, whether they do, from the rows of the pools on.
    `gain[depth][f]`: worth that their workloads can add, power paid for, with `f` GPUs for them in all, of which they
    hold `held[depth]` at their defaults.
    """

    WATTS, WORTH, HELD = range(3)

    def __init__(self, problem: Problem, prices: Dual, losses: Floats, gap: float) -> None:
        self.default = defaults(problem, losses)
        is_job, count = problem.jobs, len(problem.rooms)
        feeder = problem.transformer[:, 0]
        part = np.where(is_job, -1, np.where(feeder < 0, count, feeder))
        losses = losses.copy()
        at = np.arange(len(is_job)), self.default
        losses[at] = -np.inf
        order = losses.argsort(axis=1, kind="stable")
        least = losses.min(axis=1, initial=np.inf, where=losses > -np.inf)
        core = np.flatnonzero(least <= gap)
        block = part[core]
        opened = np.lexsort((least[core], block))
        core = core[opened]
        self.classes: list[int] = core.tolist()
        self.block: list[int] = block[opened].tolist()
        self.order = order[core]
        sorted_losses = np.take_along_axis(losses[core], self.order, axis=1)
        self.losses: list[list[float]] = sorted_losses.tolist()
        rows = np.stack([problem.watts, problem.worth, *problem.held()])
        defaults_rows = rows[:, *at]
        self.root: Ints = defaults_rows.sum(axis=1)
        rows = np.take_along_axis(rows[:, core], self.order[None], axis=2)
        self.changes: Ints = rows - rows[:, :, :1]
        self._set_reach(np.where(sorted_losses <= gap, self.changes, 0))
        self._set_gain(problem, prices, gap)

    def _set_reach(self, usable: Ints) -> None:
        ends = np.zeros((2, len(usable), len(self.classes) + 1), np.int64)
        ends[:, :, :-1] = -usable.min(axis=2), usable.max(axis=2)
        ends = ends[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
        self.down, self.up = ends.transpose(0, 2, 1).tolist()
        self.is_open: list[list[bool]] = (ends.max(axis=0)[self.HELD :] > 0).T.tolist()

    def _set_gain(self, problem: Problem, prices: Dual, gap: float) -> None:
        """Adds one workload after the other to the table (the knapsack's dynamic program, by GPUs in all)."""
        pools = len(problem.pools)
        jobs = sum(number < 0 for number in self.block)
        watts, worth, *held = self.changes[:, :jobs]
        value = worth - prices.watt * watts
        for price, behind in zip(prices.transformer, held[pools:], strict=True):
            value -= price * behind
        at_default = problem.of(self.default, problem.gpus)[self.classes[:jobs]]
        gpus = sum(held[:pools]) + at_default[:, None]
        self.gain, self.held = [np.zeros(sum(problem.pools) + 1)], [0]
        for n in reversed(range(jobs)):
            usable = bisect_right(self.losses[n], gap)
            then, more = self.gain[-1], np.full(len(self.gain[0]), -np.inf)
            # Places in several pools that draw and earn the same are one option here.
            for units, added in set(zip(gpus[n, :usable].tolist(), value[n, :usable].tolist(), strict=True)):
                np.maximum(more[units:], then[: len(then) - units] + added, out=more[units:])
            self.gain.append(more)
            self.held.append(self.held[-1] + int(at_default[n]))
        self.gain.reverse()
        self.held.reverse()
