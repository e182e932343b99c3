"""What a device itself gets wrong: its clock, and sensors that repeat themselves."""

import numpy as np
import polars as pl

from simulators.noise import Noise
from simulators.timeline import DAY_MS, MINUTE_MS, SECOND_MS

ROLLOVER_MS = 1024 * 7 * DAY_MS
"""How far ahead a clock is whose receiver takes one GPS week number for the next of its kind (10 bits of weeks)."""

_BLOCK_MS = 10 * MINUTE_MS
_SLOW_MS = (60 * SECOND_MS, 600 * SECOND_MS)
# So little that no window of the other devices is closed early: with a reading that is held for 6 s and a slice of 3 s
# it stays under a grace of 15 s.
_FAST_MS = (1 * SECOND_MS, 5 * SECOND_MS)
_MEASURES = (
    "power_w",
    "hashrate_ths",
    "utilization_ratio",
    "temp_c",
    "fan_rpm",
    "boards_hashing",
    "pool_rejected_ratio",
    "uptime_s",
    "memory_used_gib",
    "sm_clock_mhz",
    "memory_temp_c",
    "xid",
    "throttle_reasons",
)


class WrongClocks:
    """A share of the devices whose clocks are wrong for good.

    A third each are one to ten minutes slow, up to 5 s fast, and a GPS rollover ahead.
    """

    def __init__(self, devices: pl.Series, share: float, noise: Noise) -> None:
        chosen, way, size = noise.generator(0).random((3, len(devices)))
        is_wrong = chosen < share
        slow = -(_SLOW_MS[0] + size * (_SLOW_MS[1] - _SLOW_MS[0])).astype(np.int64)
        fast = (_FAST_MS[0] + size * (_FAST_MS[1] - _FAST_MS[0])).astype(np.int64)
        ahead = np.full(len(devices), ROLLOVER_MS)
        shift = np.choose((way * 3).astype(int), [slow, fast, ahead])
        self._shifts = dict(zip(devices.filter(pl.Series(is_wrong)).to_list(), shift[is_wrong].tolist(), strict=True))

    def shifts(self, frame: pl.DataFrame) -> pl.Series:
        """Returns how far the clock of each row's device is ahead, ms, negative for behind; null for a right one."""
        if not self._shifts:
            return pl.Series([None], dtype=pl.Int64).new_from_index(0, len(frame))
        return frame["device_id"].replace_strict(self._shifts, default=None, return_dtype=pl.Int64)


class StuckSensors:
    """In each ten minutes another share of the devices, whose readings repeat the values of their first one."""

    def __init__(self, devices: pl.Series, share: float, noise: Noise) -> None:
        self._devices = devices
        self._share = share
        self._noise = noise
        self._block = -1
        self._stuck = devices.clear()
        self._first: pl.DataFrame | None = None

    def repeat(self, frame: pl.DataFrame, may: pl.Series, start_ms: int) -> tuple[pl.DataFrame, pl.Series]:
        """Returns the frame with repeated values, and which rows repeat; only rows that `may` allows."""
        self._choose(start_ms // _BLOCK_MS)
        is_chosen = frame["device_id"].is_in(self._stuck.implode()) & may
        if not is_chosen.any():
            return frame, pl.Series([False]).new_from_index(0, len(frame))
        measures = [name for name in _MEASURES if name in frame.columns]
        first = frame.clear() if self._first is None else self._first
        before = frame.select("device_id").join(
            first.select("device_id", *measures), on="device_id", how="left", maintain_order="left"
        )
        repeats = is_chosen & before["power_w"].is_not_null()
        self._first = pl.concat([first, frame.filter(is_chosen & ~repeats)])
        columns = [pl.when(repeats).then(before[name]).otherwise(frame[name]).alias(name) for name in measures]
        return frame.with_columns(columns), repeats

    def _choose(self, block: int) -> None:
        if block == self._block:
            return
        self._block = block
        self._first = None
        chosen = self._noise.generator(block).random(len(self._devices)) < self._share
        self._stuck = self._devices.filter(pl.Series(chosen))
