"""The board of an H100 SXM: power by utilisation and clock, temperatures, and what holds its clock down.

Thresholds and clocks are what nvidia-smi says of a Hopper SXM board with 700 W: idle 345 MHz, at most 1,980 MHz, up to
87 C in operation, slowdown at 89 C, memory up to 95 C. Dynamic power goes with f V^2. Voltage falls with the clock, but
not below its floor: an exponent of two of the clock is assumed, between one and three.
Heat leaves with a time constant. Boards differ, and a few have a bad thermal interface: Meta counts 6 of 419
interruptions to it (arXiv 2407.21783, table 5); how many get hot is assumed.
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
"""Power over idle of a GPU that is held but waits, of its range: 90 W to 100 W where A100s of 400 W idle at 62 W."""

_THERMAL_S = 30.0
_GPU_RISE_C = 45.0
_MEMORY_OFFSET_C = 18.0
_MEMORY_RISE_C = 30.0
# The percentiles of Acme's Kalos: GPU 27 C and memory 42 C at idle, 67 C and 70 C at the limit.
_RESISTANCE_SD = 0.05
_BAD_SHARE = 0.002
_BAD_GPU = 1.6
_BAD_MEMORY = 2.0


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
        self._gpu_rise = _GPU_RISE_C * rng.normal(1.0, _RESISTANCE_SD, size)
        self._memory_rise = _MEMORY_RISE_C * rng.normal(1.0, _RESISTANCE_SD, size)
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
        load = self._state(every, demand, is_held, air_c).power_w / self._max_w
        self.temp_c = np.minimum(air_c + self._gpu_rise * load, GPU_MAX_OPERATING_C)
        memory_c = air_c + _MEMORY_OFFSET_C + self._memory_rise * load
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
        follow = 1 - np.exp(-seconds / _THERMAL_S)
        load = found.power_w / self._max_w[rows]
        self.temp_c[rows] += follow * (air_c + self._gpu_rise[rows] * load - self.temp_c[rows])
        memory_c = air_c + _MEMORY_OFFSET_C + self._memory_rise[rows] * load
        self.memory_temp_c[rows] += follow * (memory_c - self.memory_temp_c[rows])
        return found

    def _state(
        self, rows: slice, demand: NDArray[np.float64], is_held: NDArray[np.bool_], air_c: NDArray[np.float64]
    ) -> State:
        idle_w, max_w = self._idle_w[rows], self._max_w[rows]
        wanted = np.maximum(demand, CONTEXT_SHARE * is_held)
        given = np.minimum(wanted, 1.0)
        reasons = np.where(is_held, np.where(wanted > 1.0, Throttle.SW_POWER_CAP, 0), Throttle.GPU_IDLE)
        is_hot = (self.temp_c[rows] > GPU_MAX_OPERATING_C) | (self.memory_temp_c[rows] > MEMORY_MAX_OPERATING_C)
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
            given = np.where(is_hard, np.minimum(given, wanted / 4), given)
            reasons |= np.where(is_soft, Throttle.SW_THERMAL_SLOWDOWN, 0)
            reasons |= np.where(is_hard, Throttle.HW_SLOWDOWN | Throttle.HW_THERMAL_SLOWDOWN, 0)
        clock = SM_CLOCK_MAX_MHZ * np.sqrt(given / np.maximum(wanted, CONTEXT_SHARE))
        clock = np.where(is_held, np.maximum(clock, SM_CLOCK_IDLE_MHZ), SM_CLOCK_IDLE_MHZ)
        return State(idle_w + (max_w - idle_w) * given, clock.astype(np.int32), reasons)
