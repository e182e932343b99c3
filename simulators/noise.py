"""Randomness as a function: the same (seed, stream, index) gives the same number, whatever was asked before.

So every price, block and arrival is a function of event time alone: a simulation that starts in the middle, is cut into
other slices, or is started again after a crash makes the same events. Philox counts instead of iterating, so any index
can be reached at once (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
"""

from hashlib import blake2b
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

_BLOCK = 1024
# Past 6 time constants a shock has decayed to 0.25 % of itself: too little to see where a path is cut.
_MEMORY = 6


class Noise:
    """One stream of independent random numbers under a seed. Not thread-safe (it caches)."""

    def __init__(self, seed: int, stream: str) -> None:
        digest = blake2b(f"{seed}/{stream}".encode(), digest_size=16).digest()
        self._key = np.frombuffer(digest, dtype=np.uint64).copy()
        self._cached: tuple[int, NDArray[np.float64]] | None = None

    def generator(self, index: int) -> np.random.Generator:
        """Returns a generator of its own for the index (zero or more)."""
        return np.random.Generator(np.random.Philox(key=self._key, counter=[0, 0, 0, index]))

    def normal(self, index: int) -> float:
        """Returns the standard normal number of the index."""
        block, offset = divmod(index, _BLOCK)
        if self._cached is None or self._cached[0] != block:
            self._cached = (block, self._block(block))
        return float(self._cached[1][offset])

    def normals(self, first: int, count: int) -> NDArray[np.float64]:
        """Returns the standard normal numbers of `count` indexes from `first`, shape (count,)."""
        blocks = range(first // _BLOCK, (first + count - 1) // _BLOCK + 1)
        joined = np.concatenate([self._block(block) for block in blocks])
        offset = first - blocks.start * _BLOCK
        return joined[offset : offset + count]

    def _block(self, block: int) -> NDArray[np.float64]:
        # Offset from the counters that `generator` uses, so that the two never share numbers.
        bits = np.random.Philox(key=self._key, counter=[0, 0, 1, block])
        return np.random.Generator(bits).standard_normal(_BLOCK)


class MeanReverting:
    """A mean-reverting path around zero, x[k] = a x[k-1] + sd sqrt(1 - a^2) e[k] with a = exp(-1 / memory).

    Its stationary standard deviation is `sd`, its time constant `memory` steps (the exact discrete form of the
    Ornstein-Uhlenbeck process). Not thread-safe.
    """

    def __init__(self, noise: Noise, memory: float, sd: float) -> None:
        self._noise = noise
        self._decay = float(np.exp(-1 / memory))
        self._shock_sd = sd * float(np.sqrt(1 - self._decay**2))
        self._length = max(int(_MEMORY * memory), _BLOCK)
        self._cached: tuple[int, NDArray[np.float64]] | None = None

    def at(self, step: int) -> float:
        """Returns the value at a step (zero or more)."""
        stretch, offset = divmod(step, self._length)
        return float(self._stretch(stretch)[offset])

    def values(self, first: int, count: int) -> NDArray[np.float64]:
        """Returns the values at `count` steps from `first`, shape (count,)."""
        stretches = range(first // self._length, (first + count - 1) // self._length + 1)
        parts = [self._stretch(stretch) for stretch in stretches]
        joined = np.concatenate(parts) if len(parts) > 1 else parts[0]
        offset = first - stretches.start * self._length
        return joined[offset : offset + count]

    def _stretch(self, stretch: int) -> NDArray[np.float64]:
        if self._cached is None or self._cached[0] != stretch:
            self._cached = (stretch, self._path(stretch))
        return self._cached[1]

    def _path(self, stretch: int) -> NDArray[np.float64]:
        # Warmed up over the stretch before, so that a stretch goes on where the last one ended.
        first = max(0, (stretch - 1) * self._length)
        count = (stretch + 1) * self._length - first
        shocks = (self._shock_sd * self._noise.normals(first, count)).tolist()
        path = accumulate(shocks, lambda value, shock: self._decay * value + shock)
        return np.fromiter(path, np.float64, count)[-self._length :]
