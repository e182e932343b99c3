"""The simulated board beside the measured ones, and how their table is made."""

import subprocess
import sys
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest

from simulators.gpu.board import CLOCK_EXPONENT, CONTEXT_SHARE, SM_CLOCK_IDLE_MHZ, SM_CLOCK_MAX_MHZ, Boards
from simulators.gpu.course import TRAINING_INTENSITY
from simulators.gpu.measurement import table
from simulators.gpu.measurement.schedule import COOLING, DUTIES, SCHEDULE, STARTED, WAITING, WARMING, scaled
from simulators.site import GPU_IDLE_W, GPU_MAX_W

MEASURED, COURSES = table.read(table.PHASES), table.read(table.COURSES)
BOARDS = sorted(set(MEASURED["board"]))


def of(board: int, phase: str, column: str) -> float:
    (found,) = MEASURED.filter(pl.col("board") == board, pl.col("phase") == phase)[column].to_list()
    return float(found)


@pytest.mark.parametrize("board", BOARDS)
def test_idle_waiting_and_capped_power_are_those_measured(board: int) -> None:
    waiting_w = GPU_IDLE_W + CONTEXT_SHARE * (GPU_MAX_W - GPU_IDLE_W)
    assert of(board, STARTED, "power_w") == pytest.approx(GPU_IDLE_W, abs=3)
    assert of(board, STARTED, "sm_clock_mhz") == SM_CLOCK_IDLE_MHZ
    assert of(board, WAITING, "power_w") == pytest.approx(waiting_w, abs=5)
    assert of(board, WAITING, "sm_clock_mhz") == SM_CLOCK_MAX_MHZ
    assert of(board, WARMING, "power_w") == pytest.approx(GPU_MAX_W, abs=5)
    assert of(board, WARMING, "capped_share") == 1.0


@pytest.mark.parametrize("board", BOARDS)
def test_power_in_bursts_goes_with_the_clock_as_that_of_the_simulated_board(board: int) -> None:
    # The rate of products is as the clock in their bursts: what they would take at full clock has to come out alike.
    wanted_w = []
    for phase in (WARMING, *(f"product {duty:.0%}" for duty in DUTIES)):
        rate = of(board, phase, "steps_per_s") / of(board, WARMING, "steps_per_s")
        clock = rate * of(board, WARMING, "sm_clock_mhz")
        over_w = (of(board, phase, "power_w") - of(board, COOLING, "power_w")) / of(board, phase, "duty")
        wanted_w.append(over_w * (SM_CLOCK_MAX_MHZ / clock) ** CLOCK_EXPONENT)
    assert np.array(wanted_w) == pytest.approx(np.full(len(wanted_w), 1500.0), rel=0.1)


@pytest.mark.parametrize("board", BOARDS)
def test_training_at_the_limit_leaves_the_clock_of_the_measured_board(board: int) -> None:
    found = Boards(np.array([GPU_IDLE_W]), np.array([GPU_MAX_W]), seed=1)
    state = found.step(slice(0, 1), 15.0, np.array([TRAINING_INTENSITY]), np.ones(1, dtype=bool), np.array([25.0]))
    assert state.sm_clock_mhz[0] == pytest.approx(of(board, "training", "sm_clock_mhz"), rel=0.03)


@pytest.mark.parametrize("board", sorted(set(COURSES["board"])))
@pytest.mark.parametrize(("column", "tolerance"), [("temp_c", 0.07), ("memory_temp_c", 0.1)])
def test_boards_warm_up_as_the_measured_ones(board: int, column: str, tolerance: float) -> None:
    course = COURSES.filter(pl.col("board") == board)
    before = course.filter(pl.col("phase") == COOLING)[column][-1]
    warming = course.filter(pl.col("phase") == WARMING)
    measured = {row["into_s"]: (row[column] - before) / (warming[column][-1] - before) for row in warming.to_dicts()}
    found = Boards(np.array([GPU_IDLE_W]), np.array([GPU_MAX_W]), seed=1)
    held, air = np.ones(1, dtype=bool), np.array([25.0])
    found.settle(np.zeros(1), held, air)
    start = float(getattr(found, column)[0])
    warmed = []
    for _ in range(40):
        found.step(slice(0, 1), 15.0, np.array([TRAINING_INTENSITY]), held, air)
        warmed.append(float(getattr(found, column)[0]))
    # Rows are means of two seconds: those of 14 s and 30 s are about 15 s and 31 s after the step.
    for steps, into_s in ((1, 14.0), (2, 30.0), (3, 46.0)):
        assert (warmed[steps - 1] - start) / (warmed[-1] - start) == pytest.approx(measured[into_s], abs=tolerance)


@pytest.mark.parametrize("board", sorted(set(COURSES["board"])))
def test_a_full_load_makes_boards_as_warm_as_the_measured_ones(board: int) -> None:
    course = COURSES.filter(pl.col("board") == board)
    hot, cool = (course.filter(pl.col("phase") == phase)[-1].to_dicts()[0] for phase in (WARMING, COOLING))
    found = Boards(np.full(1000, GPU_IDLE_W), np.full(1000, GPU_MAX_W), seed=1)
    held, air = np.ones(1000, dtype=bool), np.full(1000, 25.0)
    found.settle(np.zeros(1000), held, air)
    waiting = found.temp_c.copy(), found.memory_temp_c.copy()
    found.settle(np.full(1000, TRAINING_INTENSITY), held, air)
    for name, before, after in (
        ("temp_c", waiting[0], found.temp_c),
        ("memory_temp_c", waiting[1], found.memory_temp_c),
    ):
        low, high = np.percentile(after - before, [5, 95])
        assert low < hot[name] - cool[name] < high


def test_a_table_has_the_means_of_what_is_steady() -> None:
    at_s = np.arange(0, 40, 0.5)
    samples = pl.DataFrame(
        {
            "at_s": at_s,
            "phase": np.where(at_s < 20, "product", "wait"),
            "steps": np.where(at_s < 20, 10 * at_s, 0).astype(int),
            "busy_s": np.where(at_s < 20, at_s / 2, 0.0),
            "energy_j": np.where(at_s < 20, 700 * at_s, 14_000 + 100 * (at_s - 20)),
            "power_w": np.where(at_s < 4, 300.0, 700.0),
            "sm_clock_mhz": np.where(at_s < 4, 1980, 1400),
            "temp_c": 50,
            "memory_temp_c": 55,
            "utilization_percent": 100,
            "memory_utilization_percent": 30,
            "throttle_reasons": np.where(at_s < 20, 4, 0),
        }
    )
    busy, waits = table.phases(samples).to_dicts()
    assert (busy["phase"], busy["power_w"], busy["sm_clock_mhz"]) == ("product", 700.0, 1400.0)
    assert (busy["duty"], busy["steps_per_s"], busy["capped_share"]) == (0.5, 20.0, 1.0)
    assert (waits["power_w"], waits["duty"], waits["steps_per_s"]) == (100.0, 0.0, 0.0)


def test_phases_are_scaled_alike() -> None:
    half = scaled(sum(phase.seconds for phase in SCHEDULE) / 2)
    assert [phase.seconds for phase in half] == [pytest.approx(phase.seconds / 2) for phase in SCHEDULE]


@pytest.mark.skipif(find_spec("torch") is not None, reason="PyTorch is here")
def test_what_is_missing_is_named_with_its_mend(tmp_path: object) -> None:
    found = subprocess.run(
        [sys.executable, "-m", "simulators.gpu.measurement", "--output", f"{tmp_path}/h100.csv"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 1
    assert "torch is missing: pip install torch" in found.stderr
