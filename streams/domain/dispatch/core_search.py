"""The optimum of an interval's problem: dynamic programming over its core, with bounds and dominance.

A dual's prices give each class its default, the option that is worth most when power and GPUs are paid for; another
option loses something against it. A selection is worth the dual's bound less its losses less what unused power, GPUs
and transformers would have been paid, so selections better than a known one lie within the gap between the two:

1. Repair the defaults until they keep the limits, then use what is left: a known selection (`rounding`).
2. The core is the classes that have another option which loses less than the gap (`core`). Each is opened in order of
   that loss: workloads first, then the ASIC groups behind one transformer after the other, then the rest. The states
   are what the selections so far draw, hold and are worth; what they hold of a pool or behind a transformer need not be
   told apart once nothing that is still open holds any of it. A state is dropped where another one holds the same,
   draws no more and is worth as much (dominance), and where nothing that is still open makes it better than the best
   known (bound).

Step 2 is tried with a part of the gap first: what it finds then is the optimum. Where the states are few, several
classes are opened before they are judged.

The search for one limit is that of D. Pisinger, "A minimal algorithm for the multiple-choice knapsack problem", EJOR 83
(1995); pools, transformers and soft limits are added. Worth is whole money units: selections are compared exactly.
Floats only say what is not looked at, with a margin far over their error.
"""

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streams.domain.dispatch.core import Core
from streams.domain.dispatch.dual import Dual
from streams.domain.dispatch.problem import Floats, Ints, Problem
from streams.domain.dispatch.rounding import repaired

# Of the gap to a repaired selection: the optimum is hardly ever that near to it, and what a search costs grows with the
# gap. Where the first finds nothing, there is nothing so much better.
SHARES = (0.3, 1.0)
# So few states are cheaper to keep than to judge.
FEW = 800
# Two worths differ by a whole unit or not at all; float errors stay under a thousandth of one.
MARGIN = 0.5


@dataclass(slots=True)
class Budget:
    """States that may still be made."""

    states: int


def search(problem: Problem, prices: Dual, budget: Budget, most: float = math.inf) -> list[int] | None:
    """Returns the optimum as an option of each class; None where nothing keeps the limits, or the budget is used up.

    `most` is what the optimum is known not to exceed. Takes the states that it made from the budget.
    """
    reduced = prices.reduced(problem)
    losses = reduced.max(axis=1, keepdims=True) - reduced
    start = repaired(problem, prices, losses)
    if start is None:
        return None
    bound, known = prices.bound - MARGIN, problem.worth_of(start)
    most = min(bound, most)
    for share in SHARES:
        hoped = max(math.floor(most - share * (most - known)), known)
        if hoped > bound:
            break
        core = Core(problem, prices, losses, bound - hoped)
        found = _Search(problem, prices, core, hoped, bound - hoped).best(budget)
        if found is not None or budget.states < 0:
            return found
    return start


class _Stage(NamedTuple):
    """The states after a class is opened, as columns with rows as those of a core, and what they were made of.

    Each option of the class, by its rank in the core, was taken by each of the `before` states of the stage before;
    `origin` are the positions among these that were kept.
    """

    rows: Ints
    position: int
    before: int
    origin: Ints

    def only(self, kept: Ints) -> "_Stage":
        return self._replace(rows=self.rows[:, kept], origin=self.origin[kept])


