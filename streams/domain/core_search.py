"""The best option of each class by dynamic programming over the few classes where it is in doubt.

A dual's prices give each class its default, the option that is worth most when power and GPUs are paid for; another
option loses something against it. A selection is worth the dual's bound less its losses less what unused power and GPUs
would have been paid, so selections better than a known one lie within the gap between the two:

1. Repair the defaults until they keep the limits, then use what is left: a known selection.
2. The core is the classes that have another option which loses less than the gap. Workloads first, as the GPUs held
   need not be told apart behind them, each class is opened in order of that loss. The states are what the selections so
   far draw, hold and are worth. A state is dropped where another one holds the same GPUs, draws no more and is worth as
   much, and where nothing that is still open makes it better than the best known.
3. Where the core is used up, the best known is the optimum.

Worth is whole money units: selections are compared exactly. Floats only say what is not looked at, with a margin far
over their error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.domain.dual import Dual, Interval, Option
from streams.domain.rounding import default, repaired

# Two worths differ by a whole unit or not at all; float errors stay under a thousandth of one.
MARGIN = 0.5

Ints = NDArray[np.int64]


@dataclass(slots=True)
class Budget:
    """States that may still be made."""

    states: int


class _Reach(NamedTuple):
    """By how much what is not opened yet can lower and raise the load and the GPUs held in each pool."""

    down_w: int
    up_w: int
    down: tuple[int, ...]
    up: tuple[int, ...]


def search(problem: Interval, prices: Dual, known: Sequence[int] | None, budget: Budget) -> list[int] | None:
    """Returns the optimum as an option of each class; None where nothing keeps the cap, or the budget is used up.

    `known` is a selection that keeps the limits. Takes the states that it made from the budget.
    """
    losses = [_losses(options, prices) for options in problem.classes]
    start = repaired(problem, prices, losses) if known is None else list(known)
    return None if start is None else _Search(problem, prices, losses, start).best(budget)


def _losses(options: Sequence[Option], prices: Dual) -> list[float]:
    reduced = [prices.reduced(option) for option in options]
    best = max(reduced)
    return [best - value for value in reduced]


class _Search:
    """Step 2. A matrix of states has a column a state and the rows below; classes not opened are at their default."""

    WATTS, WORTH, PARENT, OPTION, GPUS = range(5)

    def __init__(self, problem: Interval, prices: Dual, losses: Sequence[Sequence[float]], known: list[int]) -> None:
        self._problem, self._prices, self._losses, self._known = problem, prices, losses, known
        self._best = problem.worth(known)
        self._where: tuple[int, int] | None = None
        # What the best state could still be worth more than the best known.
        self._gap = prices.bound - self._best - MARGIN
        self._default = [default(options, lost) for options, lost in zip(problem.classes, losses, strict=True)]
        self._least = [
            min((loss for i, loss in enumerate(lost) if i != at), default=float("inf"))
            for lost, at in zip(losses, self._default, strict=True)
        ]
        core = (c for c, loss in enumerate(self._least) if loss <= self._gap)
        self._core = sorted(core, key=lambda c: (not _has_gpus(problem.classes[c]), self._least[c], c))
        self._jobs = sum(_has_gpus(problem.classes[c]) for c in self._core)

    def best(self, budget: Budget) -> list[int] | None:
        """Returns the optimum; None where the budget is used up."""
        if self._gap < 0:
            return self._known
        reach = self._reach()
        opened: list[int] = []
        stages = [self._kept(self._root(), 0, reach[0], not self._jobs)]
        for depth, c in enumerate(self._core, start=1):
            if self._least[c] > self._gap:
                continue
            states = self._opened(stages[-1], c)
            budget.states -= states.shape[1]
            if budget.states < 0:
                return None
            opened.append(c)
            stages.append(self._kept(states, len(opened), reach[depth], depth >= self._jobs))
        return self._trace(opened, stages)

    def _root(self) -> Ints:
        options = [options[i] for options, i in zip(self._problem.classes, self._default, strict=True)]
        gpus = [0] * len(self._problem.pools)
        for option in options:
            if option.pool >= 0:
                gpus[option.pool] += option.gpus
        column = [sum(o.watts for o in options), sum(o.worth for o in options), 0, 0, *gpus]
        return np.array(column, np.int64)[:, None]

    def _opened(self, states: Ints, c: int) -> Ints:
        options, lost, old = self._problem.classes[c], self._losses[c], self._problem.classes[c][self._default[c]]
        states = states.copy()
        states[self.PARENT] = np.arange(states.shape[1])
        states[self.OPTION] = self._default[c]
        parts = [states]
        for i, new in enumerate(options):
            if i == self._default[c] or lost[i] > self._gap:
                continue
            change = [new.watts - old.watts, new.worth - old.worth, 0, i - self._default[c]]
            change += [0] * len(self._problem.pools)
            if old.pool >= 0:
                change[self.GPUS + old.pool] -= old.gpus
            if new.pool >= 0:
                change[self.GPUS + new.pool] += new.gpus
            parts.append(states + np.array(change)[:, None])
        return np.concatenate(parts, axis=1)

    def _reach(self) -> list[_Reach]:
        """What the classes behind each depth can change."""
        found = [_Reach(0, 0, (0,) * len(self._problem.pools), (0,) * len(self._problem.pools))]
        for c in reversed(self._core):
            options, old, then = self._problem.classes[c], self._problem.classes[c][self._default[c]], found[-1]
            usable = [o for o, loss in zip(options, self._losses[c], strict=True) if loss <= self._gap]
            down, up = list(then.down), list(then.up)
            if old.pool >= 0:
                down[old.pool] += old.gpus
            for pool in {o.pool for o in usable if o.pool not in {-1, old.pool}}:
                up[pool] += options[-1].gpus
            down_w = then.down_w + old.watts - min(o.watts for o in usable)
            up_w = then.up_w + max(o.watts for o in usable) - old.watts
            found.append(_Reach(down_w, up_w, tuple(down), tuple(up)))
        return found[::-1]

    def _kept(self, states: Ints, stage: int, reach: _Reach, jobs_done: bool) -> Ints:
        """Drops the states that nothing makes better than the best known, and the dominated ones; learns the best."""
        problem, prices = self._problem, self._prices
        watts = states[self.WATTS]
        peak = problem.cap_w if prices.watt > problem.penalty_per_w else problem.limit_w
        load = np.minimum(np.maximum(watts - reach.down_w, peak), watts + reach.up_w)
        bound = states[self.WORTH] + prices.watt * (load - watts)
        if problem.limit_w < problem.cap_w:
            bound -= float(problem.penalty_per_w) * np.maximum(load - problem.limit_w, 0)
        is_kept = load <= problem.cap_w
        for pool, units in enumerate(problem.pools):
            gpus = states[self.GPUS + pool]
            is_kept &= gpus <= units + reach.down[pool]
            if prices.gpu[pool] > 0:
                bound += prices.gpu[pool] * np.minimum(units - gpus, reach.up[pool])
        is_kept &= bound > self._best + MARGIN
        if not is_kept.any():
            self._gap = -1.0
            return states[:, :0]
        kept = states[:, is_kept]
        if jobs_done:
            kept[self.GPUS :] = 0
        kept = _undominated(kept)
        self._learn(kept, stage)
        self._gap = float(bound[is_kept].max()) - self._best - MARGIN
        return kept

    def _learn(self, states: Ints, stage: int) -> None:
        problem = self._problem
        fits = states[self.WATTS] <= problem.cap_w
        for pool, units in enumerate(problem.pools):
            fits &= states[self.GPUS + pool] <= units
        worth = states[self.WORTH]
        if problem.limit_w < problem.cap_w:
            worth = worth - np.maximum(states[self.WATTS] - problem.limit_w, 0) * problem.penalty_per_w
        at = int(np.where(fits, worth, np.iinfo(np.int64).min).argmax())
        if fits[at] and worth[at] > self._best:
            self._best, self._where = int(worth[at]), (stage, at)

    def _trace(self, opened: Sequence[int], stages: Sequence[Ints]) -> list[int]:
        if self._where is None:
            return self._known
        chosen = list(self._default)
        stage, at = self._where
        for number in range(stage, 0, -1):
            chosen[opened[number - 1]] = int(stages[number][self.OPTION, at])
            at = int(stages[number][self.PARENT, at])
        return chosen


def _has_gpus(options: Sequence[Option]) -> bool:
    return options[-1].pool >= 0


def _undominated(states: Ints) -> Ints:
    """Of the states that hold the same GPUs, those that are worth more than all that draw no more."""
    if states.shape[1] < 2:
        return states
    rows = states[_Search.GPUS :]
    key = rows[0] if len(rows) else np.zeros(states.shape[1], np.int64)
    for row in rows[1:]:
        # Ranks, as the product of a few pools' ranges could leave 64 bits.
        key = np.unique(key * (int(row.max()) + 1) + row, return_inverse=True)[1]
    order = np.lexsort((-states[_Search.WORTH], states[_Search.WATTS], key))
    worth = states[_Search.WORTH, order]
    # Lifts each key above the one before it, so that one running maximum serves all of them.
    lifted = worth + key[order] * (int(worth.max()) - int(worth.min()) + 1)
    is_kept = np.ones(len(order), np.bool_)
    np.greater(lifted[1:], np.maximum.accumulate(lifted)[:-1], out=is_kept[1:])
    return states[:, order[is_kept]]
