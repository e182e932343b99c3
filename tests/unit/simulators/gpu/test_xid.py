"""XID errors of the hardware: as often as published, for as long as assumed, wherever a simulation starts."""

import math
from collections import Counter

import pytest

from simulators.fleet import SLICE_MS
from simulators.gpu.xid import HARDWARE, Breakdowns, Reach
from simulators.timeline import DAY_MS, HOUR_MS
from tests.simulators_world import START_MS

GPUS = 100_000
WEEKS = 12
GPU_HOURS = GPUS * WEEKS * 7 * 24


def test_each_error_comes_as_often_as_its_rate_says() -> None:
    found = Counter(b.error.xid for b in Breakdowns(GPUS, 1).between(START_MS, START_MS + WEEKS * 7 * DAY_MS))
    for error in HARDWARE:
        expected = error.per_gpu_hour * GPU_HOURS
        assert found[error.xid] == pytest.approx(expected, abs=4 * math.sqrt(expected)), error


def test_interruptions_are_those_of_the_llama_3_report() -> None:
    # Faulty GPU 148, HBM3 72, SRAM 19, GPU system processor 17 in 54 days of 16,384 GPUs.
    fatal = sum(error.per_gpu_hour for error in HARDWARE if error.reach is not Reach.NOTHING)
    assert fatal * 54 * 24 * 16_384 == pytest.approx(148 + 72 + 19 + 17)


def test_a_simulation_that_starts_in_the_middle_finds_the_same_in_effect() -> None:
    end_ms = START_MS + 30 * DAY_MS
    whole = list(Breakdowns(GPUS, 5).between(START_MS, end_ms))
    for at_ms in range(START_MS + 3 * DAY_MS, end_ms, 5 * DAY_MS + 7 * SLICE_MS):
        assert list(Breakdowns(GPUS, 5).in_effect(at_ms)) == [b for b in whole if b.at_ms < at_ms < b.until_ms]
    cut = Breakdowns(GPUS, 5)
    days = range(START_MS, end_ms, DAY_MS)
    assert [found for at_ms in days for found in cut.between(at_ms, at_ms + DAY_MS)] == whole


def test_repairs_take_hours_and_change_with_slices() -> None:
    found = list(Breakdowns(GPUS, 1).between(START_MS, START_MS + 60 * DAY_MS))
    hours = sorted((b.until_ms - b.at_ms) / HOUR_MS for b in found if b.error.reach is Reach.ISLAND)
    # Lognormal with a median of 6 h: half of about a hundred lie within 4 to 9 h.
    assert 4.5 < hours[len(hours) // 2] < 8
    assert 0.25 <= hours[0] <= hours[-1] <= 48
    assert {(b.at_ms % SLICE_MS, b.until_ms % SLICE_MS) for b in found} == {(0, 0)}
    assert all(0 <= b.row < GPUS for b in found)
