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

from streams.domain.core import NO_EXCESS, Core, Excess
from streams.domain.dual import Dual
from streams.domain.interval import Interval, Ints
from streams.domain.rounding import repaired

# States of a first pass. A pass of no more than that drops none of them and needs no second one, as most do.
WIDTH = 2_000
# So few states are cheaper to keep than to judge.
FEW = 120
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
    bound = prices.bound - excess.total
    width: int | None = WIDTH
    while (gap := bound - problem.worth_of(start) - MARGIN) >= 0:
        one = _Search(problem, prices, Core(problem, prices, losses, gap, excess), start, gap)
        found = one.best(budget, width)
        if found is None or one.is_exact:
            return found
        start, width = found, None
    return start


class _States(NamedTuple):
    """States of a stage, a column each: rows as those of a core, and the state and the option that each was made of.

    `base`: while the groups behind one transformer are opened, the state before them. What is drawn since then is all
    behind that transformer, so that of one base a state which draws less does so there too.
    """

    rows: Ints
    parent: Ints
    option: Ints
    base: Ints

    def only(self, which: Ints) -> "_States":
        return _States(self.rows[:, which], self.parent[which], self.option[which], self.base[which])


class _Search:
    """Step 2: one pass over a core."""

    def __init__(self, problem: Interval, prices: Dual, core: Core, known: list[int], gap: float) -> None:
        self._problem, self._prices, self._core, self._known = problem, prices, core, known
        self._best = problem.worth_of(known)
        # What the best state could still be worth more than the best known.
        self._gap = gap
        self._where: tuple[int, int] | None = None
        self.is_exact = True
        self._units = np.array([*problem.pools, *problem.rooms], np.int64)
        self._unit_prices = [*prices.gpu, *prices.transformer]

    def best(self, budget: Budget, width: int | None) -> list[int] | None:
        """Returns the optimum; None where the budget is used up. With a width, `is_exact` says whether it is proven."""
        core, none = self._core, np.zeros(1, np.int64)
        opened: list[int] = []
        stages = [_States(core.root[:, None], none, none, none)]
        block, is_judged = -1, False
        for n, c in enumerate(core.classes):
            if core.least[c] > self._gap:
                continue
            before = stages[-1]
            if core.block[n] != block:
                block = core.block[n]
                before = before._replace(base=np.arange(len(before.base)))
            states = self._opened(before, n)
            budget.states -= len(states.base)
            if budget.states < 0:
                return None
            opened.append(c)
            is_judged = len(states.base) > FEW
            if is_judged:
                states = self._kept(states, len(opened), n + 1, width)
            stages.append(states)
        if not is_judged:
            stages[-1] = self._kept(stages[-1], len(opened), len(core.classes), width)
        return self._trace(opened, stages)

    def _opened(self, states: _States, n: int) -> _States:
        core, count = self._core, len(states.base)
        c = core.classes[n]
        taken = np.flatnonzero(core.losses[c] <= self._gap)
        taken = np.concatenate([core.default[c : c + 1], taken[taken != core.default[c]]])
        rows = core.changes[:, n, taken][:, :, None] + states.rows[:, None, :]
        return _States(
            rows.reshape(len(rows), -1),
            np.tile(np.arange(count), len(taken)),
            np.repeat(taken, count),
            np.tile(states.base, len(taken)),
        )

    def _kept(self, states: _States, stage: int, depth: int, width: int | None) -> _States:
        """Drops the states that nothing makes better than the best known, and the dominated ones; learns the best."""
        problem, prices, core = self._problem, self._prices, self._core
        down, up = core.down[:, depth], core.up[:, depth]
        watts, held = states.rows[core.WATTS], states.rows[core.HELD :]
        load = np.minimum(np.maximum(watts - down[0], problem.peak_w(prices.watt)), watts + up[0])
        bound = states.rows[core.WORTH] + prices.watt * (load - watts) - core.spare[depth]
        for step in problem.steps:
            bound -= float(step.penalty_per_w) * np.maximum(load - step.limit_w, 0)
        fits = held <= (self._units + down[core.HELD :])[:, None]
        is_kept = (load <= problem.cap_w) & fits.all(axis=0)
        # What an option loses is counted at the price of what it holds: what is not opened is judged by that alone.
        is_open = (down[core.HELD :] > 0) | (up[core.HELD :] > 0)
        free = self._units[:, None] - held
        pools = len(problem.pools)
        for row in np.flatnonzero(is_open[pools:]) + pools:
            bound += self._unit_prices[row] * np.minimum(free[row], up[core.HELD + row])
        priced = bound
        for row in np.flatnonzero(is_open[:pools]):
            priced = priced + self._unit_prices[row] * np.minimum(free[row], up[core.HELD + row])
        promise = priced
        if pools > 1 and is_open[:pools].any():
            units = free[:pools].sum(axis=0) + core.held[depth]
            is_kept &= units >= 0
            gain = core.gain[depth]
            promise = np.minimum(priced, bound + gain[np.minimum(np.maximum(units, 0), len(gain) - 1)])
        is_kept &= promise > self._best + MARGIN
        index = np.flatnonzero(is_kept)
        if not len(index):
            self._gap = -np.inf
            return states.only(index)
        if width is not None and len(index) > width:
            index = np.sort(index[np.argsort(-promise[index], kind="stable")[:width]])
            self.is_exact = False
        self._gap = min(self._gap, float(priced[index].max()) - self._best - MARGIN)
        kept = states.only(index)
        kept.rows[core.HELD :][~is_open] = 0
        block = core.block[depth - 1] if depth else -1
        if 0 <= block < len(problem.rooms) and is_open[pools + block]:
            kept = kept.only(_undominated(kept.rows, [kept.base]))
        else:
            kept = kept.only(_undominated(kept.rows, list(kept.rows[core.HELD :][is_open])))
        self._learn(kept.rows, stage)
        return kept

    def _learn(self, rows: Ints, stage: int) -> None:
        problem, core = self._problem, self._core
        watts = rows[core.WATTS]
        fits = (watts <= problem.cap_w) & (rows[core.HELD :] <= self._units[:, None]).all(axis=0)
        worth = rows[core.WORTH]
        for step in problem.steps:
            worth = worth - np.maximum(watts - step.limit_w, 0) * step.penalty_per_w
        at = int(np.where(fits, worth, np.iinfo(np.int64).min).argmax())
        if fits[at] and worth[at] > self._best:
            self._best, self._where = int(worth[at]), (stage, at)

    def _trace(self, opened: Sequence[int], stages: Sequence[_States]) -> list[int]:
        if self._where is None:
            return self._known
        chosen: list[int] = self._core.default.tolist()
        stage, at = self._where
        for number in range(stage, 0, -1):
            chosen[opened[number - 1]] = int(stages[number].option[at])
            at = int(stages[number].parent[at])
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
