"""The course of a job on its GPUs: it loads, trains with short dips, and saves a checkpoint now and then.

A function of the workload and the time since its start. NVIDIA's article on nvCOMP for checkpoints names 782 GB for a
model of 70 billion parameters, saved every 15 to 30 minutes; at 20 GB/s, which is assumed, that takes 40 s. How much of
a board's power a job takes while it trains is spread as in the cluster Kalos of InternLM/AcmeTrace (the 63 % of its
A100s with the highest power, of idle 62 W to 400 W): many jobs wait more than they compute although the GPU counts as
utilised. Those at their limit would have taken up to what a transformer's training was measured to take on an H100
(simulators/gpu/measurement). Load times are assumed.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulators.noise import Noise
from simulators.timeline import MINUTE_MS, SECOND_MS

MEMORY_IDLE_GIB = 0.5
MEMORY_GIB = 79.1
"""What an H100 of 80 GB has besides what its driver reserves (nvidia-smi: 81,042 of 81,559 MiB)."""

_LOAD_SHARE = 0.05
_LOAD_MS = (10 * SECOND_MS, 5 * MINUTE_MS)
_INTERVAL_MS = (15 * MINUTE_MS, 30 * MINUTE_MS)
_SAVE_MS = (15 * SECOND_MS, 60 * SECOND_MS)
_CRASH_MS = MINUTE_MS
"""How long a job whose code failed keeps its GPUs until it is reported."""

_LOADING = 0.15
_TRAINING = 0.97
_TRAINING_SD = 0.02
_SAVING = 0.06
_DIP = 0.4
_DIP_CHANCE = 0.03
_DIP_MS = 15 * SECOND_MS

TRAINING_INTENSITY = 1.4
"""Of a transformer that trains without a pause, by the 1,740 MHz at which an H100 does it with 690 W."""

_INTENSITY_RANKS = (0.0, 0.13, 0.21, 0.29, 0.37, 0.44, 0.52, 0.60, 0.68, 1.0)
_INTENSITIES = (0.08, 0.10, 0.12, 0.17, 0.26, 0.52, 0.78, 0.92, 0.97, TRAINING_INTENSITY)


@dataclass(frozen=True, slots=True)
class Course:
    """What a job does, ms since its start: it loads until `load_ms`, then trains for `interval_ms` and saves for
    `save_ms` in turn, and ends at `end_ms`, having saved; one that fails does nothing from `crash_ms` on.

    `intensity`: power over idle that it takes at full clock, as a share of the board's range; more than 1 is capped.
    """

    load_ms: int
    interval_ms: int
    save_ms: int
    end_ms: int
    crash_ms: float
    xid: int
    intensity: float
    memory_gib: float
    key: int

    @property
    def cycle_ms(self) -> int:
        """Time from one checkpoint's end to the next's."""
        return self.interval_ms + self.save_ms

    def saved_ms(self, ran_ms: int) -> int:
        """Returns how much of the work of so much run time the newest checkpoint has."""
        return max(ran_ms - self.load_ms, 0) // self.cycle_ms * self.cycle_ms


def course(seed: int, workload_id: str, run_ms: int, xid: int = 0) -> Course:
    """Returns the course of a job that runs for `run_ms`, or for that long until its failure with `xid` is reported."""
    rng = Noise(seed, f"course/{workload_id}").generator(0)
    load, interval, save, rank, memory = rng.random(5).tolist()
    longest_ms = min(max(int(_LOAD_SHARE * run_ms), _LOAD_MS[0]), _LOAD_MS[1])
    return Course(
        load_ms=int(longest_ms * (0.5 + 0.5 * load)),
        interval_ms=int(_INTERVAL_MS[0] + interval * (_INTERVAL_MS[1] - _INTERVAL_MS[0])),
        save_ms=int(_SAVE_MS[0] + save * (_SAVE_MS[1] - _SAVE_MS[0])),
        end_ms=run_ms,
        crash_ms=max(run_ms - _CRASH_MS, run_ms // 2) if xid else np.inf,
        xid=xid,
        intensity=float(np.interp(rank, _INTENSITY_RANKS, _INTENSITIES)),
        memory_gib=40.0 + 38.0 * memory,
        key=int(rng.integers(2**63)),
    )


@dataclass(frozen=True, slots=True)
class Activity:
    """What GPUs do, each shape (GPUs,): utilisation of 0 to 1, memory in use, and the XID error of their job, or 0."""

    utilization: NDArray[np.float64]
    memory_gib: NDArray[np.float64]
    xid: NDArray[np.int32]


class Courses:
    """The course of the job on each of so many GPUs. One without a job, or whose job has not started, does nothing."""

    def __init__(self, size: int) -> None:
        self._start_ms = np.full(size, np.inf)
        self._load_ms = np.ones(size)
        self._interval_ms = np.ones(size)
        self._cycle_ms = np.ones(size)
        self._saves_from_ms = np.full(size, np.inf)
        self._crash_ms = np.full(size, np.inf)
        self._xid = np.zeros(size, dtype=np.int32)
        self._memory_gib = np.full(size, MEMORY_IDLE_GIB)
        self._key = np.zeros(size, dtype=np.uint64)
        self.intensity = np.zeros(size)
        """Power over idle at full clock, as a share of the range; 0 without a job."""

    def begin(self, rows: NDArray[np.intp], course: Course, start_ms: int) -> None:
        """Puts a job that started then on the GPUs."""
        self._start_ms[rows] = start_ms
        self._load_ms[rows] = course.load_ms
        self._interval_ms[rows] = course.interval_ms
        self._cycle_ms[rows] = course.cycle_ms
        self._saves_from_ms[rows] = course.end_ms - course.save_ms
        self._crash_ms[rows] = course.crash_ms
        # The process whose code failed is on one of them; the others wait for it.
        self._xid[rows[:1]] = course.xid
        self._memory_gib[rows] = course.memory_gib
        self._key[rows] = course.key
        self.intensity[rows] = course.intensity

    def end(self, rows: NDArray[np.intp]) -> None:
        """Takes the job from the GPUs."""
        self._start_ms[rows] = np.inf
        self._crash_ms[rows] = np.inf
        self._xid[rows] = 0
        self.intensity[rows] = 0.0

    def activity(self, rows: slice, at_ms: NDArray[np.int64], noise: NDArray[np.float64]) -> Activity:
        """Returns what the GPUs of some rows do at a time each; `noise` is standard normal. Shapes are (GPUs,)."""
        ran = at_ms - self._start_ms[rows]
        load_ms = self._load_ms[rows]
        cycle_ms = self._cycle_ms[rows]
        loaded = np.clip(ran / load_ms, 0.0, 1.0)
        trained = np.where(loaded < 1.0, 0.0, ran - load_ms)
        into = trained - np.floor(trained / cycle_ms) * cycle_ms
        is_saving = (into >= self._interval_ms[rows]) | (ran >= self._saves_from_ms[rows])
        training = np.clip(_TRAINING + _TRAINING_SD * noise, 0.0, 1.0)
        training[_dips(self._key[rows], ran)] *= _DIP
        utilization = np.where(is_saving, _SAVING, training)
        utilization[loaded < 1.0] = _LOADING
        is_crashed = ran >= self._crash_ms[rows]
        utilization[(ran < 0) | is_crashed] = 0.0
        memory_gib = MEMORY_IDLE_GIB + (self._memory_gib[rows] - MEMORY_IDLE_GIB) * loaded
        return Activity(utilization, memory_gib, np.where(is_crashed, self._xid[rows], 0))


def _dips(key: NDArray[np.uint64], ran_ms: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Returns in which GPUs the job is in a dip: all of a job at once, as they wait for each other.

    Hashed with the finaliser of SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators",
    OOPSLA 2014).
    """
    step = np.where(ran_ms > 0, ran_ms / _DIP_MS, 0.0).astype(np.uint64)
    mixed = key ^ (step * np.uint64(0x9E3779B97F4A7C15))
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((mixed >> np.uint64(40)) < np.uint64(int(_DIP_CHANCE * 2**24)))
