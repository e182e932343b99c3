"""The core of a problem: the classes whose option is in doubt, in the order in which they are opened.

At a dual's prices each class has a default, the option that is worth most when power and GPUs are paid for; another
option loses something against it. No selection that is better than a known one has an option which loses more than the
gap between the known one and the dual's bound (the core of E. Balas and E. Zemel, "An algorithm for large zero-one
knapsack problems", Operations Research 28, 1980, in classes).
"""

from collections.abc import Sequence
from itertools import groupby

import numpy as np

from streams.domain.dispatch.problem import Floats, Ints, Problem
from streams.domain.dispatch.rounding import defaults


class Core:
    """All workloads, and the ASIC groups in doubt within a gap, those of one transformer together.

    `default`: option of every class; `root`: what the defaults of the groups draw, are worth and hold; `classes`: first
    the workloads, as given, then the groups; `blocks`: the positions of groups by transformer, -1 for none.

    `low` and `high`: by how much the groups can lower and raise each row against `root`.

    `order`: the options of each, by what they lose, the default first; `losses`: how much that is. `changes`: what a
    workload's draws, and what a group's changes against the default, shape (rows, classes, options). Rows are watts,
    worth, the GPUs of each pool and the watts behind each transformer.
    """

    WATTS, WORTH, HELD = range(3)

    def __init__(self, problem: Problem, losses: Floats, jobs: Sequence[int], gap: float) -> None:
        self.default = defaults(problem, losses)
        losses = losses.copy()
        at = np.arange(len(losses)), self.default
        losses[at] = -np.inf
        order = losses.argsort(axis=1, kind="stable")
        losses = np.take_along_axis(losses, order, axis=1)
        least = losses[:, 1] if losses.shape[1] > 1 else np.full(len(losses), np.inf)
        asics = np.flatnonzero(~problem.jobs & (least <= gap))
        # Groups that multiply states most come last.
        asics = asics[np.lexsort((-least[asics], problem.transformer[asics, 0]))]
        self.classes: list[int] = [*jobs, *asics.tolist()]
        feeder = [0] * len(jobs) + problem.transformer[asics, 0].tolist()
        rest = range(len(jobs), len(self.classes))
        self.blocks = {t: list(own) for t, own in groupby(rest, key=lambda n: feeder[n])}
        self.order = order[self.classes]
        self.losses: list[list[float]] = losses[self.classes].tolist()
        rows = np.stack([problem.watts, problem.worth, *problem.held()])
        at_default = rows[:, *at]
        at_default[:, problem.jobs] = 0
        self.root: Ints = at_default.sum(axis=1)
        self.changes: Ints = np.take_along_axis(rows[:, self.classes], self.order[None], axis=2)
        self.changes -= at_default[:, self.classes, None]
        usable = np.where(losses[asics] <= gap, self.changes[:, len(jobs) :], 0)
        self.low: Ints = usable.min(axis=2, initial=0).sum(axis=1)
        self.high: Ints = usable.max(axis=2, initial=0).sum(axis=1)
