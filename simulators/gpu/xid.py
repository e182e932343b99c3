"""XID errors of GPUs: how often they come, what they take out of service, and for how long. Of seed and time alone.

Rates of what breaks are those of Meta's Llama 3 report (arXiv 2407.21783, table 5): interruptions by cause in 54 days
of 16,384 H100. Its 148 of a faulty GPU include NVLink without a number; a quarter of them is assumed. Row remaps are
those of NCSA's Delta (arXiv 2503.11901): a memory error in 88,768 hours of an H100, of which 59 % are remapped. Numbers
and words are NVIDIA's ("XID Errors"). That a GPU breaks as often idle as busy is assumed, and so are times of repair.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np

from simulators.fleet import SLICE_MS
from simulators.noise import Noise
from simulators.timeline import DAY_MS, HOUR_MS, ceiling, floor

_GPU_HOURS = 54 * 24 * 16_384
_REPAIR_SIGMA = 0.6
_SHORTEST_MS = HOUR_MS // 4
_LONGEST_MS = 2 * DAY_MS


class Reach(Enum):
    """What an error takes out of service."""

    NOTHING = auto()
    GPU = auto()
    ISLAND = auto()


@dataclass(frozen=True, slots=True)
class Error:
    """A kind of error. `repair_h`: hours in the median until the GPU is reset or its node repaired; it then says 0."""

    xid: int
    words: str
    per_gpu_hour: float
    reach: Reach
    repair_h: float


HARDWARE = (
    Error(48, "double-bit ECC error", 19 / _GPU_HOURS, Reach.GPU, 1.0),
    Error(63, "row remapped", 0.59 / 88_768, Reach.NOTHING, 6.0),
    Error(74, "NVLink error", 37 / _GPU_HOURS, Reach.ISLAND, 6.0),
    Error(79, "GPU has fallen off the bus", 111 / _GPU_HOURS, Reach.ISLAND, 6.0),
    Error(94, "contained memory error", 72 / _GPU_HOURS, Reach.GPU, 1.0),
    Error(119, "GSP timeout", 17 / _GPU_HOURS, Reach.GPU, 1.0),
)
"""Errors of the hardware. The causes of 79, 94 and 48 in the table: faulty GPU, HBM3, SRAM."""

APPLICATION = {13: "graphics engine exception", 31: "memory page fault"}
"""Errors that a workload's own code causes; the GPU is well."""


@dataclass(frozen=True, slots=True)
class Breakdown:
    """An error of the device at a row of the fleet, in effect in [at, until), both multiples of SLICE_MS."""

    at_ms: int
    row: int
    error: Error
    until_ms: int


class Breakdowns:
    """All errors of the hardware of a fleet of `size` GPUs. Not thread-safe (it caches)."""

    def __init__(self, size: int, seed: int) -> None:
        self._size = size
        self._noise = Noise(seed, "gpu/xid")
        self._days: dict[int, tuple[Breakdown, ...]] = {}

    def between(self, start_ms: int, end_ms: int) -> Iterator[Breakdown]:
        """Yields those that come in [start, end), in order of time."""
        for day in range(max(start_ms, 0) // DAY_MS, (end_ms - 1) // DAY_MS + 1):
            yield from (found for found in self._day(day) if start_ms <= found.at_ms < end_ms)

    def in_effect(self, at_ms: int) -> Iterator[Breakdown]:
        """Yields those that came before a moment and are in effect then, in order of time."""
        return (found for found in self.between(at_ms - _LONGEST_MS - SLICE_MS, at_ms) if found.until_ms > at_ms)

    def _day(self, day: int) -> tuple[Breakdown, ...]:
        if day not in self._days:
            # Time goes forward: what lies further back than the longest repair is not asked for again.
            self._days = {known: found for known, found in self._days.items() if known >= day - 3}
            self._days[day] = tuple(sorted(self._drawn(day), key=lambda found: (found.at_ms, found.row)))
        return self._days[day]

    def _drawn(self, day: int) -> Iterator[Breakdown]:
        rng = self._noise.generator(day)
        for error in HARDWARE:
            for _ in range(int(rng.poisson(error.per_gpu_hour * 24 * self._size))):
                moment, place = rng.random(2)
                at_ms = floor(day * DAY_MS + int(moment * DAY_MS), SLICE_MS)
                drawn_ms = error.repair_h * HOUR_MS * float(np.exp(rng.normal(0.0, _REPAIR_SIGMA)))
                length_ms = ceiling(int(np.clip(drawn_ms, _SHORTEST_MS, _LONGEST_MS)), SLICE_MS)
                yield Breakdown(at_ms, int(place * self._size), error, at_ms + length_ms)
