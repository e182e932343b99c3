"""ASIC miners: what each device of the whole fleet reports, as arrays.

A device that runs goes towards the power of its mode with a time constant of 20 s and to its hashrate with one of
40 s, as its chips are tuned anew (assumed); turned off, it is at its standby power at once. Wall power rises by 0.1 % a
degree of outside air (leakage and fans; makers name their figures at 25 °C). How a device starts is in `startup`, its
heat in `thermal`, what breaks in `fault`, and what its pool makes of it in `pool`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import polars as pl
from numpy.typing import NDArray

from schemas.events import PowerMode
from simulators.ambient import Ambient
from simulators.asic import startup, thermal
from simulators.asic.fault import Faults
from simulators.asic.pool import IDLE_POWER, NO_POOL, rejected_ratios
from simulators.fleet import DEVICE, PERIOD_MS, SLICE_MS, Fleet
from simulators.noise import Noise
from simulators.outage import Outages
from simulators.portfolio import MODELS
from simulators.timeline import DAY_MS, SECOND_MS

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

_MODES = tuple(PowerMode)
_MODE_NAMES = pl.Series("power_mode", [str(mode) for mode in _MODES])
_OFF = _MODES.index(PowerMode.OFF)
_NORMAL = _MODES.index(PowerMode.NORMAL)
_POWER_S = 20.0
_TUNING_S = 40.0
_POWER_PER_DEGREE = 0.001
_NAMEPLATE_TEMP_C = 25.0
# Below it the hashrate of the interval rounds to nothing: the device has stopped.
_STOPPED_THS = 0.5
# Instead of a start, for a device that does not run: later than any time.
_NEVER_S = 2**40
REBOOT_DAYS = 30
"""Devices that run for so long are started anew, for new firmware and the like; assumed."""
_REBOOT_S = REBOOT_DAYS * DAY_MS // SECOND_MS
# Of the devices whose firmware hangs, those that say a hashrate of zero; the others say their last.
_SILENT_STALLS = 0.5
_SETTLING_STEPS = 80

COLUMNS = (
    "device_id",
    "facility_id",
    "resource_group_id",
    DEVICE,
    "observed_at",
    "power_mode",
    "power_w",
    "hashrate_ths",
    "temp_c",
    "fan_rpm",
    "boards_hashing",
    "pool_rejected_ratio",
    "uptime_s",
)
"""Columns of a frame of readings; `observed_at` in milliseconds (Int64), the others as in the schema."""


def _follow(time_constant_s: float) -> float:
    return float(1 - np.exp(-PERIOD_MS / SECOND_MS / time_constant_s))


@dataclass(frozen=True, slots=True)
class _Targets:
    """Where devices are led to: power over standby and hashrate. `starting` do not follow slowly, they are there."""

    over_w: Floats
    hashrate_ths: Floats
    uptime_s: Rows
    starting: Rows


class AsicFleet:
    """The ASICs of all facilities. `readings` has to be called for one slice after the other.

    `powered_since_ms`: when each group last got its power, before which none of its devices can have started. Raises
    KeyError for a group of a model that is not in the portfolio.
    """

    def __init__(
        self,
        fleet: Fleet,
        ambients: Mapping[str, Ambient],
        seed: int,
        start_ms: int,
        powered_since_ms: Mapping[str, int] = MappingProxyType({}),
    ) -> None:
        self.fleet = fleet
        self._ambients = [ambients[resource.facility_id] for resource in fleet.groups]
        self._group_index = {r.resource_group_id: i for i, r in enumerate(fleet.groups)}
        self._members = [np.flatnonzero(fleet.group == index) for index in range(len(fleet.groups))]
        self._without_pool = [Outages(NO_POOL, resource.facility_id, seed, 1.0) for resource in fleet.groups]
        points = [{point.mode: point for point in resource.modes} for resource in fleet.groups]
        shape = (len(points), len(_MODES))
        power_w = np.array([[p[m].power_w for m in _MODES] for p in points], dtype=np.float64).reshape(shape)
        self._standby_w = power_w[:, _OFF]
        self._over_w = power_w - self._standby_w[:, None]
        self._hashrate_ths = np.array([[p[m].hashrate_ths for m in _MODES] for p in points], dtype=np.float64).reshape(
            shape
        )
        self._mode = np.full(len(points), _NORMAL)
        since_ms = [powered_since_ms.get(resource.resource_group_id, 0) for resource in fleet.groups]
        self._powered_since_s = np.array(since_ms, np.int64) // SECOND_MS
        self._on_since_s = self._powered_since_s.copy()
        self._noise = Noise(seed, "asic/reading")
        self._draw_devices(Noise(seed, "asic/lottery").generator(0))
        models = [MODELS[resource.model] for resource in fleet.groups]
        rise_k_w = [thermal.full_rise_k(m.max_inlet_c) / w for m, w in zip(models, power_w[:, _NORMAL], strict=True)]
        self._rise_k_w = np.array(rise_k_w)[fleet.group]
        self._faults = Faults(np.array([model.fans for model in models], np.int64)[fleet.group], seed)
        self._is_cut_off = np.zeros(fleet.size, np.bool_)
        self.settle(start_ms)

    def set_mode(self, resource_group_id: str, mode: PowerMode, at_ms: int) -> bool:
        """Gives the devices of a group their set-point at a time; returns whether there is such a group."""
        index = self._group_index.get(resource_group_id)
        if index is None:
            return False
        before, now = int(self._mode[index]), _MODES.index(mode)
        self._mode[index] = now
        if before == now:
            return True
        if now == _OFF:
            self._started_s[self._members[index]] = _NEVER_S
        elif before == _OFF:
            self._on_since_s[index] = max(at_ms // SECOND_MS, self._powered_since_s[index])
            self._start(self._members[index], self._on_since_s[index])
        return True

    def mode(self, resource_group_id: str) -> PowerMode:
        """Returns the set-point of a group. Raises KeyError for an unknown one."""
        return _MODES[int(self._mode[self._group_index[resource_group_id]])]

    def settle(self, start_ms: int) -> None:
        """Puts every device where its set-point leads to after a while: how a simulation starts and starts again."""
        at_s = start_ms // SECOND_MS
        rows = slice(0, self.fleet.size)
        self._faults.advance(start_ms)
        self._is_cut_off[:] = False
        since_s = at_s - (at_s - self._reboot_s) % _REBOOT_S
        since_s = np.maximum(since_s, self._faults.last_restart_ms(start_ms) // SECOND_MS)
        self._started_s = np.full(self.fleet.size, _NEVER_S)
        self._start(np.arange(self.fleet.size), np.maximum(since_s, self._on_since_s[self.fleet.group]))
        air = self._air_c(start_ms)
        # From cold boards on for twenty minutes, thirteen time constants.
        self._temp = air[self.fleet.group]
        for _ in range(_SETTLING_STEPS):
            targets = self._targets(rows, start_ms, air)
            self._over, self._hash = targets.over_w, targets.hashrate_ths
            self._warm(rows, air)

    def readings(self, start_ms: int) -> pl.DataFrame:
        """Advances the devices that report in [start, start + SLICE_MS) and returns their readings.

        The frame has COLUMNS and is sorted by `observed_at`.
        """
        self._turn(start_ms)
        due = self.fleet.due(start_ms)
        rows = due.rows
        group = self.fleet.group[rows]
        self._reboot(rows, start_ms // SECOND_MS)
        air = self._air_c(start_ms)
        noise = self._noise.generator(start_ms // SLICE_MS).standard_normal((3, len(due)))
        stalled = self._faults.stalled.within(due.low, due.high)
        # What is off is off: its supply obeys where the firmware does not.
        stalled = stalled.where(self._started_s[stalled.member] != _NEVER_S)
        hanging = stalled.member - due.low
        over, hashing, temp = self._over[rows], self._hash[rows], self._temp[rows]
        last = over[hanging], hashing[hanging], temp[hanging]
        targets = self._targets(rows, start_ms, air)
        over += _follow(_POWER_S) * (targets.over_w - over)
        hashing += _follow(_TUNING_S) * (targets.hashrate_ths - hashing)
        over[targets.starting] = targets.over_w[targets.starting]
        hashing[targets.starting] = targets.hashrate_ths[targets.starting]
        self._warm(rows, air)
        over[hanging], hashing[hanging], temp[hanging] = last
        noise[:, hanging] = 0.0
        uptime_s = targets.uptime_s
        uptime_s[hanging] = stalled.from_ms // SECOND_MS - self._started_s[stalled.member]
        uptime_s = np.maximum(uptime_s, 0)
        self._protect(rows, start_ms // SECOND_MS)
        hashrate = hashing * (1 + 0.02 * noise[1])
        hashrate[hashing < _STOPPED_THS] = 0.0
        hashrate[hanging[stalled.draw < _SILENT_STALLS]] = 0.0
        power = (self._standby_w.take(group) + over) * (1 + 0.004 * noise[0])
        shown_c = temp + 0.3 * noise[2]
        return self.fleet.identity.slice(due.low, len(due)).with_columns(
            pl.Series("observed_at", due.observed_at_ms),
            _MODE_NAMES.gather(self._mode.take(group)),
            pl.Series("power_w", np.round(power, 1)),
            pl.Series("hashrate_ths", np.round(hashrate, 2)),
            pl.Series("temp_c", np.round(shown_c, 1)),
            pl.Series("fan_rpm", (thermal.FAN_MAX_RPM * thermal.fan_share(shown_c)).astype(np.int32)),
            pl.Series("boards_hashing", np.where(hashrate > 0, self._faults.boards[rows], 0).astype(np.int32)),
            pl.Series("pool_rejected_ratio", np.where(uptime_s > 0, self._rejected[rows], 0.0)),
            pl.Series("uptime_s", uptime_s.astype(np.int32)),
        )

    def _draw_devices(self, generator: np.random.Generator) -> None:
        # No two chips are alike: +-1.5 % of power and hashrate, each for itself.
        size = self.fleet.size
        self._power_factor = generator.normal(1.0, 0.015, size)
        self._hash_factor = generator.normal(1.0, 0.015, size)
        self._slowness = generator.uniform(*startup.SLOWNESS, size)
        self._reboot_s = generator.integers(0, _REBOOT_S, size)
        self._rejected = rejected_ratios(generator, size)

    def _air_c(self, at_ms: int) -> Floats:
        """Returns the air at each group."""
        return np.array([ambient.temp_c(at_ms) for ambient in self._ambients])

    def _start(self, rows: Rows, at_s: int | Rows) -> None:
        """Starts those that can run: their group is on, and they are neither down nor too hot."""
        can_run = (self._mode[self.fleet.group[rows]] != _OFF) & ~self._faults.is_down[rows] & ~self._is_cut_off[rows]
        self._started_s[rows[can_run]] = np.broadcast_to(at_s, rows.shape)[can_run]

    def _turn(self, at_ms: int) -> None:
        turn = self._faults.advance(at_ms)
        self._started_s[turn.stopped] = _NEVER_S
        self._start(turn.restarted, turn.restarted_ms // SECOND_MS)

    def _reboot(self, rows: slice, at_s: int) -> None:
        old = rows.start + np.flatnonzero(at_s - self._started_s[rows] >= _REBOOT_S)
        self._started_s[old] += _REBOOT_S

    def _targets(self, rows: slice, at_ms: int, air: Floats) -> _Targets:
        group, temp = self.fleet.group[rows], self._temp[rows]
        every = np.arange(len(self._mode))
        has_pool = np.array([outages.at(at_ms) is None for outages in self._without_pool], np.bool_)
        weather = 1 + _POWER_PER_DEGREE * (air - _NAMEPLATE_TEMP_C)
        group_w = self._over_w[every, self._mode] * weather * np.where(has_pool, 1.0, IDLE_POWER)
        group_ths = self._hashrate_ths[every, self._mode] * has_pool
        over = group_w.take(group) * self._power_factor[rows] * self._faults.power[rows]
        hashing = group_ths.take(group) * self._hash_factor[rows] * self._faults.hashrate[rows]
        hot = np.flatnonzero(temp > thermal.DERATING_FROM_C)
        left = thermal.derating(temp[hot])
        over[hot] *= left
        hashing[hot] *= left
        uptime_s = at_ms // SECOND_MS - self._started_s[rows]
        starting = np.flatnonzero(uptime_s < startup.LONGEST_S)
        power_share, hash_share = startup.shares(uptime_s[starting], self._slowness[rows][starting])
        over[starting] *= power_share
        hashing[starting] *= hash_share
        return _Targets(over, hashing, uptime_s, starting)

    def _warm(self, rows: slice, air: Floats) -> None:
        group = self.fleet.group[rows]
        self._temp[rows] = thermal.warmed(
            self._temp[rows],
            air.take(group),
            self._standby_w.take(group) + self._over[rows],
            self._rise_k_w[rows],
            self._faults.fans[rows],
        )

    def _protect(self, rows: slice, at_s: int) -> None:
        """Stops devices that are too hot, as their next reading shows, and starts those that have cooled."""
        temp, is_cut_off = self._temp[rows], self._is_cut_off[rows]
        cooled = np.flatnonzero(is_cut_off & (temp <= thermal.RESTART_C))
        is_cut_off[cooled] = False
        self._start(rows.start + cooled, at_s)
        hot = np.flatnonzero(temp >= thermal.CUT_OFF_C)
        is_cut_off[hot] = True
        self._started_s[rows.start + hot] = _NEVER_S
