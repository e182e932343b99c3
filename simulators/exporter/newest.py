"""The newest reading of each device, and what its exporter counts since the start.

A device reports once in `PERIOD_MS`, always in the same slice of it: the newest frame of each such slice is the fleet.
"""

from collections.abc import Mapping

import numpy as np
import polars as pl

from schemas.catalog import Topic
from simulators.fleet import DEVICE, PERIOD_MS, SLICE_MS
from simulators.gpu.ecc import CorrectedErrors
from simulators.simulation import ASIC_TOPIC, GPU_TOPIC, Simulation, Slice

_SLICES = PERIOD_MS // SLICE_MS
_BEYOND_CORRECTION = (48, 94)


class Newest:
    """What a running simulation has last said. `take` is for one thread, `frame` for any."""

    def __init__(self) -> None:
        self._frames: Mapping[str, list[pl.DataFrame]] = {
            topic.name: [pl.DataFrame()] * _SLICES for topic in (ASIC_TOPIC, GPU_TOPIC)
        }

    def begin(self, simulation: Simulation) -> None:
        """Starts counting for the GPUs of a simulation, of which no slice has been taken yet."""
        gpus = simulation.gpus.fleet.size
        self._start_ms = simulation.now_ms
        self._corrected = CorrectedErrors(gpus, simulation.seed)
        self._energy_mj = np.zeros(gpus, dtype=np.int64)
        self._double = np.zeros(gpus, dtype=np.int64)
        self._xid = np.zeros(gpus, dtype=np.int32)

    def take(self, found: Slice) -> None:
        """Takes what happened in a slice; `begin` comes first, and slices in order."""
        part = found.start_ms % PERIOD_MS // SLICE_MS
        for topic, frame in found.readings:
            frames = self._frames[topic.name]
            frames[part] = frame if topic is ASIC_TOPIC else self._counted(frame, found.start_ms)

    def frame(self, topic: Topic) -> pl.DataFrame:
        """Returns the newest reading of each device that has reported.

        Those of GPUs have the columns `energy_mj`, `ecc_corrected` and `ecc_double` too: totals since the start.
        """
        return pl.concat([frame for frame in self._frames[topic.name] if frame.height] or [pl.DataFrame()])

    def _counted(self, frame: pl.DataFrame, at_ms: int) -> pl.DataFrame:
        rows = frame[DEVICE].to_numpy()
        xid = frame["xid"].to_numpy()
        self._energy_mj[rows] += (frame["power_w"].to_numpy() * PERIOD_MS).astype(np.int64)
        self._double[rows] += np.isin(xid, _BEYOND_CORRECTION) & (xid != self._xid[rows])
        self._xid[rows] = xid
        return frame.hstack(
            [
                pl.Series("energy_mj", self._energy_mj[rows]),
                pl.Series("ecc_corrected", self._corrected.total(rows, at_ms - self._start_ms)),
                pl.Series("ecc_double", self._double[rows]),
            ]
        )
