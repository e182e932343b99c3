"""The states of a dynamic program: selections of some classes, of which those that can't be the best are dropped."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from streams.domain.dispatch.core import Core
from streams.domain.dispatch.problem import Ints


@dataclass(frozen=True, slots=True, eq=False)
class States:
    """A column for each state, rows as those of a core, and where it comes from.

    Two `parts`: `origin` has the position in each. One: each option of the class at `position`, by its rank, was taken
    by each state of the part; `origin` has the positions among these.
    """

    rows: Ints
    parts: tuple["States", ...] = ()
    origin: tuple[Ints, ...] = ()
    position: int = -1

    def __len__(self) -> int:
        return int(self.rows.shape[1])

    def only(self, kept: Ints) -> "States":
        """Returns these of the states."""
        origin = tuple(index[kept] for index in self.origin)
        return States(self.rows[:, kept], self.parts, origin, self.position)

    def opened(self, core: Core, position: int, usable: int) -> "States":
        """Returns the states with each of the first options of the class at a position."""
        rows = (core.changes[:, position, :usable, None] + self.rows[:, None, :]).reshape(len(self.rows), -1)
        return States(rows, (self,), (np.arange(rows.shape[1]),), position)

    def joined(self, other: "States", i: Ints, j: Ints) -> "States":
        """Returns the states that are made of one of these and one of others each."""
        return States(self.rows[:, i] + other.rows[:, j], (self, other), (i, j))

    def trace(self, core: Core, at: int, chosen: list[int]) -> None:
        """Writes the options that a state is made of, for each class of the problem."""
        states = self
        while len(states.parts) == 1:
            (before,) = states.parts
            rank, at = divmod(int(states.origin[0][at]), len(before))
            chosen[core.classes[states.position]] = int(core.order[states.position, rank])
            states = before
        for part, origin in zip(states.parts, states.origin, strict=True):
            part.trace(core, int(origin[at]), chosen)


def undominated(rows: Ints, keys: Sequence[Ints]) -> Ints:
    """Of the states with the same keys, those that are worth more than all that draw no more."""
    watts, worth = rows[Core.WATTS], rows[Core.WORTH]
    order = np.lexsort((-worth, watts, *keys))
    worth = worth[order]
    if keys and len(order):
        # Lifts each combination of keys above the one before it, so that one running maximum serves all of them.
        is_next = np.zeros(len(order), np.bool_)
        for key in keys:
            is_next[1:] |= key[order[1:]] != key[order[:-1]]
        worth = worth + is_next.cumsum() * (int(worth.max()) - int(worth.min()) + 1)
    is_kept = np.ones(len(order), np.bool_)
    np.greater(worth[1:], np.maximum.accumulate(worth)[:-1], out=is_kept[1:])
    return order[is_kept]
