"""Boards: power, clock and temperatures within their limits, and the reasons that hold a clock down."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.gpu.board import (
    GPU_MAX_OPERATING_C,
    GPU_SLOWDOWN_C,
    MEMORY_MAX_OPERATING_C,
    SM_CLOCK_MAX_MHZ,
    Boards,
    State,
    Throttle,
)

SIZE = 3000
EVERY = slice(0, SIZE)


def boards(size: int = SIZE) -> Boards:
    return Boards(np.full(size, 70.0), np.full(size, 700.0), seed=1)


def run(found: Boards, demand: float, air_c: float = 22.0, steps: int = 40) -> State:
    """Runs all boards for ten minutes."""
    size = len(found.temp_c)
    state = None
    for _ in range(steps):
        state = found.step(slice(0, size), 15.0, np.full(size, demand), np.ones(size, dtype=bool), np.full(size, air_c))
    assert state is not None
    return state


@given(st.floats(0, 3), st.floats(-10, 45), st.booleans(), st.integers(1, 30))
def test_power_and_clock_stay_within_their_limits(demand: float, air_c: float, is_held: bool, steps: int) -> None:
    found = boards(200)
    for _ in range(steps):
        state = found.step(
            slice(0, 200), 15.0, np.full(200, demand * is_held), np.full(200, is_held), np.full(200, air_c)
        )
        assert np.all((state.power_w >= 70.0) & (state.power_w <= 700.0))
        assert np.all((state.sm_clock_mhz >= 345) & (state.sm_clock_mhz <= SM_CLOCK_MAX_MHZ))
        assert np.all((state.throttle_reasons != 0) == (state.sm_clock_mhz < SM_CLOCK_MAX_MHZ))
    assert np.all(found.temp_c < 92.0)  # where the board would shut down


def test_power_goes_with_demand_to_the_cap_and_then_the_clock_gives_way() -> None:
    half, full, more = (run(boards(1), demand) for demand in (0.5, 1.0, 1.3))
    assert half.power_w.tolist() == [pytest.approx(385.0)]  # 70 + 630 / 2
    assert (full.power_w.tolist(), full.sm_clock_mhz.tolist()) == ([700.0], [1980])
    assert full.throttle_reasons.tolist() == [0]
    assert more.power_w.tolist() == [700.0]
    # 1980 MHz / 1.3^(1 / 2.6) = 1789.9: the power of a demand of 1.3 goes down to 1 with the clock.
    assert more.sm_clock_mhz.tolist() == [1789]
    assert more.throttle_reasons.tolist() == [Throttle.SW_POWER_CAP]


def test_a_gpu_without_a_workload_idles() -> None:
    found = boards(1)
    state = found.step(slice(0, 1), 15.0, np.zeros(1), np.zeros(1, dtype=bool), np.full(1, 22.0))
    assert (state.power_w.tolist(), state.sm_clock_mhz.tolist()) == ([70.0], [345])
    assert state.throttle_reasons.tolist() == [Throttle.GPU_IDLE]


def test_most_boards_stay_cool_and_the_few_with_a_bad_interface_throttle() -> None:
    found = boards()
    state = run(found, 1.0)
    is_slow = (state.throttle_reasons & (Throttle.SW_THERMAL_SLOWDOWN | Throttle.HW_THERMAL_SLOWDOWN)) != 0
    # 0.2 % each of 3,000 by the GPU and by its memory: 12 to expect.
    assert 3 <= np.count_nonzero(is_slow) <= 25
    assert np.all(state.power_w[is_slow] < 700.0)
    assert np.all(state.sm_clock_mhz[is_slow] < SM_CLOCK_MAX_MHZ)
    hot = np.maximum(found.temp_c - GPU_MAX_OPERATING_C, found.memory_temp_c - MEMORY_MAX_OPERATING_C)
    assert np.all(hot[is_slow] < 2.0)
    assert np.all(hot[~is_slow] <= 0.0)
    # 22 C of air, and 38 C by the measured boards; memory 2.4 C and 33 C.
    assert np.median(found.temp_c) == pytest.approx(60.0, abs=0.5)
    assert np.median(found.memory_temp_c) == pytest.approx(57.4, abs=0.5)


def test_a_gpu_over_its_slowdown_temperature_halves_its_clock() -> None:
    found = boards(1)
    found.temp_c[:] = GPU_SLOWDOWN_C + 1
    state = found.step(slice(0, 1), 15.0, np.ones(1), np.ones(1, dtype=bool), np.full(1, 22.0))
    assert state.sm_clock_mhz.tolist() == [SM_CLOCK_MAX_MHZ // 2]
    assert state.throttle_reasons[0] & (Throttle.HW_SLOWDOWN | Throttle.HW_THERMAL_SLOWDOWN) == 0x48


def test_settled_boards_are_as_warm_as_after_a_while() -> None:
    stepped, settled = boards(), boards()
    run(stepped, 0.8)
    settled.settle(np.full(SIZE, 0.8), np.ones(SIZE, dtype=bool), np.full(SIZE, 22.0))
    assert np.allclose(stepped.temp_c, settled.temp_c, atol=0.5)
    assert np.allclose(stepped.memory_temp_c, settled.memory_temp_c, atol=0.5)
