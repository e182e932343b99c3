"""The classes of an interval whose option is in doubt, in the order in which they are opened, and what they can change.

At a dual's prices each class has a default, the option that is worth most when power and GPUs are paid for; another
option loses something against it. No selection that is better than a known one has an option which loses more than the
gap between the known one and the dual's bound.
"""

from bisect import bisect_right
from dataclasses import dataclass

import numpy as np

from streams.domain.dual import Dual
from streams.domain.interval import Floats, Interval, Ints
from streams.domain.rounding import defaults

# More than any load, W, and far within 64 bits.
_ANY = 10**15


@dataclass(frozen=True, slots=True)
class Excess:
    """By how much a dual's bound is known to be too high: for the workloads, and for parts of the ASIC groups.

    `parts`: what the groups behind a transformer lose at least, by its number, or those behind none, by the number of
    transformers, whatever the workloads draw that are worth a look.
    """

    jobs: float
    parts: dict[int, float]

    @property
    def total(self) -> float:
        """By how much in all."""
        return self.jobs + sum(self.parts.values())


NO_EXCESS = Excess(0.0, {})


class Core:
    """Classes in doubt within a gap: workloads first, the groups behind one transformer after the other, the rest.

    `default`: option of every class; `root`: what the defaults draw, are worth and hold; `classes`: those of the core;
    `block`: of each of these -1 for a workload, else its transformer, the number of transformers for none.
    `order`: the options of each, by what they lose, the default first; `losses`: how much that is.
    `changes`: what each changes against the default, shape (rows, classes, options). Rows are watts, worth, the GPUs of
    each pool and the watts behind each transformer.

    What the classes from each depth on can change, for each class and one more: `down` and `up` (rows as above), by how
    much they can lower and raise it; `is_open`, whether they do, from the rows of the pools on; `spare`, by how much
    the bound is known to be too high for them; `free_spare`, for the groups behind no transformer.
    `gain[depth][f]`: worth that their workloads can add, power paid for, with `f` GPUs for them in all, of which they
    hold `held[depth]` at their defaults. With one pool there is no such table: the price of a GPU is about as good, and
    cheaper.
    """

    WATTS, WORTH, HELD = range(3)

    def __init__(self, problem: Interval, prices: Dual, losses: Floats, gap: float, excess: Excess) -> None:
        self.default = defaults(problem, losses)
        is_job, count = problem.jobs, len(problem.rooms)
        feeder = problem.transformer[:, 0]
        part = np.where(is_job, -1, np.where(feeder < 0, count, feeder))
        # The options of a part for which the bound is too high may lose so much more. The last is for -1, workloads.
        spare = np.array([*(excess.parts.get(number, 0.0) for number in range(count + 1)), excess.jobs])
        losses = losses - spare[part][:, None]
        self.free_spare = float(spare[count])
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
        self._set_reach(np.where(sorted_losses <= gap, self.changes, 0), len(problem.pools), excess)
        if len(problem.pools) > 1:
            self._set_gain(problem, prices, gap)

    def _set_reach(self, usable: Ints, pools: int, excess: Excess) -> None:
        ends = np.zeros((2, len(usable), len(self.classes) + 1), np.int64)
        ends[:, :, :-1] = -usable.min(axis=2), usable.max(axis=2)
        ends = ends[:, :, ::-1].cumsum(axis=2)[:, :, ::-1]
        spare = np.zeros(len(self.classes) + 1)
        for part, lost in excess.parts.items():
            # Until the first of its groups is opened, all that is known of a part is what it is worth at best.
            first = self.block.index(part) if part in self.block else len(self.classes)
            spare[: first + 1] += lost
            if self.HELD + pools + part < len(usable):
                ends[1, self.HELD + pools + part, : first + 1] = _ANY
            else:
                ends[:, self.WATTS, : first + 1] = _ANY
        self.spare: list[float] = spare.tolist()
        self.down, self.up = ends.transpose(0, 2, 1).tolist()
        self.is_open: list[list[bool]] = (ends.max(axis=0)[self.HELD :] > 0).T.tolist()

    def _set_gain(self, problem: Interval, prices: Dual, gap: float) -> None:
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
