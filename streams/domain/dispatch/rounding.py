"""A selection that keeps the limits, from the options that a dual's prices prefer: repair, then use what is left."""

import numpy as np
from numpy.typing import NDArray

from streams.domain.dispatch.dual import Dual
from streams.domain.dispatch.problem import Floats, Ints, Problem

# Options that lose least, of which all pairs are tried at once. More of them, or of the exchanges, find hardly more.
MOVES = 32
EXCHANGES = 2


def defaults(problem: Problem, losses: Floats) -> Ints:
    """The option of each class that loses nothing; of several the one that draws least and holds the fewest GPUs."""
    found: Ints = np.lexsort((problem.gpus, problem.watts, losses), axis=1)[:, 0]
    return found


def repaired(problem: Problem, prices: Dual, losses: Floats, chosen: list[int]) -> list[int] | None:
    """Returns an option of each class, near the chosen ones; None where this way ends over a limit.

    `chosen` holds no more GPUs than there are. `losses`: of each option against the default of its class, shape
    (classes, options).
    """
    near = _Selection(problem, losses, chosen)
    for transformer, room_w in enumerate(problem.rooms):
        if near.behind[transformer] > room_w:
            draws = np.where(problem.transformer == transformer, problem.watts, 0)
            near.shed(near.behind[transformer] - room_w, draws)
    near.shed(near.load_w - problem.peak_w(prices.watt), problem.watts)
    if near.load_w > problem.cap_w or any(w > room_w for w, room_w in zip(near.behind, problem.rooms, strict=True)):
        return None
    # Before what is left is filled, which takes the first that fits.
    near.exchange(~problem.jobs)
    near.fill()
    if len(problem.pools) > 1:
        near.exchange(problem.jobs)
    return near.chosen


class _Selection:
    """An option of each class, and what all of them draw and hold."""

    def __init__(self, problem: Problem, losses: Floats, chosen: list[int]) -> None:
        self._problem, self._losses = problem, losses
        self.chosen = list(chosen)
        watts, gpus, pool, transformer = (
            problem.of(chosen, part) for part in (problem.watts, problem.gpus, problem.pool, problem.transformer)
        )
        self.load_w = int(watts.sum())
        self.behind = [int(watts[transformer == t].sum()) for t in range(len(problem.rooms))]
        self.free = [units - int(gpus[pool == p].sum()) for p, units in enumerate(problem.pools)]

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
        problem, at = self._problem, (np.arange(len(self._losses)), np.asarray(self.chosen, np.int64))
        more = problem.worth - problem.worth[at][:, None]
        wider = problem.watts - problem.watts[at][:, None]
        held = np.where(problem.pool == problem.pool[at][:, None], problem.gpus[at][:, None], 0)
        fits = (wider <= problem.cap_w - self.load_w) & (problem.gpus - held <= np.array([*self.free, 0])[problem.pool])
        moves = np.flatnonzero((more > 0) & fits)
        order = np.argsort(self._losses.flat[moves], kind="stable")
        for c, i in zip(*(part.tolist() for part in np.divmod(moves[order], more.shape[1])), strict=True):
            if self._fits(c, i):
                self._take(c, i)

    def exchange(self, which: NDArray[np.bool_]) -> None:
        """Takes other options of two of these classes at once, the best two, as long as that is worth more."""
        problem = self._problem
        losses = np.where(which[:, None], self._losses, np.inf)
        losses[np.arange(len(losses)), np.asarray(self.chosen, np.int64)] = np.inf
        moves = np.argsort(losses, axis=None, kind="stable")[:MOVES]
        c, i = np.divmod(moves[losses.flat[moves] < np.inf], losses.shape[1])
        held, units = problem.held(), [*problem.pools, *problem.rooms]
        for _ in range(EXCHANGES if len(c) else 0):
            at = np.asarray(self.chosen)[c]
            load = _sums(problem.watts[c, i] - problem.watts[c, at]) + self.load_w
            worth = _sums(problem.worth[c, i] - problem.worth[c, at])
            worth -= problem.penalties(load) - problem.penalty(self.load_w)
            fits = (load <= problem.cap_w) & (c[:, None] != c)
            for part, most in zip(held, units, strict=True):
                change = part[c, i] - part[c, at]
                if change.any():
                    fits &= _sums(change) + int(problem.of(self.chosen, part).sum()) <= most
            best = int(np.where(fits, worth, 0).argmax())
            if not fits.flat[best] or worth.flat[best] <= 0:
                return
            for move in divmod(best, len(c)):
                self._take(int(c[move]), int(i[move]))

    def _take(self, c: int, i: int) -> None:
        self._hold(c, self.chosen[c], -1)
        self._hold(c, i, 1)
        self.chosen[c] = i

    def _hold(self, c: int, i: int, sign: int) -> None:
        watts, _, gpus, pool, transformer = self._option(c, i)
        self.load_w += sign * watts
        if pool >= 0:
            self.free[pool] -= sign * gpus
        if transformer >= 0:
            self.behind[transformer] += sign * watts

    def _option(self, c: int, i: int) -> tuple[int, int, int, int, int]:
        p = self._problem
        return (
            int(p.watts[c, i]),
            int(p.worth[c, i]),
            int(p.gpus[c, i]),
            int(p.pool[c, i]),
            int(p.transformer[c, i]),
        )

    def _fits(self, c: int, i: int) -> bool:
        """Whether there is room for an option instead of the chosen one, and it is worth more."""
        problem = self._problem
        watts, worth, gpus, pool, transformer = self._option(c, i)
        old_watts, old_worth, old_gpus, old_pool, old_transformer = self._option(c, self.chosen[c])
        after_w = self.load_w + watts - old_watts
        if after_w > problem.cap_w or worth - old_worth <= problem.penalty(after_w) - problem.penalty(self.load_w):
            return False
        if pool >= 0 and gpus - (old_gpus if pool == old_pool else 0) > self.free[pool]:
            return False
        own_w = old_watts if transformer == old_transformer else 0
        return transformer < 0 or self.behind[transformer] + watts - own_w <= problem.rooms[transformer]


def _sums(change: Ints) -> Ints:
    """Of each two of these changes together."""
    found: Ints = change[:, None] + change
    return found
