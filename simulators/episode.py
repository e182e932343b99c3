"""Rare episodes of many members (a device that is down, a stalled firmware) as a function of event time.

Time is cut into blocks. In each, a member starts at most one episode, at a time and of a length that are drawn, both
uniform; an episode is no longer than a block, so that those of a block and of the one before are all that can hold.
Whoever asks for a time finds the same episodes, whatever was asked before.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from simulators.noise import Noise


@dataclass(frozen=True, slots=True)
class Law:
    """A member starts one every `mean_every_ms` on average, of a length within `length_ms`. Raises ValueError."""

    mean_every_ms: int
    length_ms: tuple[int, int]
    block_ms: int

    def __post_init__(self) -> None:
        """Checks that a block holds the longest episode, and one start at most."""
        if not self.length_ms[0] <= self.length_ms[1] <= self.block_ms <= self.mean_every_ms:
            raise ValueError(f"expected lengths within a block, and a block within the mean time, got {self}")


@dataclass(frozen=True, slots=True)
class Spells:
    """Episodes in order of `member`; `draw` is uniform in [0, 1), the episode's own. Each of shape (episodes,)."""

    member: NDArray[np.int64]
    from_ms: NDArray[np.int64]
    until_ms: NDArray[np.int64]
    draw: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.member)

    def where(self, chosen: NDArray[np.bool_] | NDArray[np.int64] | slice) -> "Spells":
        """Returns those that the index chooses."""
        return Spells(self.member[chosen], self.from_ms[chosen], self.until_ms[chosen], self.draw[chosen])

    def without(self, others: "Spells") -> "Spells":
        """Returns those of members that have none among the others."""
        return self.where(~np.isin(self.member, others.member))

    def within(self, low: int, high: int) -> "Spells":
        """Returns those of the members low to high - 1."""
        first, end = np.searchsorted(self.member, [low, high])
        return self.where(slice(first, end))


NONE = Spells(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
"""No episode."""


class Episodes:
    """The episodes of `size` members under a law. Not thread-safe (it caches)."""

    def __init__(self, noise: Noise, size: int, law: Law) -> None:
        self._noise = noise
        self._size = size
        self._law = law
        self._block = -1
        self._known = NONE
        self._valid_ms = (0, 0)
        self._holding = self._known

    def at(self, at_ms: int) -> Spells:
        """Returns the episodes that hold at a time; the same object as before where they are the same."""
        if not self._valid_ms[0] <= at_ms < self._valid_ms[1]:
            known = self._of_block(at_ms // self._law.block_ms)
            self._holding = known.where((known.from_ms <= at_ms) & (at_ms < known.until_ms))
            edges = np.concatenate([known.from_ms, known.until_ms])
            start_ms = self._block * self._law.block_ms
            self._valid_ms = (
                int(np.max(edges, initial=start_ms, where=edges <= at_ms)),
                int(np.min(edges, initial=start_ms + self._law.block_ms, where=edges > at_ms)),
            )
        return self._holding

    def over(self, at_ms: int) -> Spells:
        """Returns the episodes of the block and of the one before that are over at a time."""
        known = self._of_block(at_ms // self._law.block_ms)
        return known.where(known.until_ms <= at_ms)

    def _of_block(self, block: int) -> Spells:
        if block != self._block:
            self._block = block
            parts = [self._started_in(number) for number in (block - 1, block) if number >= 0]
            joined = Spells(*(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Spells)))
            # Of one member's, in order of time.
            self._known = joined.where(np.argsort(joined.member, kind="stable"))
        return self._known

    def _started_in(self, block: int) -> Spells:
        law, generator = self._law, self._noise.generator(block)
        member = np.flatnonzero(generator.random(self._size) < law.block_ms / law.mean_every_ms)
        begin, length, draw = generator.random((3, len(member)))
        shortest, longest = law.length_ms
        from_ms = (block * law.block_ms + begin * law.block_ms).astype(np.int64)
        until_ms = from_ms + (shortest + length * (longest - shortest)).astype(np.int64)
        return Spells(member, from_ms, until_ms, draw)
