"""The GPUs of all facilities: which workload holds each one, which are out of service, and what each one reports.

A GPU out of service stands idle and shows its error until it is repaired: that of a board which has fallen off the bus
would not answer at all, but what watches its node reports its last error.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas import events
from simulators.ambient import Ambient
from simulators.fleet import DEVICE, PERIOD_MS, SLICE_MS, Fleet
from simulators.gpu.board import Boards
from simulators.gpu.course import Course, Courses
from simulators.gpu.xid import Breakdown, Breakdowns, Error, Reach
from simulators.noise import Noise
from simulators.timeline import to_datetime

# The cold aisle is cooled: a third of the outside swing around 22 degrees reaches it.
_AISLE_C = 22.0
_AISLE_SHARE = 0.33
# From the aisle to the boards: what two measured boards had at 119 and at 698 W leads to air of 29 C.
_PREHEAT_C = 7.0
# Of the mean power of a second, which NVML gives: 3.5 of 690 W while a board trains, 1.3 W at the limit.
_POWER_SD = 0.005
_FREE = 0

COLUMNS = (
    "device_id",
    "facility_id",
    "resource_group_id",
    DEVICE,
    "observed_at",
    "power_w",
    "utilization_ratio",
    "temp_c",
    "memory_used_gib",
    "workload_id",
    "sm_clock_mhz",
    "memory_temp_c",
    "xid",
    "throttle_reasons",
)
"""Columns of a frame of readings; `observed_at` in milliseconds (Int64), the others as in the schema."""


@dataclass(frozen=True, slots=True)
class Loss:
    """Why a workload lost its GPUs: the device that broke, and how."""

    device_id: str
    error: Error

    def __str__(self) -> str:
        return f"{self.error.words} (XID {self.error.xid}) on {self.device_id}"


class GpuFleet:
    """The GPUs of all facilities. `readings` has to be called for one slice after the other."""

    def __init__(self, fleet: Fleet, ambients: Mapping[str, Ambient], seed: int, start_ms: int) -> None:
        self.fleet = fleet
        self._ambients = [ambients[resource.facility_id] for resource in fleet.groups]
        self._group_index = {r.resource_group_id: i for i, r in enumerate(fleet.groups)}
        # Within a group GPUs are given out in order of device_id, so that a workload holds whole nodes where it can.
        by_name = np.argsort(np.array(fleet.identity["device_id"].to_list(), dtype=str), kind="stable")
        self._members = [by_name[fleet.group[by_name] == g] for g in range(len(fleet.groups))]
        self._island = _islands(fleet, self._members)
        # The workload of each GPU, as an index of names; the first stands for none.
        self._names: list[str | None] = [None]
        self._holder = np.full(fleet.size, _FREE)
        self._courses = Courses(fleet.size)
        idle_w = np.array([r.idle_power_w for r in fleet.groups])[fleet.group]
        max_w = np.array([r.max_power_w for r in fleet.groups])[fleet.group]
        self._boards = Boards(idle_w, max_w, seed)
        self._max_w = max_w
        self._noise = Noise(seed, "gpu/reading")
        self._breakdowns = Breakdowns(fleet.size, seed)
        self._out_until_ms = np.zeros(fleet.size, dtype=np.int64)
        self._xid = np.zeros(fleet.size, dtype=np.int32)
        self._xid_until_ms = np.zeros(fleet.size, dtype=np.int64)
        for breakdown in self._breakdowns.in_effect(start_ms):
            self._take_out(breakdown)
        self._now_ms = start_ms
        self.settle(start_ms)

    def free(self, resource_group_id: str) -> int:
        """Returns how many GPUs of a group are idle and in service; 0 for an unknown group."""
        index = self._group_index.get(resource_group_id)
        return 0 if index is None else len(self._available(index))

    def hold(self, workload_id: str, resource_group_id: str, gpus: int) -> bool:
        """Gives GPUs of a group to a workload, all or none; returns whether there were enough."""
        index = self._group_index.get(resource_group_id)
        if index is None or self.free(resource_group_id) < gpus:
            return False
        taken = self._available(index)[:gpus]
        slot = self._names.index(None, 1) if None in self._names[1:] else len(self._names)
        self._names[slot : slot + 1] = [workload_id]
        self._holder[taken] = slot
        return True

    def start(self, workload_id: str, course: Course, start_ms: int) -> None:
        """Begins the course of a workload on the GPUs that it holds, at a time that may be past."""
        self._courses.begin(self._rows(workload_id), course, start_ms)

    def release(self, workload_id: str) -> None:
        """Takes all GPUs from a workload; does nothing where it holds none."""
        rows = self._rows(workload_id)
        if len(rows):
            self._names[self._holder[rows[0]]] = None
            self._holder[rows] = _FREE
            self._courses.end(rows)

    def break_down(self, start_ms: int) -> dict[str, Loss]:
        """Takes out of service what breaks in [start, start + SLICE_MS); returns the workloads that lose GPUs by it.

        They hold them until `release`.
        """
        self._now_ms = start_ms
        lost: dict[str, Loss] = {}
        for breakdown in self._breakdowns.between(start_ms, start_ms + SLICE_MS):
            device_id = str(self.fleet.identity["device_id"][breakdown.row])
            for slot in np.unique(self._holder[self._take_out(breakdown)]).tolist():
                name = self._names[slot]
                if name is not None:
                    lost.setdefault(name, Loss(device_id, breakdown.error))
        return lost

    def busy(self, resource_group_id: str) -> int:
        """Returns how many GPUs of a group workloads hold. Raises KeyError for an unknown group."""
        return int(np.count_nonzero(self._holder[self._members[self._group_index[resource_group_id]]] != _FREE))

    def in_service(self, at_ms: int) -> dict[str, int]:
        """Returns how many GPUs of each group are in service."""
        return {
            group: int(np.count_nonzero(self._out_until_ms[self._members[index]] <= at_ms))
            for group, index in self._group_index.items()
        }

    def as_in_service(self, resource: events.Resource, at_ms: int) -> events.Resource:
        """Returns the registry's record of a group with the units that are in service, and in repair.

        As a record has to have units, one of a group without any names the time until the first is repaired instead.
        """
        units = self.in_service(at_ms)[resource.resource_group_id]
        if units:
            return replace(resource, units=units, units_in_repair=resource.units - units)
        back_ms = int(self._out_until_ms[self._members[self._group_index[resource.resource_group_id]]].min())
        window = events.MaintenanceWindow(starts_at=to_datetime(at_ms), ends_at=to_datetime(back_ms))
        return replace(resource, maintenance=[window])

    def settle(self, at_ms: int) -> None:
        """Makes every board as warm as what it does leads to: how a simulation starts and starts again."""
        every = slice(0, self.fleet.size)
        at = np.full(self.fleet.size, at_ms)
        doing = self._courses.activity(every, at, np.zeros(self.fleet.size))
        demand = doing.utilization * self._courses.intensity
        self._boards.settle(demand, self._holder != _FREE, self._air_c(every, at_ms))

    def readings(self, start_ms: int) -> pl.DataFrame:
        """Advances the devices that report in [start, start + SLICE_MS) and returns their readings.

        The frame has COLUMNS and is sorted by `observed_at`.
        """
        due = self.fleet.due(start_ms)
        rows = due.rows
        noise = self._noise.generator(start_ms // SLICE_MS).standard_normal((4, len(due)))
        doing = self._courses.activity(rows, due.observed_at_ms, noise[0])
        demand = doing.utilization * self._courses.intensity[rows]
        is_held = self._holder[rows] != _FREE
        state = self._boards.step(rows, PERIOD_MS / 1000, demand, is_held, self._air_c(rows, start_ms))
        power = np.minimum(state.power_w * (1 + _POWER_SD * noise[1]), self._max_w[rows])
        xid = np.where(self._xid_until_ms[rows] > start_ms, self._xid[rows], doing.xid)
        return self.fleet.identity.slice(due.low, len(due)).hstack(
            [
                pl.Series("observed_at", due.observed_at_ms),
                pl.Series("power_w", np.round(power, 1)),
                pl.Series("utilization_ratio", np.round(doing.utilization, 3)),
                pl.Series("temp_c", np.round(self._boards.temp_c[rows] + 0.3 * noise[2], 1)),
                pl.Series("memory_used_gib", np.round(doing.memory_gib, 2)),
                pl.Series("workload_id", self._names, dtype=pl.String)[self._holder[rows]],
                pl.Series("sm_clock_mhz", state.sm_clock_mhz),
                pl.Series("memory_temp_c", np.round(self._boards.memory_temp_c[rows] + 0.3 * noise[3], 1)),
                pl.Series("xid", xid),
                pl.Series("throttle_reasons", state.throttle_reasons),
            ]
        )

    def _available(self, index: int) -> NDArray[np.intp]:
        members = self._members[index]
        is_available = (self._holder[members] == _FREE) & (self._out_until_ms[members] <= self._now_ms)
        return np.asarray(members[is_available])

    def _rows(self, workload_id: str) -> NDArray[np.intp]:
        if workload_id not in self._names:
            return np.zeros(0, dtype=np.int64)
        return np.flatnonzero(self._holder == self._names.index(workload_id))

    def _take_out(self, breakdown: Breakdown) -> NDArray[np.intp]:
        """Marks what a breakdown takes out of service; returns the rows."""
        row, until_ms = breakdown.row, breakdown.until_ms
        self._xid[row], self._xid_until_ms[row] = breakdown.error.xid, until_ms
        match breakdown.error.reach:
            case Reach.NOTHING:
                out = np.zeros(0, dtype=np.int64)
            case Reach.GPU:
                out = np.array([row])
            case Reach.ISLAND:
                out = np.flatnonzero(self._island == self._island[row])
        self._out_until_ms[out] = np.maximum(self._out_until_ms[out], until_ms)
        return out

    def _air_c(self, rows: slice, at_ms: int) -> NDArray[np.float64]:
        outside = np.array([ambient.temp_c(at_ms) for ambient in self._ambients])
        return np.asarray((_AISLE_C + _AISLE_SHARE * (outside - _AISLE_C) + _PREHEAT_C)[self.fleet.group[rows]])


def _islands(fleet: Fleet, members: list[NDArray[np.intp]]) -> NDArray[np.int64]:
    """Returns the number of each GPU's NVLink island, shape (GPUs,)."""
    found = np.zeros(fleet.size, dtype=np.int64)
    first = 0
    for resource, rows in zip(fleet.groups, members, strict=True):
        number = np.arange(len(rows)) // max(resource.island_gpus, 1)
        found[rows] = first + number
        first += int(number.max(initial=-1)) + 1
    return found
