"""The board of an H100 SXM: power by utilisation and clock, temperatures, and what holds its clock down.

Thresholds and clocks are what nvidia-smi says of a Hopper SXM board with 700 W: idle 345 MHz, at most 1,980 MHz, up to
87 C in operation, slowdown at 89 C, memory up to 95 C. The rest was measured (simulators/gpu/measurement):
dynamic power goes with f V^2, and in bursts of matrix products it went with the 2.6th power of the clock; one that is
held but waits keeps its full clock. Die and heat sink warm up with about 2 and 17 s: for readings 15 s apart one
constant of 10 s is like them. Copies without a pause made memory hotter, 69 and 82 C at 520 W, than is said here. Few
boards have a bad thermal interface: Meta counts 6 of 419 interruptions to it (arXiv 2407.21783, table 5); how many get
hot, and how hot, is assumed.
"""

from dataclasses import dataclass
from enum import IntFlag

import numpy as np
from numpy.typing import NDArray

from simulators.noise import Noise

SM_CLOCK_MAX_MHZ = 1980
SM_CLOCK_IDLE_MHZ = 345
GPU_MAX_OPERATING_C = 87.0
GPU_SLOWDOWN_C = 89.0
MEMORY_MAX_OPERATING_C = 95.0

CONTEXT_SHARE = 0.08
"""Power over idle of a GPU that is held but waits, of its range: 116 to 123 W where those without a context take 70."""

CLOCK_EXPONENT = 2.6
"""Of the clock, with which power over idle goes."""

_GPU_THERMAL_S = 10.0
_MEMORY_THERMAL_S = 15.0
# Over the air at 700 W: 35.5 and 40.1 C, and for memory 29 and 37, on the two boards that became steady.
_GPU_RISE_C = 38.0
_GPU_RISE_SD = 0.06
_MEMORY_OFFSET_C = 2.4
_MEMORY_RISE_C = 33.0
_MEMORY_RISE_SD = 0.12
_HELD_C = 0.1
# So near to its limit a board is held there by its clock.
_BAD_SHARE = 0.002
_BAD_GPU = 1.9
_BAD_MEMORY = 2.4


class Throttle(IntFlag):
    """Bits of NVML's mask of reasons that hold a clock down (nvml.h, nvmlClocksEventReasons)."""

    GPU_IDLE = 0x1
    SW_POWER_CAP = 0x4
    HW_SLOWDOWN = 0x8
    SW_THERMAL_SLOWDOWN = 0x20
    HW_THERMAL_SLOWDOWN = 0x40


@dataclass(frozen=True, slots=True)
class State:
    """Boards at a moment, each shape (GPUs,): W without noise, MHz, and NVML's mask."""

    power_w: NDArray[np.float64]
    sm_clock_mhz: NDArray[np.int32]
    throttle_reasons: NDArray[np.int64]


