"""The simulated H100 beside those that were measured: the project has their tables, so no recorded data is needed."""

import numpy as np
import polars as pl

from hcp.calibration.figure import Floats, median
from hcp.calibration.section import Section
from simulators.fleet import PERIOD_MS
from simulators.gpu.board import Boards
from simulators.gpu.course import TRAINING_INTENSITY
from simulators.gpu.measurement import table
from simulators.gpu.measurement.schedule import COOLING, STARTED, TRAINING_PHASES, WAITING, WARMING
from simulators.site import GPU_IDLE_W, GPU_MAX_W

_BOARDS = 1_000
_EVERY = slice(0, _BOARDS)
_AIR_C = np.full(_BOARDS, 22.0)
_PERIOD_S = PERIOD_MS / 1000
# The row of a course that is the mean of two seconds around the end of a period.
_INTO_S = _PERIOD_S - table.COURSE_S / 2


def sections(seed: int) -> list[Section]:
    """Returns power without work, the clock under the limit, and how far and how fast boards warm up."""
    phases, courses = table.read(table.PHASES), table.read(table.COURSES)
    boards = Boards(np.full(_BOARDS, GPU_IDLE_W), np.full(_BOARDS, GPU_MAX_W), seed)
    free, held = np.zeros(_BOARDS, dtype=np.bool_), np.ones(_BOARDS, dtype=np.bool_)
    nothing, training = np.zeros(_BOARDS), np.full(_BOARDS, TRAINING_INTENSITY)
    idle = boards.step(_EVERY, _PERIOD_S, nothing, free, _AIR_C)
    boards.settle(nothing, held, _AIR_C)
    waiting = boards.step(_EVERY, _PERIOD_S, nothing, held, _AIR_C)
    cool = boards.temp_c.copy(), boards.memory_temp_c.copy()
    trains = boards.step(_EVERY, _PERIOD_S, training, held, _AIR_C)
    soon = boards.temp_c - cool[0], boards.memory_temp_c - cool[1]
    boards.settle(training, held, _AIR_C)
    risen = boards.temp_c - cool[0], boards.memory_temp_c - cool[1]
    found = [
        _power("H100 without a context", idle.power_w, phases, STARTED),
        _power("H100 held, waits", waiting.power_w, phases, WAITING),
        Section(
            "H100 trains at 700 W",
            "MHz",
            (median(0.02, 0),),
            trains.sm_clock_mhz.astype(np.float64),
            _phase(phases, TRAINING_PHASES[0], "sm_clock_mhz"),
        ),
    ]
    for part, column, after, in_a_period in zip(
        ("H100", "its memory"), ("temp_c", "memory_temp_c"), risen, soon, strict=True
    ):
        before = _last(courses, COOLING, column)
        whole = _last(courses, WARMING, column) - before
        early = _phase(courses.filter(pl.col("into_s") == _INTO_S), WARMING, column) - before
        found.append(Section(f"{part}, warmed by a full load", "C", (median(0.1, 0),), after, whole))
        found.append(
            Section(
                f"{part}, warmed in {_PERIOD_S:.0f} s",
                "% of that",
                (median(0, 7.0),),
                100 * in_a_period / after,
                100 * early / whole,
            )
        )
    return found


def _power(name: str, simulated: Floats, phases: pl.DataFrame, phase: str) -> Section:
    return Section(name, "W", (median(0.03, 0),), simulated, _phase(phases, phase, "power_w"))


def _phase(rows: pl.DataFrame, phase: str, column: str) -> Floats:
    return rows.filter(pl.col("phase") == phase)[column].to_numpy()


def _last(courses: pl.DataFrame, phase: str, column: str) -> Floats:
    return courses.filter(pl.col("phase") == phase).group_by("board", maintain_order=True).last()[column].to_numpy()
