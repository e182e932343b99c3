"""GPUs: which workload holds each one, and what it draws, as arrays over the whole fleet.

Power goes from idle to the board's limit with utilisation (a line fits the measured H100 training loads within 10 %);
a GPU without a workload idles.
"""

from collections.abc import Mapping
from zlib import crc32

import numpy as np
import polars as pl

from simulators.ambient import Ambient
from simulators.fleet import PERIOD_MS, SLICE_MS, Fleet
from simulators.noise import Noise

_DT_S = PERIOD_MS / 1000
_THERMAL_S = 30.0
_RISE_C = 45.0
# The cold aisle is cooled: a third of the outside swing around 22 degrees reaches it.
_AISLE_C = 22.0
_AISLE_SHARE = 0.33
_MEMORY_IDLE_GIB = 0.5
_MEMORY_MAX_GIB = 79.6
_UTILIZATION_MEAN = 0.92
_UTILIZATION_SD = 0.06

COLUMNS = (
    "device_id",
    "facility_id",
    "resource_group_id",
    "observed_at",
    "power_w",
    "utilization_ratio",
    "temp_c",
    "memory_used_gib",
    "workload_id",
)
"""Columns of a frame of readings; `observed_at` in milliseconds (Int64), the others as in the schema."""


class GpuFleet:
    """The GPUs of all facilities. `readings` has to be called for one slice after the other."""

    def __init__(self, fleet: Fleet, ambients: Mapping[str, Ambient], seed: int) -> None:
        self.fleet = fleet
        self._ambients = [ambients[resource.facility_id] for resource in fleet.groups]
        self._group_index = {r.resource_group_id: i for i, r in enumerate(fleet.groups)}
        self._idle_w = np.array([r.idle_power_w for r in fleet.groups])
        self._max_w = np.array([r.max_power_w for r in fleet.groups])
        # Within a group GPUs are given out in order of device_id, so that a workload holds whole nodes where it can.
        by_name = np.argsort(np.array(fleet.identity["device_id"].to_list(), dtype=str), kind="stable")
        self._members = [by_name[fleet.group[by_name] == g] for g in range(len(fleet.groups))]
        self._holder: list[str | None] = [None] * fleet.size
        self._busy = np.zeros(fleet.size, dtype=bool)
        self._memory = np.full(fleet.size, _MEMORY_IDLE_GIB)
        self._temp = np.full(fleet.size, _AISLE_C)
        self._noise = Noise(seed, "gpu/reading")

    def free(self, resource_group_id: str) -> int:
        """Returns how many GPUs of a group are idle; 0 for an unknown group."""
        index = self._group_index.get(resource_group_id)
        return 0 if index is None else int(np.count_nonzero(~self._busy[self._members[index]]))

    def hold(self, workload_id: str, resource_group_id: str, gpus: int) -> bool:
        """Gives GPUs of a group to a workload, all or none; returns whether there were enough."""
        if self.free(resource_group_id) < gpus:
            return False
        members = self._members[self._group_index[resource_group_id]]
        taken = members[~self._busy[members]][:gpus]
        self._busy[taken] = True
        # A workload fills a like share of the memory on each of its GPUs: half to nearly all, by its name.
        self._memory[taken] = 40.0 + 38.0 * (crc32(workload_id.encode()) % 1000) / 1000
        for row in taken:
            self._holder[row] = workload_id
        return True

    def release(self, workload_id: str) -> None:
        """Takes all GPUs from a workload; does nothing where it holds none."""
        rows = [row for row, holder in enumerate(self._holder) if holder == workload_id]
        for row in rows:
            self._holder[row] = None
        self._busy[rows] = False
        self._memory[rows] = _MEMORY_IDLE_GIB

    def readings(self, start_ms: int) -> pl.DataFrame:
        """Advances the devices that report in [start, start + SLICE_MS) and returns their readings.

        The frame has COLUMNS and is sorted by `observed_at`.
        """
        due = self.fleet.due(start_ms)
        rows = due.rows
        group = self.fleet.group[rows]
        noise = self._noise.generator(start_ms // SLICE_MS).standard_normal((4, len(due)))
        utilization = np.clip(_UTILIZATION_MEAN + _UTILIZATION_SD * noise[0], 0.0, 1.0) * self._busy[rows]
        idle_w, max_w = self._idle_w[group], self._max_w[group]
        power = (idle_w + (max_w - idle_w) * utilization) * (1 + 0.01 * noise[1])
        power = np.minimum(power, max_w)
        air = np.array([ambient.temp_c(start_ms) for ambient in self._ambients])[group]
        target = _AISLE_C + _AISLE_SHARE * (air - _AISLE_C) + _RISE_C * power / max_w
        self._temp[rows] += (1 - np.exp(-_DT_S / _THERMAL_S)) * (target - self._temp[rows])
        memory = np.clip(self._memory[rows] + 0.2 * noise[3], 0.0, _MEMORY_MAX_GIB)
        return self.fleet.identity.slice(due.low, len(due)).with_columns(
            pl.Series("observed_at", due.observed_at_ms),
            pl.Series("power_w", np.round(power, 1)),
            pl.Series("utilization_ratio", np.round(utilization, 3)),
            pl.Series("temp_c", np.round(self._temp[rows] + 0.3 * noise[2], 1)),
            pl.Series("memory_used_gib", np.round(memory, 2)),
            pl.Series("workload_id", self._holder[due.low : due.high], dtype=pl.String),
        )
