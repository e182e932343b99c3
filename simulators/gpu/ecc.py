"""Single-bit errors of GPU memory that ECC corrects: often, and most of them in few GPUs. Of seed and time alone.

Assumed: one a week in the median GPU, spread by a factor of ten each way in one of a hundred. Google's field study of
DDR finds such errors concentrated in a fraction of the modules too (Schroeder, Pinheiro and Weber, "DRAM errors in the
wild", SIGMETRICS 2009).
"""

import numpy as np
from numpy.typing import NDArray

from simulators.noise import Noise
from simulators.timeline import DAY_MS

_PER_DAY = 1 / 7
_SPREAD = 1.0


class CorrectedErrors:
    """The corrected errors of so many GPUs."""

    def __init__(self, size: int, seed: int) -> None:
        rng = Noise(seed, "gpu/ecc").generator(0)
        self._per_day = _PER_DAY * np.exp(rng.normal(0.0, _SPREAD, size))
        self._first = rng.random(size)

    def total(self, rows: NDArray[np.int64], elapsed_ms: int) -> NDArray[np.int64]:
        """Returns how many each GPU of some rows has had in a time; it only grows with it."""
        return np.floor(self._first[rows] + self._per_day[rows] * (elapsed_ms / DAY_MS)).astype(np.int64)
