"""The best option of each class by dynamic programming over the few classes where it is in doubt.

A dual's prices give each class its default, the option that is worth most when power and GPUs are paid for; another
option loses something against it. A selection is worth the dual's bound less its losses less what unused power, GPUs
and transformers would have been paid, so selections better than a known one lie within the gap between the two:

1. Repair the defaults until they keep the limits, then use what is left: a known selection.
2. The core is the classes that have another option which loses less than the gap. Each is opened in order of that loss:
   workloads first, then the ASIC groups behind one transformer after the other, then the rest. The states are what the
   selections so far draw, hold and are worth; what they hold of a pool or behind a transformer need not be told apart
   once nothing that is still open holds any of it. A state is dropped where another one holds the same, draws no more
   and is worth as much, and where nothing that is still open makes it better than the best known.
3. Half of the rest are opened for themselves instead: each state is completed by the best that they can add to it.

Where the states are few, several classes are opened before they are judged. Step 2 is tried with a part of the gap
first: what it finds then is the optimum.

Worth is whole money units: selections are compared exactly. Floats only say what is not looked at, with a margin far
over their error.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streams.domain.core import NO_EXCESS, Core, Excess
from streams.domain.dual import Dual
from streams.domain.interval import Floats, Interval, Ints, Step
from streams.domain.range_maximum import greatest
from streams.domain.rounding import repaired

# Of the gap to a repaired selection: the optimum is hardly ever that near to it, and what a search costs grows with the
# gap. Where the first finds nothing, there is nothing so much better.
SHARES = (0.7, 1.0)
# With so few options in doubt, all of the gap is as fast.
EASY = 24
# So few states are cheaper to keep than to judge.
FEW = 250
# Two worths differ by a whole unit or not at all; float errors stay under a thousandth of one.
MARGIN = 0.5


@dataclass(slots=True)
class Budget:
    """States that may still be made."""

    states: int


def search(
    problem: Interval, prices: Dual, known: Sequence[int] | None, budget: Budget, excess: Excess = NO_EXCESS
) -> list[int] | None:
    """Returns the optimum as an option of each class; None where nothing keeps the limits, or the budget is used up.

    `known` is a selection that keeps the limits. Takes the states that it made from the budget.
    """
    reduced = prices.reduced(problem)
    losses = reduced.max(axis=1, keepdims=True) - reduced
    start = repaired(problem, prices, losses) if known is None else list(known)
    if start is None:
        return None
    bound, worth = prices.bound - excess.total - MARGIN, problem.worth_of(start)
    is_hard = known is None and np.count_nonzero(losses <= bound - worth) > len(losses) + EASY
    for share in SHARES if is_hard else SHARES[-1:]:
        hoped = max(int(bound - share * (bound - worth)), worth)
        if hoped > bound:
            break
        core = Core(problem, prices, losses, bound - hoped, excess)
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
    """Steps 2 and 3: one pass over a core, for what is worth more than `known`."""

    def __init__(self, problem: Interval, prices: Dual, core: Core, known: int, gap: float) -> None:
        self._problem, self._prices, self._core = problem, prices, core
        self._best = known
        # What the best state could still be worth more than the best known.
        self._gap = gap
        # The number and the origin of its last stage, and of the last one of the rest: a stage may be judged again.
        self._where: tuple[int, int] | None = None
        self._rest = 0, 0
        self._peak_w = problem.peak_w(prices.watt)
        self._units = [*problem.pools, *problem.rooms]
        self._unit_prices = [*prices.gpu, *prices.transformer]

    def best(self, budget: Budget) -> list[int] | None:
        """Returns the optimum; None where nothing is worth more than what is known, or the budget is used up."""
        core = self._core
        free = sum(block == len(self._problem.rooms) for block in core.block)
        half = len(core.classes) - free // 2
        stages = [_Stage(core.root[:, None], 0, 0, np.zeros(1, np.int64))]
        for n in range(half):
            stage = self._opened(stages[-1], n, budget)
            if stage is not None and stage.rows.shape[1] > FEW and n + 1 < half:
                stage = self._judged(stage, len(stages), n + 1)
            if stage is not None:
                stages.append(stage)
        stages[-1] = self._judged(stages[-1], len(stages) - 1, half)
        rest = [_Stage(np.zeros((2, 1), np.int64), 0, 0, np.zeros(1, np.int64))]
        for n in reversed(range(half, len(core.classes))):
            stage = self._opened(rest[-1], n, budget)
            if stage is not None:
                lost = self._prices.watt * stage.rows[core.WATTS] - stage.rows[core.WORTH]
                stage = stage.only(np.flatnonzero(lost - core.free_spare <= self._gap))
                rest.append(stage.only(_undominated(stage.rows, [])))
        if budget.states < 0:
            return None
        self._complete(stages, rest)
        return self._trace(stages, rest)

    def _opened(self, before: _Stage, n: int, budget: Budget) -> _Stage | None:
        """The states with each option of a class that may still be taken; None where only its default is left."""
        rows, options = before.rows, bisect_right(self._core.losses[n], self._gap)
        if options < 2 or budget.states < 0:
            return None
        opened = self._core.changes[: len(rows), n, :options, None] + rows[:, None, :]
        opened = opened.reshape(len(rows), -1)
        budget.states -= opened.shape[1]
        return _Stage(opened, n, rows.shape[1], np.arange(opened.shape[1]))

    def _complete(self, stages: list[_Stage], rest: list[_Stage]) -> None:
        """Finds the best of what the rest can add to each state (Horowitz and Sahni, JACM 21, 1974)."""
        problem, core = self._problem, self._core
        rows, more = stages[-1].rows, rest[-1].rows
        if not rows.shape[1]:
            return
        start, paid, back = np.zeros(rows.shape[1], np.int64), 0, 0
        for limit_w, penalty_per_w in (*problem.steps, Step(problem.cap_w, 0)):
            # From one step to the next a watt costs the same, so that each part can be taken for itself.
            end = np.searchsorted(more[core.WATTS], limit_w - rows[core.WATTS], side="right")
            value = more[core.WORTH] - paid * more[core.WATTS]
            found = rows[core.WORTH] - paid * rows[core.WATTS] + back + greatest(value, start, end)
            at = int(found.argmax())
            if found[at] > self._best:
                last = int(start[at] + value[start[at] : end[at]].argmax())
                self._best, self._where = int(found[at]), (len(stages) - 1, int(stages[-1].origin[at]))
                self._rest = len(rest) - 1, int(rest[-1].origin[last])
            start, paid, back = end, paid + penalty_per_w, back + penalty_per_w * limit_w

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
        bound = rows[core.WORTH] + price * (load - watts) - core.spare[depth]
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
        if pools < 2 or not any(is_open[:pools]):
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

    def _trace(self, stages: Sequence[_Stage], rest: Sequence[_Stage]) -> list[int] | None:
        if self._where is None:
            return None
        core = self._core
        chosen: list[int] = core.default.tolist()
        for part, (number, last) in ((stages, self._where), (rest, self._rest)):
            origin = last
            for before, stage in reversed(list(pairwise(part[: number + 1]))):
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
