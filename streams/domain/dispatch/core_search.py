"""The optimum of an interval's problem: dynamic programming over its core, with bounds and dominance.

A dual's prices give each class its default, the option that is worth most when power and GPUs are paid for; another
option loses something against it. A selection is worth the dual's bound less its losses less what unused power, GPUs
and transformers would have been paid, so selections better than a known one lie within the gap between the two:

1. The workloads alone, power at its price, are best as a table by GPUs has them (`gpu_table`). Repair these and the
   defaults of the groups until they keep the limits, then use what is left: a known selection (`rounding`).
2. Open the workloads one after the other, each with the options that lose less than the gap (`core`). The states are
   what the selections so far draw, hold and are worth (`states`); what they hold of a pool need not be told apart once
   nothing that is still open holds any of it. A state is dropped where another one holds the same, draws no more and is
   worth as much (dominance), and where the table has nothing that makes it better than the best known (bound).
3. Open the ASIC groups in the same way, within what is left of the gap, in parts: those behind each transformer and the
   others, or two halves. Few states of each part are sooner put together than many are opened class by class.
4. Put all together, the largest part last: of it, a state of the others needs only those that fill the power.

Where the states are few, several classes are opened before they are judged.

Step 2 and 3 are those of D. Pisinger, "A minimal algorithm for the multiple-choice knapsack problem", EJOR 83 (1995),
with pools, transformers and soft limits added; halves are those of E. Horowitz and S. Sahni, "Computing partitions with
applications to the knapsack problem", JACM 21 (1974). Worth is whole money units: selections are compared exactly.
Floats only say what is not looked at, with a margin far over their error.
"""

import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from streams.domain.dispatch.core import Core
from streams.domain.dispatch.dual import Dual
from streams.domain.dispatch.gpu_table import GpuTable
from streams.domain.dispatch.problem import Floats, Ints, Problem
from streams.domain.dispatch.rounding import defaults, repaired
from streams.domain.dispatch.states import States, undominated

# So few states are cheaper to keep than to judge.
FEW = 500
# Two worths differ by a whole unit or not at all; float errors stay under a thousandth of one.
MARGIN = 0.5


@dataclass(slots=True)
class Budget:
    """States that may still be made."""

    states: int


def search(
    problem: Problem, prices: Dual, budget: Budget, near: list[int] | None = None, most: float = math.inf
) -> list[int] | None:
    """Returns the optimum as an option of each class; None where nothing keeps the limits, or the budget is used up.

    `near`: where to look for a first selection; it holds no more GPUs than there are. `most`: what the optimum is known
    not to exceed. Takes the states that it made from the budget.
    """
    found = _Search(problem, prices, budget)
    start = found.start(near)
    if start is None or problem.worth_of(start) >= most:
        return start
    best = found.best(problem.worth_of(start))
    return None if budget.states < 0 else best or start


