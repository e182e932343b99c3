"""Faults of the readings of one topic: late, doubled, out of order, missing, misdated, corrupt or stuck."""

import numpy as np
import polars as pl

from schemas.catalog import Topic
from simulators.damage import DAMAGE, Damage
from simulators.fault import DISORDER_SLICES, DRAWN, LATE_SLICES, Fault, FaultShares
from simulators.fault_ledger import LEDGER_SCHEMA
from simulators.fleet import SLICE_MS
from simulators.misreading import StuckSensors, WrongClocks
from simulators.noise import Noise

_KIND = "_kind"
_SHIFT = "_shift"
_DUE = "_due"
_DAMAGES = np.array([str(damage) for damage in Damage], dtype=object)


class ReadingFaults:
    """Faults of one topic, and its readings that are held back."""

    def __init__(self, topic: Topic, shares: FaultShares, devices: pl.Series, seed: int) -> None:
        self._topic = topic
        self._bounds = np.cumsum([shares.by_fault()[fault] for fault in DRAWN])
        self._noise = Noise(seed, f"fault/{topic.name}")
        self._clocks = WrongClocks(devices, shares.skew, Noise(seed, f"fault/skew/{topic.name}"))
        self._sensors = StuckSensors(devices, shares.stuck, Noise(seed, f"fault/stuck/{topic.name}"))
        self._held: pl.DataFrame | None = None

    def apply(self, frame: pl.DataFrame, start_ms: int) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Returns what is sent of a slice's readings and of those held back, and the ledger of the faults in it."""
        marked = self._marked(frame, start_ms)
        kind = pl.col(_KIND)
        is_held = kind.is_in([Fault.LATE, Fault.DISORDER])
        ready = self._released(marked.filter(is_held), start_ms)
        now = marked.filter(~is_held.fill_null(value=False))
        copies = now.filter(kind == Fault.DUPLICATE)
        sent = pl.concat([now.filter(kind.ne_missing(pl.lit(Fault.MISSING))), copies, ready])
        ledger = self._ledger(pl.concat([now.filter(kind.is_not_null()), ready]))
        extra = [_KIND, _SHIFT, _DUE] if sent[DAMAGE].null_count() < len(sent) else [_KIND, _SHIFT, _DUE, DAMAGE]
        return sent.drop(extra), ledger

    def lost(self) -> pl.DataFrame:
        """Returns the ledger of what is held back and is never sent, as the run ends: it is missing."""
        if self._held is None:
            return pl.DataFrame(schema=LEDGER_SCHEMA)
        missing = self._held.with_columns(
            pl.lit(str(Fault.MISSING)).alias(_KIND), pl.lit(None, dtype=pl.Int64).alias(_SHIFT)
        )
        self._held = None
        return self._ledger(missing)

    def _marked(self, frame: pl.DataFrame, start_ms: int) -> pl.DataFrame:
        """Returns the frame with wrong times and values, and in _KIND, _SHIFT, _DUE and DAMAGE what is wrong."""
        generator = self._noise.generator(start_ms // SLICE_MS)
        draw, slices, damage = generator.random((3, len(frame)))
        skew_ms = self._clocks.shifts(frame)
        is_skewed = skew_ms.is_not_null()
        frame, is_stuck = self._sensors.repeat(frame, ~is_skewed, start_ms)
        # The place of the draw among the shares laid end to end; the last place is that of good readings.
        place = np.searchsorted(self._bounds, draw, side="right")
        names = np.array([*map(str, DRAWN), None], dtype=object)
        kinds = pl.DataFrame(
            {
                "drawn": pl.Series(names[place].tolist(), dtype=pl.String),
                "skewed": is_skewed,
                "stuck": is_stuck,
                "held": _spread(slices, LATE_SLICES),
                "briefly": _spread(slices, DISORDER_SLICES),
                "damage": pl.Series(_DAMAGES[(damage * len(_DAMAGES)).astype(int)].tolist(), dtype=pl.String),
                "skew": skew_ms,
            }
        )
        kind = (pl.when("skewed").then(pl.lit(str(Fault.SKEW))).when("stuck").then(pl.lit(str(Fault.STUCK)))).otherwise(
            "drawn"
        )
        wait = pl.when(kind == Fault.LATE).then("held").when(kind == Fault.DISORDER).then("briefly")
        columns = kinds.select(
            kind.alias(_KIND),
            pl.coalesce("skew", wait * SLICE_MS).alias(_SHIFT),
            (start_ms + wait * SLICE_MS).alias(_DUE),
            pl.when(kind == Fault.CORRUPT).then("damage").alias(DAMAGE),
        )
        return frame.with_columns(pl.col("observed_at") + skew_ms.fill_null(0)).hstack(columns)

    def _released(self, held: pl.DataFrame, start_ms: int) -> pl.DataFrame:
        """Takes up what is held back from now on and returns what is due, in order of time."""
        known = held if self._held is None else pl.concat([self._held, held])
        is_due = known[_DUE] <= start_ms
        self._held = known.filter(~is_due)
        return known.filter(is_due).sort(_DUE, "observed_at", self._topic.key_field)

    def _ledger(self, faulty: pl.DataFrame) -> pl.DataFrame:
        return faulty.select(
            pl.col(_KIND).alias("kind"),
            pl.lit(self._topic.name).alias("topic"),
            pl.col(self._topic.key_field).alias("key"),
            pl.col("observed_at").alias("event_time_ms"),
            pl.col(_SHIFT).alias("shift_ms"),
            pl.col(DAMAGE).alias("damage"),
            pl.lit(None, dtype=pl.String).alias("event_id"),
        )


def _spread(draws: np.ndarray[tuple[int], np.dtype[np.float64]], bounds: tuple[int, int]) -> pl.Series:
    """Returns whole numbers from the first bound to the second, of draws from 0 to 1."""
    low, high = bounds
    return pl.Series(low + (draws * (high - low + 1)).astype(np.int64))
