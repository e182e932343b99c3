"""Where a fleet's devices are and when each one reports: what ASICs and GPUs have in common.

Every device reports every 15 s, at a phase of its own, so that a fleet's readings flow evenly instead of in bursts.
Devices are held in order of phase: those that report within a slice of time are a plain range of every array.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas import events
from simulators.noise import Noise
from simulators.timeline import SECOND_MS

PERIOD_MS = 15 * SECOND_MS
"""Time between two readings of a device."""

SLICE_MS = 3 * SECOND_MS
"""What is simulated at once; divides PERIOD_MS."""

DEVICE = "_device"
"""Column of a frame of readings: each device's row of its fleet, UInt32."""


@dataclass(frozen=True, slots=True)
class Due:
    """The devices that report in a slice: rows [low, high) of the fleet; `observed_at_ms` has the times, ascending."""

    low: int
    high: int
    observed_at_ms: NDArray[np.int64]

    @property
    def rows(self) -> slice:
        """Index of the rows."""
        return slice(self.low, self.high)

    def __len__(self) -> int:
        return self.high - self.low


class Fleet:
    """All devices of one kind in order of phase.

    `group` is the index of each device's resource group in `groups`, int64, shape (devices,); `identity` has the
    columns device_id, facility_id, resource_group_id and DEVICE.
    """

    def __init__(self, groups: Sequence[events.Resource], seed: int, name: str) -> None:
        self.groups = tuple(groups)
        units = [resource.units for resource in groups]
        self.size = sum(units)
        order = Noise(seed, f"phase/{name}").generator(0).permutation(self.size)
        self.group: NDArray[np.int64] = np.repeat(np.arange(len(units)), units)[order]
        self.phase_ms: NDArray[np.int64] = np.arange(self.size, dtype=np.int64) * PERIOD_MS // max(self.size, 1)
        ids = [f"{r.resource_group_id}-{number:05d}" for r in groups for number in range(1, r.units + 1)]
        facilities = [r.facility_id for r in groups]
        group_ids = [r.resource_group_id for r in groups]
        self.identity = pl.DataFrame(
            {
                "device_id": [ids[i] for i in order],
                "facility_id": [facilities[g] for g in self.group],
                "resource_group_id": [group_ids[g] for g in self.group],
                DEVICE: np.arange(self.size, dtype=np.uint32),
            },
            schema_overrides={"device_id": pl.String, "facility_id": pl.String, "resource_group_id": pl.String},
        )

    def due(self, start_ms: int) -> Due:
        """Returns the devices that report in [start, start + SLICE_MS); `start_ms` is a multiple of SLICE_MS."""
        period_start = start_ms - start_ms % PERIOD_MS
        offset = start_ms - period_start
        low, high = np.searchsorted(self.phase_ms, [offset, offset + SLICE_MS])
        return Due(int(low), int(high), period_start + self.phase_ms[low:high])
