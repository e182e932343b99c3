"""The workloads alone, power at its price: what they can be worth with each number of GPUs, as if in one pool.

The knapsack's dynamic program (R. Bellman, "Dynamic Programming", 1957), a workload after the other from the last one.
"""

import numpy as np

from streams.domain.dispatch.dual import Dual
from streams.domain.dispatch.problem import Floats, Problem


class GpuTable:
    """`jobs`: the workloads' classes, in order. Of those from the n-th on:

    `gain[n][f]`: what they can be worth with `f` GPUs for all of them; `is_open[n]`: the pools with places for them;
    `watts[n]`: the most that they can draw, W.

    Those in doubt come last, by what their second option loses (`losses`, shape as the options'): in a search they
    multiply states. With several pools, those with places in one alone come first but for the last pool's, so that what
    is held of a pool is told apart for as short as can be.
    """

    def __init__(self, problem: Problem, prices: Dual, losses: Floats) -> None:
        found = np.flatnonzero(problem.jobs)
        second = np.partition(losses[found], 1, axis=1)[:, 1] if len(found) else np.zeros(0)
        last = len(problem.pools) - 1
        homes = problem.pool[found, :, None] == np.arange(last + 1)
        in_pool = homes.any(axis=1)
        several = in_pool.sum(axis=1) > 1
        turn = np.where(several, last, in_pool.argmax(axis=1) + in_pool[:, last])
        order = np.lexsort((-second, turn))
        self.jobs: list[int] = found[order].tolist()
        is_open = np.logical_or.accumulate(in_pool[order][::-1])[::-1]
        self.is_open = np.vstack([is_open, np.zeros(last + 1, np.bool_)])
        gpus, watts = problem.gpus[self.jobs], problem.watts[self.jobs]
        value = problem.worth[self.jobs] - prices.watts(problem.transformer[self.jobs]) * watts
        self.watts = np.append(watts.max(axis=1, initial=0)[::-1].cumsum()[::-1], 0)
        self._options = [list(zip(*own, strict=True)) for own in zip(gpus.tolist(), value.tolist(), strict=True)]
        self._units = sum(problem.pools)
        self.gain = np.zeros((len(self.jobs) + 1, self._units + 1))
        for n in reversed(range(len(self.jobs))):
            then, more = self.gain[n + 1], self.gain[n]
            more[:] = then
            # Places in several pools that draw and earn the same are one option here.
            for units, worth in set(self._options[n]):
                if worth > 0 and units <= self._units:
                    np.maximum(more[units:], then[: len(then) - units] + worth, out=more[units:])

    def best(self) -> dict[int, int]:
        """Returns the option of each workload that is best of all."""
        chosen, free = {}, self._units
        for n, options in enumerate(self._options):
            now, then = self.gain[n][free], self.gain[n + 1]
            chosen[self.jobs[n]] = taken = next(
                (i for i, (gpus, worth) in enumerate(options) if gpus <= free and then[free - gpus] + worth == now), 0
            )
            free -= options[taken][0]
        return chosen
