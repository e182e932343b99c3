"""Heat of a miner: where it settles, what the fans do, and what the firmware leaves it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.asic import thermal

NAMEPLATE_W = 3000.0


def settled(inlet_c: float, load: float = 1.0, fans: float = 1.0, max_inlet_c: float = 45.0) -> float:
    """Hottest board after half an hour at a share of the nameplate's power."""
    board = np.array([inlet_c])
    rise = np.array([thermal.full_rise_k(max_inlet_c) / NAMEPLATE_W])
    for _ in range(120):
        board = thermal.warmed(board, np.array([inlet_c]), np.array([load * NAMEPLATE_W]), rise, np.array([fans]))
    return float(board[0])


@pytest.mark.parametrize("max_inlet_c", [35.0, 45.0])
def test_at_the_warmest_air_allowed_a_device_is_just_not_derated(max_inlet_c: float) -> None:
    assert settled(max_inlet_c, max_inlet_c=max_inlet_c) == pytest.approx(thermal.DERATING_FROM_C, abs=0.1)


def test_a_miner_is_as_warm_and_its_fans_as_fast_as_recorded() -> None:
    # A recorded S19 Pro: 73 degrees, fans at 5,490 rpm; the air is not recorded.
    board = settled(30.0)
    assert board == pytest.approx(73.0, abs=3.0)
    assert thermal.fan_share(np.array([board]))[0] * thermal.FAN_MAX_RPM == pytest.approx(5490, rel=0.08)


def test_a_fan_less_is_warmer_and_two_are_warmer_still() -> None:
    whole, three, two = (settled(25.0, fans=share) for share in (1.0, 0.75, 0.5))
    assert whole + 2 < three < two - 5


@given(st.floats(-30, 60), st.floats(0, 1.3), st.sampled_from([0.5, 0.75, 1.0]), st.sampled_from([35.0, 45.0]))
def test_heat_settles_over_the_air_and_more_power_is_more_of_it(
    inlet_c: float, load: float, fans: float, max_inlet_c: float
) -> None:
    board = settled(inlet_c, load, fans, max_inlet_c)
    assert board >= inlet_c - 1e-6
    assert settled(inlet_c, load + 0.1, fans, max_inlet_c) > board - 1e-3


def test_fans_and_derating_keep_to_their_limits() -> None:
    board = np.array([-40.0, 40.0, 75.0, 85.0, 88.5, 92.0, 200.0])
    assert thermal.fan_share(board).tolist() == [0.2, 0.2, 1.0, 1.0, 1.0, 1.0, 1.0]
    assert thermal.derating(board).tolist() == pytest.approx([1.0, 1.0, 1.0, 1.0, 0.85, 0.7, 0.7])