class Boards:
    """The boards of a fleet, which remember how warm they are. `idle_w` and `max_w` are of each, shape (GPUs,)."""

    def __init__(self, idle_w: NDArray[np.float64], max_w: NDArray[np.float64], seed: int) -> None:
        self._idle_w = idle_w
        self._max_w = max_w
        size = len(idle_w)
        rng = Noise(seed, "gpu/board").generator(0)
        self._gpu_rise = _GPU_RISE_C * rng.normal(1.0, _GPU_RISE_SD, size)
        self._memory_rise = _MEMORY_RISE_C * rng.normal(1.0, _MEMORY_RISE_SD, size)
        self._gpu_rise[rng.random(size) < _BAD_SHARE] *= _BAD_GPU
        self._memory_rise[rng.random(size) < _BAD_SHARE] *= _BAD_MEMORY
        self.temp_c = np.zeros(size)
        """Of the GPUs, degrees Celsius."""
        self.memory_temp_c = np.zeros(size)
        """Of their memory, degrees Celsius."""

    def settle(self, demand: NDArray[np.float64], is_held: NDArray[np.bool_], air_c: NDArray[np.float64]) -> None:
        """Makes all boards as warm as they become under a demand; arguments as of `step`, for the whole fleet."""
        every = slice(0, len(self.temp_c))
        self.temp_c[:] = self.memory_temp_c[:] = 0.0
        # Once more with the clock of those that come to a limit of the two temperatures: the other is lower then.
        for _ in range(2):
            gpu_c, memory_c = self._steady_c(every, self._state(every, demand, is_held, air_c).power_w, air_c)
            self.temp_c = np.minimum(gpu_c, GPU_MAX_OPERATING_C)
            self.memory_temp_c = np.minimum(memory_c, MEMORY_MAX_OPERATING_C)

    def step(
        self,
        rows: slice,
        seconds: float,
        demand: NDArray[np.float64],
        is_held: NDArray[np.bool_],
        air_c: NDArray[np.float64],
    ) -> State:
        """Goes on by some seconds with the boards of some rows, and returns their state.

        `demand` is the power over idle that they would take at full clock, as a share of their range; `air_c` what
        cools them.
        """
        found = self._state(rows, demand, is_held, air_c)
        gpu_c, memory_c = self._steady_c(rows, found.power_w, air_c)
        self.temp_c[rows] = _followed(self.temp_c[rows], gpu_c, seconds / _GPU_THERMAL_S, GPU_MAX_OPERATING_C)
        self.memory_temp_c[rows] = _followed(
            self.memory_temp_c[rows], memory_c, seconds / _MEMORY_THERMAL_S, MEMORY_MAX_OPERATING_C
        )
        return found

    def _steady_c(
        self, rows: slice, power_w: NDArray[np.float64], air_c: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Temperatures of the GPUs and of their memory that a power leads to, where no limit is in the way."""
        load = power_w / self._max_w[rows]
        return air_c + self._gpu_rise[rows] * load, air_c + _MEMORY_OFFSET_C + self._memory_rise[rows] * load

    def _state(
        self, rows: slice, demand: NDArray[np.float64], is_held: NDArray[np.bool_], air_c: NDArray[np.float64]
    ) -> State:
        idle_w, max_w = self._idle_w[rows], self._max_w[rows]
        wanted = np.maximum(demand, CONTEXT_SHARE * is_held)
        given = np.minimum(wanted, 1.0)
        reasons = np.where(is_held, np.where(wanted > 1.0, Throttle.SW_POWER_CAP, 0), Throttle.GPU_IDLE)
        is_hot = (self.temp_c[rows] > GPU_MAX_OPERATING_C - _HELD_C) | (
            self.memory_temp_c[rows] > MEMORY_MAX_OPERATING_C - _HELD_C
        )
        if is_hot.any():
            cool = np.minimum(
                (GPU_MAX_OPERATING_C - air_c) / self._gpu_rise[rows],
                (MEMORY_MAX_OPERATING_C - _MEMORY_OFFSET_C - air_c) / self._memory_rise[rows],
            )
            bearable = np.clip((cool * max_w - idle_w) / (max_w - idle_w), CONTEXT_SHARE, 1.0)
            is_soft = is_hot & (bearable < given)
            given = np.where(is_soft, bearable, given)
            is_hard = self.temp_c[rows] > GPU_SLOWDOWN_C
            # Half the clock at most.
            given = np.where(is_hard, np.minimum(given, wanted / 2**CLOCK_EXPONENT), given)
            reasons |= np.where(is_soft, Throttle.SW_THERMAL_SLOWDOWN, 0)
            reasons |= np.where(is_hard, Throttle.HW_SLOWDOWN | Throttle.HW_THERMAL_SLOWDOWN, 0)
        clock = SM_CLOCK_MAX_MHZ * (given / np.maximum(wanted, CONTEXT_SHARE)) ** (1 / CLOCK_EXPONENT)
        clock = np.where(is_held, np.maximum(clock, SM_CLOCK_IDLE_MHZ), SM_CLOCK_IDLE_MHZ)
        return State(idle_w + (max_w - idle_w) * given, clock.astype(np.int32), reasons)


def _followed(
    before_c: NDArray[np.float64], towards_c: NDArray[np.float64], constants: float, most_c: float
) -> NDArray[np.float64]:
    """Temperature after so many time constants: one that gets to its limit is held there, within less than a step."""
    after_c = before_c + (1 - np.exp(-constants)) * (towards_c - before_c)
    return np.asarray(np.minimum(after_c, np.maximum(before_c, most_c)))
