"""What pools reject of the work of a fleet."""

import numpy as np
import pytest

from simulators.asic.pool import rejected_ratios
from simulators.noise import Noise


def test_pools_reject_some_tenths_of_a_percent_and_percents_of_a_bad_device() -> None:
    found = rejected_ratios(Noise(1, "test").generator(0), 100_000)
    # A lognormal around 0.2 %, sigma 0.45: 1.645 sigma to either side are a factor of 2.1.
    assert np.quantile(found, [0.05, 0.5, 0.94]) == pytest.approx([0.00095, 0.002, 0.0042], rel=0.05)
    assert np.mean(found > 0.0199) == pytest.approx(0.01, rel=0.1)
    assert found.max() <= 0.06
