"""Corrected memory errors."""

from itertools import pairwise

import numpy as np

from simulators.gpu.ecc import CorrectedErrors
from simulators.timeline import DAY_MS

EVERY = np.arange(10_000)


def test_corrected_errors_only_grow_and_most_are_in_few_gpus() -> None:
    found = CorrectedErrors(10_000, seed=1)
    totals = [found.total(EVERY, day * DAY_MS) for day in range(0, 60, 7)]
    assert totals[0].tolist() == [0] * 10_000
    assert all(np.all(later >= before) for before, later in pairwise(totals))
    year = np.sort(found.total(EVERY, 365 * DAY_MS))
    # One a week in the median; a lognormal of sigma 1 has 16 % of its weight below its median.
    assert 50 <= np.median(year) <= 55
    assert 0.12 < year[:5000].sum() / year.sum() < 0.20
