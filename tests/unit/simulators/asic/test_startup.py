"""How a miner comes up: nothing, then power, then hashrate."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.asic import startup

AGES = np.arange(-60, 900, 3)


@given(st.floats(*startup.SLOWNESS))
def test_power_comes_before_the_hashrate_and_neither_falls(slowness: float) -> None:
    power, hashrate = startup.shares(AGES, np.full(len(AGES), slowness))
    assert (np.diff(power) >= 0).all()
    assert (np.diff(hashrate) >= 0).all()
    assert (power >= hashrate).all()
    assert (power[AGES <= 30] == 0).all()
    assert (hashrate[AGES >= startup.LONGEST_S] == 1).all()


@pytest.mark.parametrize(("slowness", "minutes"), [(0.6, 3), (1.0, 5), (1.6, 8)])
def test_the_hashrate_is_full_after_three_to_eight_minutes(slowness: float, minutes: int) -> None:
    _, hashrate = startup.shares(AGES, np.full(len(AGES), slowness))
    assert AGES[hashrate == 1].min() == pytest.approx(minutes * 60, abs=3)
