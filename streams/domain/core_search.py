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

Where the states are few, several classes are opened before they are judged. Where they are many, step 2 goes first
with the most promising ones only, for a better selection to be known.

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

# States of a first pass. A pass of no more than that drops none of them and needs no second one, as most do.
WIDTH = 2_000
# So few states are cheaper to keep than to judge.
FEW = 120
# Two worths differ by a whole unit or not at all; float errors stay under a thousandth of one.
MARGIN = 0.5

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


@dataclass(slots=True)
class Budget:
    """States that may still be made."""

    states: int


class _Reach(NamedTuple):
    """What the classes not opened yet can change.

    By how much they can lower and raise the load, W, and the GPUs held in each pool; `gain[f]`: worth that their
    workloads can add, power paid for, with `f` GPUs for them in all, of which they hold `held` at their defaults. For
    one pool there is no such table: the price of a GPU is about as good there, and cheaper.
    """

    down_w: int
    up_w: int
    down: tuple[int, ...]
    up: tuple[int, ...]
    held: int
    gain: Floats


def search(problem: Interval, prices: Dual, known: Sequence[int] | None, budget: Budget) -> list[int] | None:
    """Returns the optimum as an option of each class; None where nothing keeps the cap, or the budget is used up.

    `known` is a selection that keeps the limits. Takes the states that it made from the budget.
    """
    losses = [_losses(options, prices) for options in problem.classes]
    start = repaired(problem, prices, losses) if known is None else list(known)
    if start is None:
        return None
    first = _Search(problem, prices, losses, start)
    found = first.best(budget, WIDTH)
    if found is None or first.is_exact:
        return found
    return _Search(problem, prices, losses, found).best(budget)


def _losses(options: Sequence[Option], prices: Dual) -> list[float]:
    watt, gpu = prices.watt, (*prices.gpu, 0.0)  # pool -1, none, is the last
    reduced = [worth - watt * watts - gpu[pool] * gpus for watts, worth, gpus, pool in options]
    best = max(reduced)
    return [best - value for value in reduced]


class _Search:
    """Step 2. A matrix of states has a column a state and the rows below; classes not opened are at their default."""

    WATTS, WORTH, PARENT, OPTION, GPUS = range(5)

    def __init__(self, problem: Interval, prices: Dual, losses: Sequence[Sequence[float]], known: list[int]) -> None:
        self._problem, self._prices, self._losses, self._known = problem, prices, losses, known
        self._best = problem.worth(known)
        self._where: tuple[int, int] | None = None
        self.is_exact = True
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

    def best(self, budget: Budget, width: int | None = None) -> list[int] | None:
        """Returns the optimum; None where the budget is used up. With a width, `is_exact` says whether it is proven."""
        if self._gap < 0:
            return self._known
        reach = self._reach()
        opened: list[int] = []
        stages = [self._root()]
        is_judged = False
        for depth, c in enumerate(self._core, start=1):
            if self._least[c] > self._gap:
                continue
            states = self._opened(stages[-1], c)
            budget.states -= states.shape[1]
            if budget.states < 0:
                return None
            opened.append(c)
            is_judged = states.shape[1] > FEW
            if is_judged:
                states = self._kept(states, len(opened), reach[depth], depth >= self._jobs, width)
            stages.append(states)
        if not is_judged:
            stages[-1] = self._kept(stages[-1], len(opened), reach[-1], True, width)
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
        options, lost, at = self._problem.classes[c], self._losses[c], self._default[c]
        taken = [i for i, loss in enumerate(lost) if loss <= self._gap and i != at]
        changes = np.zeros((states.shape[0], 1 + len(taken)), np.int64)
        changes[self.OPTION] = [at, *taken]
        old, pools = options[at], self.GPUS
        for n, i in enumerate(taken, start=1):
            new = options[i]
            changes[self.WATTS, n], changes[self.WORTH, n] = new.watts - old.watts, new.worth - old.worth
            if old.pool >= 0:
                changes[pools + old.pool, n] -= old.gpus
            if new.pool >= 0:
                changes[pools + new.pool, n] += new.gpus
        opened = changes[:, :, None] + states[:, None, :]
        opened[self.PARENT] = np.arange(states.shape[1])
        opened[self.OPTION] = changes[self.OPTION, :, None]
        return opened.reshape(states.shape[0], -1)

    def _reach(self) -> list[_Reach]:
        """What the classes behind each depth can change."""
        pools = self._problem.pools
        found = [_Reach(0, 0, (0,) * len(pools), (0,) * len(pools), 0, np.zeros(sum(pools) + 1))]
        for c in reversed(self._core):
            options, old, then = self._problem.classes[c], self._problem.classes[c][self._default[c]], found[-1]
            usable = [o for o, loss in zip(options, self._losses[c], strict=True) if loss <= self._gap]
            down_w = then.down_w + old.watts - min(o.watts for o in usable)
            up_w = then.up_w + max(o.watts for o in usable) - old.watts
            changed = then._replace(down_w=down_w, up_w=up_w)
            if _has_gpus(options):
                down, up = list(then.down), list(then.up)
                if old.pool >= 0:
                    down[old.pool] += old.gpus
                for pool in {o.pool for o in usable if o.pool not in {-1, old.pool}}:
                    up[pool] += options[-1].gpus
                changed = changed._replace(down=tuple(down), up=tuple(up), held=then.held + old.gpus)
                if len(pools) > 1:
                    changed = changed._replace(gain=self._gain(then.gain, usable, old))
            found.append(changed)
        return found[::-1]

    def _gain(self, then: Floats, usable: Sequence[Option], old: Option) -> Floats:
        """One more workload in the table of what they can add (the knapsack's dynamic program, by GPUs in all)."""
        watt = self._prices.watt
        gain = np.full(len(then), -np.inf)
        # Places in several pools that draw and earn the same are one option here.
        for watts, worth, gpus in {(o.watts, o.worth, o.gpus) for o in usable}:
            added = worth - old.worth - watt * (watts - old.watts)
            np.maximum(gain[gpus:], then[: len(then) - gpus] + added, out=gain[gpus:])
        return gain

    def _kept(self, states: Ints, stage: int, reach: _Reach, jobs_done: bool, width: int | None) -> Ints:
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
            is_kept &= states[self.GPUS + pool] <= units + reach.down[pool]
        # What an option loses is counted at the price of a GPU: what is not opened is judged by that bound alone.
        priced = bound
        if not jobs_done:
            for pool, units in enumerate(problem.pools):
                if prices.gpu[pool] > 0:
                    priced = priced + prices.gpu[pool] * np.minimum(units - states[self.GPUS + pool], reach.up[pool])
        promise = priced
        if len(problem.pools) > 1 and not jobs_done:
            free = sum(problem.pools) + reach.held - states[self.GPUS :].sum(axis=0)
            is_kept &= free >= 0
            promise = np.minimum(priced, bound + reach.gain[np.minimum(np.maximum(free, 0), len(reach.gain) - 1)])
        is_kept &= promise > self._best + MARGIN
        index = np.flatnonzero(is_kept)
        if not len(index):
            self._gap = -1.0
            return states[:, :0]
        if width is not None and len(index) > width:
            index = np.sort(index[np.argsort(-promise[index], kind="stable")[:width]])
            self.is_exact = False
        kept = states[:, index]
        if jobs_done:
            kept[self.GPUS :] = 0
        kept = _undominated(kept)
        self._learn(kept, stage)
        self._gap = float(priced[index].max()) - self._best - MARGIN
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
