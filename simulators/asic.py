"""ASIC miners: power, hashrate, temperature and fans of the whole fleet as arrays.

A device moves towards the power of its mode with a time constant of 20 s (95 % in a minute), its hashrate with it. Wall
power rises by 0.1 % a degree of outside air (leakage and fans; makers name their figures at 25 °C). Board temperature
follows power with the thermal time constant of a heat sink. Some devices fail and are repaired.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.events import PowerMode
from simulators.ambient import Ambient
from simulators.fleet import PERIOD_MS, SLICE_MS, Fleet
from simulators.noise import Noise
from simulators.timeline import HOUR_MS, MINUTE_MS

_MODES = tuple(PowerMode)
_MODE_NAMES = pl.Series("power_mode", [str(mode) for mode in _MODES])
_INITIAL_MODE = PowerMode.NORMAL
_RAMP_S = 20.0
_THERMAL_S = 90.0
_DT_S = PERIOD_MS / 1000
_POWER_PER_DEGREE = 0.001
_NAMEPLATE_TEMP_C = 25.0
# Boards run about 45 degrees over the air at nameplate power; fans hold them near there.
_BOARD_RISE_C = 45.0
_FAN_IDLE_RPM = 1200.0
_FAN_RPM_PER_DEGREE = 90.0
_FAN_FROM_C = 30.0
_FAN_MAX_RPM = 7200.0
# Below it the hashrate of the interval rounds to nothing: the device has stopped.
_STOPPED_THS = 0.5
_FAILURE_BLOCK_MS = 6 * HOUR_MS
# Once in 75 days a device, which with repairs of 2 h keeps about 0.1 % of a fleet down.
_FAILURE_CHANCE = 6 / (24 * 75)
_REPAIR_MS = (30 * MINUTE_MS, 210 * MINUTE_MS)

COLUMNS = (
    "device_id",
    "facility_id",
    "resource_group_id",
    "observed_at",
    "power_mode",
    "power_w",
    "hashrate_ths",
    "temp_c",
    "fan_rpm",
)
"""Columns of a frame of readings; `observed_at` in milliseconds (Int64), the others as in the schema."""


class AsicFleet:
    """The ASICs of all facilities. `readings` has to be called for one slice after the other."""

    def __init__(self, fleet: Fleet, ambients: Mapping[str, Ambient], seed: int, start_ms: int) -> None:
        self.fleet = fleet
        self._ambients = [ambients[resource.facility_id] for resource in fleet.groups]
        self._group_index = {r.resource_group_id: i for i, r in enumerate(fleet.groups)}
        points = [{point.mode: point for point in resource.modes} for resource in fleet.groups]
        shape = (len(points), len(_MODES))
        self._power_w = np.array([[p[m].power_w for m in _MODES] for p in points], dtype=np.float64).reshape(shape)
        self._hashrate = np.array([[p[m].hashrate_ths for m in _MODES] for p in points], dtype=np.float64).reshape(
            shape
        )
        self._mode = np.full(len(points), _MODES.index(_INITIAL_MODE))
        self._noise = Noise(seed, "asic/reading")
        self._failures = Noise(seed, "asic/failure")
        self._failure_block = -1
        # No two chips are alike: +-1.5 % of power and hashrate, each for itself.
        lottery = Noise(seed, "asic/lottery").generator(0)
        self._power_factor = lottery.normal(1.0, 0.015, fleet.size)
        self._hash_factor = lottery.normal(1.0, 0.015, fleet.size)
        self._failed_from = np.zeros(fleet.size, dtype=np.int64)
        self._failed_until = np.zeros(fleet.size, dtype=np.int64)
        self._nameplate_w = self._power_w[fleet.group, _MODES.index(PowerMode.NORMAL)]
        self.settle(start_ms)

    def set_mode(self, resource_group_id: str, mode: PowerMode) -> bool:
        """Gives the devices of a group their set-point; returns whether there is such a group."""
        index = self._group_index.get(resource_group_id)
        if index is None:
            return False
        self._mode[index] = _MODES.index(mode)
        return True

    def mode(self, resource_group_id: str) -> PowerMode:
        """Returns the set-point of a group. Raises KeyError for an unknown one."""
        return _MODES[int(self._mode[self._group_index[resource_group_id]])]

    def settle(self, start_ms: int) -> None:
        """Puts every device where its set-point leads to after a while: how a simulation starts and starts again."""
        group = self.fleet.group
        air = np.array([ambient.temp_c(start_ms) for ambient in self._ambients])[group]
        self._power, self._hash = self._targets(slice(0, self.fleet.size), start_ms, air)
        self._temp = air + _BOARD_RISE_C * self._power / self._nameplate_w

    def readings(self, start_ms: int) -> pl.DataFrame:
        """Advances the devices that report in [start, start + SLICE_MS) and returns their readings.

        The frame has COLUMNS and is sorted by `observed_at`.
        """
        due = self.fleet.due(start_ms)
        rows = due.rows
        group = self.fleet.group[rows]
        mode = self._mode[group]
        noise = self._noise.generator(start_ms // SLICE_MS).standard_normal((3, len(due)))
        air = np.array([ambient.temp_c(start_ms) for ambient in self._ambients])[group]
        power_target, hash_target = self._targets(rows, start_ms, air)
        follow = 1 - np.exp(-_DT_S / _RAMP_S)
        self._power[rows] += follow * (power_target - self._power[rows])
        self._hash[rows] += follow * (hash_target - self._hash[rows])
        power = self._power[rows] * (1 + 0.004 * noise[0])
        hashrate = self._hash[rows] * (1 + 0.02 * noise[1])
        hashrate[self._hash[rows] < _STOPPED_THS] = 0.0
        temp_target = air + _BOARD_RISE_C * self._power[rows] / self._nameplate_w[rows]
        self._temp[rows] += (1 - np.exp(-_DT_S / _THERMAL_S)) * (temp_target - self._temp[rows])
        temp = self._temp[rows] + 0.3 * noise[2]
        fan = np.clip(_FAN_IDLE_RPM + _FAN_RPM_PER_DEGREE * (temp - _FAN_FROM_C), _FAN_IDLE_RPM, _FAN_MAX_RPM)
        return self.fleet.identity.slice(due.low, len(due)).with_columns(
            pl.Series("observed_at", due.observed_at_ms),
            _MODE_NAMES.gather(mode),
            pl.Series("power_w", np.round(np.maximum(power, 0.0), 1)),
            pl.Series("hashrate_ths", np.round(np.maximum(hashrate, 0.0), 2)),
            pl.Series("temp_c", np.round(temp, 1)),
            pl.Series("fan_rpm", fan.astype(np.int32)),
        )

    def _targets(
        self, rows: slice, at_ms: int, air: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        self._plan_failures(at_ms)
        group = self.fleet.group[rows]
        mode = self._mode[group]
        failed = (self._failed_from[rows] <= at_ms) & (at_ms < self._failed_until[rows])
        mode = np.where(failed, 0, mode)
        weather = 1 + _POWER_PER_DEGREE * (air - _NAMEPLATE_TEMP_C)
        factor = np.where(mode > 0, self._power_factor[rows] * weather, 1.0)
        return self._power_w[group, mode] * factor, self._hashrate[group, mode] * self._hash_factor[rows]

    def _plan_failures(self, at_ms: int) -> None:
        # Drawn per block of time, so that a restart in the middle of a block finds the same devices down.
        block = at_ms // _FAILURE_BLOCK_MS
        if block == self._failure_block:
            return
        self._failure_block = block
        draws = self._failures.generator(block).random((3, self.fleet.size))
        fails = draws[0] < _FAILURE_CHANCE
        begin = block * _FAILURE_BLOCK_MS + draws[1] * (_FAILURE_BLOCK_MS - _REPAIR_MS[1])
        length = _REPAIR_MS[0] + draws[2] * (_REPAIR_MS[1] - _REPAIR_MS[0])
        self._failed_from = np.where(fails, begin, 0).astype(np.int64)
        self._failed_until = np.where(fails, begin + length, 0).astype(np.int64)
