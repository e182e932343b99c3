"""A selection that keeps the limits, from the options that a dual's prices prefer: repair, then use what is left."""

import numpy as np

from streams.domain.dispatch.dual import Dual
from streams.domain.dispatch.problem import Floats, Ints, Problem


def defaults(problem: Problem, losses: Floats) -> Ints:
    """The option of each class that loses nothing; of several the one that draws least and holds the fewest GPUs."""
    found: Ints = np.lexsort((problem.gpus, problem.watts, losses), axis=1)[:, 0]
    return found


def repaired(problem: Problem, prices: Dual, losses: Floats) -> list[int] | None:
    """Returns an option of each class near the defaults; None where this way ends over a limit.

    `losses`: of each option against the default of its class, shape (classes, options).
    """
    near = _Selection(problem, losses)
    near.place_jobs(prices)
    for transformer, room_w in enumerate(problem.rooms):
        if near.behind[transformer] > room_w:
            draws = np.where(problem.transformer == transformer, problem.watts, 0)
            near.shed(near.behind[transformer] - room_w, draws)
    near.shed(near.load_w - problem.peak_w(prices.watt), problem.watts)
    if near.load_w > problem.cap_w or any(w > room_w for w, room_w in zip(near.behind, problem.rooms, strict=True)):
        return None
    near.fill()
    return near.chosen


class _Selection:
    """An option of each class, and what all of them draw and hold. Workloads run nowhere at first."""

    def __init__(self, problem: Problem, losses: Floats) -> None:
        self._problem, self._losses = problem, losses
        self.chosen: list[int] = np.where(problem.jobs, 0, defaults(problem, losses)).tolist()
        parts = (problem.watts, problem.worth, problem.gpus, problem.pool, problem.transformer)
        self._options: list[list[list[int]]] = np.stack(parts, axis=2).tolist()
        watts, transformer = (problem.of(self.chosen, part) for part in (problem.watts, problem.transformer))
        self.load_w = int(watts.sum())
        self.behind = [int(watts[transformer == t].sum()) for t in range(len(problem.rooms))]
        self.free = list(problem.pools)

    def place_jobs(self, prices: Dual) -> None:
        """Gives the GPUs to the workloads that bid most for each, and of equal places the one that it fills best."""
        problem = self._problem
        jobs = np.flatnonzero(problem.jobs)
        value = problem.worth[jobs] - prices.watts(problem.transformer[jobs]) * problem.watts[jobs]
        bids = np.where(problem.gpus[jobs] > 0, value / np.maximum(problem.gpus[jobs], 1), -np.inf).max(axis=1)
        order = jobs[np.argsort(-bids, kind="stable")]
        free = self.free
        for c, lost in zip(order.tolist(), self._losses[order].tolist(), strict=True):
            fits = [
                (lost[i], pool < 0 or free[pool], i)
                for i, (_, _, gpus, pool, _) in enumerate(self._options[c])
                if pool < 0 or gpus <= free[pool]
            ]
            self._take(c, min(fits)[2])

    def shed(self, over_w: int, draws: Ints) -> None:
        """Lowers what is drawn in all by `over_w` or as far as it goes, cheapest first."""
        if over_w <= 0:
            return
        problem, row = self._problem, np.arange(len(draws))
        less = draws[row, self.chosen][:, None] - draws
        stays = (problem.pool < 0) | (problem.pool == problem.pool[row, self.chosen][:, None])
        dearer = self._losses - self._losses[row, self.chosen][:, None]
        moves = np.flatnonzero((less > 0) & stays)
        order = np.argsort((dearer.flat[moves] / less.flat[moves]), kind="stable")
        for c, i in zip(*(part.tolist() for part in np.divmod(moves[order], draws.shape[1])), strict=True):
            saved_w = int(draws[c, self.chosen[c]] - draws[c, i])
            if saved_w > 0:
                self._take(c, i)
                over_w -= saved_w
                if over_w <= 0:
                    return

    def fill(self) -> None:
        """Takes each option that still fits and is worth more, in order of what it loses."""
        problem, row = self._problem, np.arange(len(self._losses))
        more = problem.worth - problem.worth[row, self.chosen][:, None]
        wider = problem.watts - problem.watts[row, self.chosen][:, None]
        moves = np.flatnonzero((more > 0) & (wider <= problem.cap_w - self.load_w))
        order = np.argsort(self._losses.flat[moves], kind="stable")
        for c, i in zip(*(part.tolist() for part in np.divmod(moves[order], more.shape[1])), strict=True):
            if self._fits(c, i):
                self._take(c, i)

    def _take(self, c: int, i: int) -> None:
        self._hold(c, self.chosen[c], -1)
        self._hold(c, i, 1)
        self.chosen[c] = i

    def _hold(self, c: int, i: int, sign: int) -> None:
        watts, _, gpus, pool, transformer = self._options[c][i]
        self.load_w += sign * watts
        if pool >= 0:
            self.free[pool] -= sign * gpus
        if transformer >= 0:
            self.behind[transformer] += sign * watts

    def _fits(self, c: int, i: int) -> bool:
        """Whether there is room for an option instead of the chosen one, and it is worth more."""
        problem = self._problem
        watts, worth, gpus, pool, transformer = self._options[c][i]
        old_watts, old_worth, old_gpus, old_pool, old_transformer = self._options[c][self.chosen[c]]
        after_w = self.load_w + watts - old_watts
        if after_w > problem.cap_w or worth - old_worth <= problem.penalty(after_w) - problem.penalty(self.load_w):
            return False
        if pool >= 0 and gpus - (old_gpus if pool == old_pool else 0) > self.free[pool]:
            return False
        own_w = old_watts if transformer == old_transformer else 0
        return transformer < 0 or self.behind[transformer] + watts - own_w <= problem.rooms[transformer]