class _Search:
    """The steps, of which `start` is the first."""

    def __init__(self, problem: Problem, prices: Dual, budget: Budget) -> None:
        self._problem, self._prices, self._budget = problem, prices, budget
        reduced = prices.reduced(problem)
        self._losses = reduced.max(axis=1, keepdims=True) - reduced
        self._table = GpuTable(problem, prices, self._losses)
        # Worth of the workloads from each on after their power and GPUs are paid for.
        best = reduced[self._table.jobs].max(axis=1, initial=0.0)
        self._rest = np.append(best[::-1].cumsum()[::-1], 0.0)
        self._peak_w = problem.peak_w(prices.watt)
        # What is left at most of what the load is paid.
        self._most = prices.watt * self._peak_w - problem.penalty(self._peak_w)
        self._rooms = range(len(problem.rooms))

    def start(self, near: list[int] | None) -> list[int] | None:
        """Returns a first selection; None where this way finds none that keeps the limits."""
        problem, losses = self._problem, self._losses
        if near is None:
            near = defaults(problem, losses).tolist()
            for c, i in self._table.best().items():
                near[c] = i
        return repaired(problem, self._prices, losses, near)

    def best(self, known: int) -> list[int] | None:
        """Returns the optimum; None where nothing is worth more than what is known, or the budget is used up."""
        self._known = known + MARGIN
        gap = self._prices.bound - self._known
        self._core = core = Core(self._problem, self._losses, self._table.jobs, gap)
        left = self._grown(States(core.root[:, None].copy()), range(len(self._table.jobs)), gap, self._jobs_kept)
        if not len(left) or self._budget.states < 0:
            return None
        gap = float(self._promise(left.rows, self._rooms).max()) - self._known
        blocks = list(core.blocks.items())
        if len(blocks) == 1:
            blocks = [(t, own[half::2]) for t, own in blocks for half in (0, 1)]
        parts = sorted(((t, self._block(t, own, gap)) for t, own in blocks), key=lambda part: len(part[1]))
        t, right = parts.pop() if parts else (-1, States(np.zeros_like(core.root)[:, None]))
        while parts:
            own, block = parts.pop(0)
            left = self._with_block(left, own, block, {t, *(n for n, _ in parts)})
        return None if self._budget.states < 0 else self._filled(left, t, right)

    def _promise(self, rows: Ints, rooms: Sequence[int]) -> Floats:
        """What each state can come to be worth by the prices alone, where these transformers are still open."""
        value: Floats = rows[Core.WORTH] - self._prices.watt * rows[Core.WATTS] + self._most
        for t in rooms:
            value += self._prices.transformer[t] * (self._problem.rooms[t] - self._behind(rows, t))
        return value

    def _behind(self, rows: Ints, t: int) -> Ints:
        found: Ints = rows[Core.HELD + len(self._problem.pools) + t]
        return found

    def _grown(self, states: States, positions: Sequence[int], gap: float, kept: Callable[[Ints, int], Ints]) -> States:
        """Opens one class after the other, each with the options that lose less than a gap."""
        core = self._core
        for depth, n in enumerate(positions, start=1):
            usable = bisect_right(core.losses[n], gap)
            if not len(states) or self._budget.states < 0:
                break
            if usable == 1:
                states.rows[:] += core.changes[:, n, :1]
                continue
            states = states.opened(core, n, usable)
            self._budget.states -= len(states)
            if len(states) > FEW:
                states = states.only(kept(states.rows, depth))
        return states.only(kept(states.rows, len(positions)))

    def _jobs_kept(self, rows: Ints, depth: int) -> Ints:
        """Which states of the first workloads can become better than what is known, and are not dominated."""
        pools, is_open = self._problem.pools, self._table.is_open[depth]
        held = rows[Core.HELD : Core.HELD + len(pools)]
        left = np.array(pools)[:, None] - held
        load = rows[Core.WATTS] + self._core.low[Core.WATTS]
        fits = (left >= 0).all(axis=0) & (load <= self._problem.cap_w)
        for t in self._rooms:
            fits &= self._behind(rows, t) + self._behind(self._core.low, t) <= self._problem.rooms[t]
        # The load that pays best of those that can still be had.
        most = rows[Core.WATTS] + self._core.high[Core.WATTS] + self._table.watts[depth]
        load = np.maximum(load, np.minimum(self._peak_w, most))
        paid = self._prices.watt * load - self._problem.penalties(load)
        value, gain = self._promise(rows, self._rooms) - self._most + paid, self._table.gain[depth]
        bound = value + gain[np.maximum(left[is_open].sum(axis=0), 0)]
        if len(pools) > 1:
            bound = np.minimum(bound, value + self._rest[depth] + np.array(self._prices.gpu) @ left)
        index = np.flatnonzero(fits & (bound > self._known))
        keys = [part[index] for part in held[is_open]]
        if self._rooms:
            # Of states that draw the same elsewhere, one that draws less in all does so behind the first as well.
            behind = [self._behind(rows, t)[index] for t in self._rooms]
            keys += [*behind[1:], rows[Core.WATTS, index] - sum(behind)]
        return index[undominated(rows[:, index], keys)]

    def _block(self, t: int, positions: Sequence[int], gap: float) -> States:
        """The groups behind a transformer, or behind none (-1), for themselves."""

        def kept(rows: Ints, _: int) -> Ints:
            index = np.flatnonzero(self._lost(rows, t) < gap)
            return index[undominated(rows[:, index], ())]

        return self._grown(States(np.zeros_like(self._core.root)[:, None]), positions, gap, kept)

    def _lost(self, rows: Ints, t: int) -> Floats:
        """What the states of a block lose against the defaults of its groups."""
        price = self._prices.watt + (self._prices.transformer[t] if t >= 0 else 0.0)
        found: Floats = price * rows[Core.WATTS] - rows[Core.WORTH]
        return found

    def _with_block(self, left: States, t: int, block: States, still_open: set[int]) -> States:
        """All states with all of a block that can become better than what is known."""
        lost = self._lost(block.rows, t)
        order = np.argsort(lost, kind="stable")
        gap = self._promise(left.rows, [n for n in self._rooms if n in {t, *still_open}]) - self._known
        last = np.searchsorted(lost[order], gap)
        i, j = self._pairs(np.zeros_like(last), last)
        made = left.joined(block, i, order[j])
        if t < 0 or t in still_open:
            return made
        fits = self._behind(made.rows, t) <= self._problem.rooms[t]
        value = self._promise(made.rows, [n for n in self._rooms if n in still_open])
        return made.only(np.flatnonzero(fits & (value > self._known)))

    def _filled(self, left: States, t: int, right: States) -> list[int] | None:
        """Of all states with all of the last block, the best: those of it that come near what is left of the load."""
        problem, watts = self._problem, left.rows[Core.WATTS]
        right = right.only(np.argsort(right.rows[Core.WATTS], kind="stable"))
        draws = right.rows[Core.WATTS]
        gap = self._promise(left.rows, [t] if t >= 0 else []) - self._known
        low, high = problem.loads_w(self._prices.watt, self._most - gap)
        # Up to the first limit more is worth more: the last that fits is enough.
        free, room = problem.free_w - watts, high - watts
        if t >= 0:
            behind = problem.rooms[t] - self._behind(left.rows, t)
            free, room = np.minimum(free, behind), np.minimum(room, behind)
        first = np.maximum(np.searchsorted(draws, free, side="right") - 1, np.searchsorted(draws, low - watts))
        i, j = self._pairs(first, np.searchsorted(draws, room, side="right"))
        if not len(i):
            return None
        worth = left.rows[Core.WORTH, i] + right.rows[Core.WORTH, j] - problem.penalties(watts[i] + draws[j])
        at = int(worth.argmax())
        if worth[at] < self._known:
            return None
        chosen: list[int] = self._core.default.tolist()
        left.trace(self._core, int(i[at]), chosen)
        right.trace(self._core, int(j[at]), chosen)
        return chosen

    def _pairs(self, first: Ints, last: Ints) -> tuple[Ints, Ints]:
        """Each position with each of the numbers from its first up to, not with, its last; none beyond the budget."""
        counts = np.maximum(last - first, 0)
        self._budget.states -= int(counts.sum())
        if self._budget.states < 0:
            counts[:] = 0
        i = np.repeat(np.arange(len(counts)), counts)
        return i, np.arange(len(i)) + np.repeat(first - counts.cumsum() + counts, counts)