class _Search:
    """Step 2: one pass over a core, for what is worth more than `known`."""

    def __init__(self, problem: Problem, prices: Dual, core: Core, known: int, gap: float) -> None:
        self._problem, self._prices, self._core = problem, prices, core
        self._best = known
        # What the best state could still be worth more than the best known.
        self._gap = gap
        # The number and the origin of its last stage: a stage may be judged again.
        self._where: tuple[int, int] | None = None
        self._peak_w = problem.peak_w(prices.watt)
        self._units = [*problem.pools, *problem.rooms]
        self._unit_prices = [*prices.gpu, *prices.transformer]

    def best(self, budget: Budget) -> list[int] | None:
        """Returns the optimum; None where nothing is worth more than what is known, or the budget is used up."""
        count = len(self._core.classes)
        stages = [_Stage(self._core.root[:, None], 0, 0, np.zeros(1, np.int64))]
        for n in range(count):
            stage = self._opened(stages[-1], n, budget)
            if stage is not None and stage.rows.shape[1] > FEW and n + 1 < count:
                stage = self._judged(stage, len(stages), n + 1)
            if stage is not None:
                stages.append(stage)
        stages[-1] = self._judged(stages[-1], len(stages) - 1, count)
        return None if budget.states < 0 else self._trace(stages)

    def _opened(self, before: _Stage, n: int, budget: Budget) -> _Stage | None:
        """The states with each option of a class that may still be taken; None where only its default is left."""
        rows, options = before.rows, bisect_right(self._core.losses[n], self._gap)
        if options < 2 or budget.states < 0:
            return None
        opened = self._core.changes[: len(rows), n, :options, None] + rows[:, None, :]
        opened = opened.reshape(len(rows), -1)
        budget.states -= opened.shape[1]
        return _Stage(opened, n, rows.shape[1], np.arange(opened.shape[1]))

    def _judged(self, stage: _Stage, number: int, depth: int) -> _Stage:
        """Drops the states that nothing makes better than the best known, and the dominated ones; learns the best."""
        core, rows = self._core, stage.rows
        priced, promise = self._bounds(rows, depth)
        index = np.flatnonzero(promise > self._best + MARGIN)
        if not len(index):
            self._gap = -np.inf
            return stage.only(index)
        self._gap = min(self._gap, float(priced[index].max()) - self._best - MARGIN)
        kept = stage.only(index)
        held, watts = kept.rows[core.HELD :], kept.rows[core.WATTS]
        kept = kept.only(_undominated(kept.rows, self._keys(held, watts, depth)))
        self._learn(kept, number)
        return kept

    def _keys(self, held: Ints, watts: Ints, depth: int) -> list[Ints]:
        """What two states must have alike for one to be as good as the other in all that is held; clears the rest.

        While the groups behind a transformer are opened, this is what is drawn elsewhere: of states that draw the same
        there, one that draws less in all does so behind the transformer too.
        """
        block = self._core.block[depth - 1] if depth else -1
        own = len(self._problem.pools) + block if block >= 0 else -1
        keys = []
        for row, is_open in enumerate(self._core.is_open[depth]):
            if is_open:
                keys.append(watts - held[row] if row == own else held[row])
            else:
                held[row] = 0
        return keys

    def _bounds(self, rows: Ints, depth: int) -> tuple[Floats, Floats]:
        """What each state can come to be worth, twice: by the prices alone, and by all that is known.

        What an option loses is counted at the price of what it holds: what is not opened is judged by that alone.
        """
        problem, core, price = self._problem, self._core, self._prices.watt
        down, up = core.down[depth], core.up[depth]
        watts = rows[core.WATTS]
        load = np.minimum(np.maximum(watts - down[core.WATTS], self._peak_w), watts + up[core.WATTS])
        bound = rows[core.WORTH] + price * (load - watts)
        for step in problem.steps:
            bound -= float(step.penalty_per_w) * np.maximum(load - step.limit_w, 0)
        fits = load <= problem.cap_w
        left = [units - held for units, held in zip(self._units, rows[core.HELD :], strict=True)]
        for row, free in enumerate(left, start=core.HELD):
            fits &= free >= -down[row]
        bound[~fits] = -np.inf
        pools = len(problem.pools)
        is_open = core.is_open[depth]
        for row in range(pools, len(left)):
            if is_open[row] and self._unit_prices[row] > 0:
                bound += self._unit_prices[row] * np.minimum(left[row], up[core.HELD + row])
        priced = bound
        for row in range(pools):
            if is_open[row] and self._unit_prices[row] > 0:
                priced = priced + self._unit_prices[row] * np.minimum(left[row], up[core.HELD + row])
        if not any(is_open[:pools]):
            return priced, priced
        gain = core.gain[depth]
        units = np.clip(sum(left[:pools]) + core.held[depth], 0, len(gain) - 1)
        return priced, np.minimum(priced, bound + gain[units])

    def _learn(self, stage: _Stage, number: int) -> None:
        problem = self._problem
        watts, worth, *held = stage.rows
        fits = watts <= problem.cap_w
        for units, taken in zip(self._units, held, strict=True):
            fits &= taken <= units
        for step in problem.steps:
            worth = worth - np.maximum(watts - step.limit_w, 0) * step.penalty_per_w
        at = int(np.where(fits, worth, np.iinfo(np.int64).min).argmax())
        if fits[at] and worth[at] > self._best:
            self._best, self._where = int(worth[at]), (number, int(stage.origin[at]))

    def _trace(self, stages: Sequence[_Stage]) -> list[int] | None:
        if self._where is None:
            return None
        core = self._core
        chosen: list[int] = core.default.tolist()
        number, origin = self._where
        for before, stage in reversed(list(pairwise(stages[: number + 1]))):
            rank, at = divmod(origin, stage.before)
            chosen[core.classes[stage.position]] = int(core.order[stage.position, rank])
            origin = int(before.origin[at])
        return chosen


def _undominated(rows: Ints, keys: Sequence[Ints]) -> Ints:
    """Of the states with the same keys, those that are worth more than all that draw no more."""
    watts, worth = rows[Core.WATTS], rows[Core.WORTH]
    key = keys[0] if keys else np.zeros(len(watts), np.int64)
    for other in keys[1:]:
        # Ranks, as the product of a few ranges could leave 64 bits.
        key = np.unique(key * (int(other.max()) + 1) + other, return_inverse=True)[1]
    order = np.lexsort((-worth, watts, key))
    worth = worth[order]
    # Lifts each key above the one before it, so that one running maximum serves all of them.
    lifted = worth + key[order] * (int(worth.max()) - int(worth.min()) + 1)
    is_kept = np.ones(len(order), np.bool_)
    np.greater(lifted[1:], np.maximum.accumulate(lifted)[:-1], out=is_kept[1:])
    return order[is_kept]
