"""Faults of the data itself: readings that are late, doubled, out of order, missing, misdated, corrupt or stuck.

Pure: a slice in, a slice and an account of what was done to it out. The same seed, shares and slices give the same
faults. A reading has one fault at most, so that each line of the account explains one event.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Self

import numpy as np
import polars as pl

from schemas.catalog import Topic
from simulators.error import ConfigurationError
from simulators.fleet import SLICE_MS
from simulators.misreading import StuckSensors, WrongClocks
from simulators.noise import Noise
from simulators.simulation import Slice

DAMAGE = "_damage"
"""Column of a frame with corrupt readings: a Damage, null for a good one."""
LEDGER_SCHEMA = {
    "kind": pl.String,
    "topic": pl.String,
    "key": pl.String,
    "event_time_ms": pl.Int64,
    "shift_ms": pl.Int64,
    "damage": pl.String,
}
"""Columns of a ledger: one row a faulty event. `event_time_ms` is the one that the event carries; `shift_ms` is how
long a late one was held back, or how far a wrong clock is ahead."""

_KIND = "_kind"
_SHIFT = "_shift"
_DUE = "_due"
_ROW = "_row"
# A window of 15 s with the default grace of 15 s is closed 30 s after its start, wherever in it the reading lies.
_LATE_SLICES = (60_000 // SLICE_MS, 180_000 // SLICE_MS)
# At most 6 s: with the slice in which it is sent and the fastest clock (see `misreading`) still within a grace of 15 s.
_DISORDER_SLICES = (1, 2)


class Fault(StrEnum):
    """What is wrong with a reading."""

    LATE = "late"
    DUPLICATE = "duplicate"
    DISORDER = "disorder"
    MISSING = "missing"
    SKEW = "skew"
    CORRUPT = "corrupt"
    STUCK = "stuck"


class Damage(StrEnum):
    """What became of the bytes of a corrupt reading; none of it decodes."""

    EMPTY = "empty"
    TRUNCATED = "truncated"
    EXTENDED = "extended"
    HEADLESS = "headless"


_OF_READINGS = (Fault.LATE, Fault.DUPLICATE, Fault.DISORDER, Fault.MISSING, Fault.CORRUPT)
_DAMAGES = np.array([str(damage) for damage in Damage], dtype=object)


@dataclass(frozen=True, slots=True)
class FaultShares:
    """How much of the telemetry is faulty, each from 0 to 1.

    `skew` and `stuck` are shares of the devices (`stuck`: anew every ten minutes), the others of the readings: `late`
    come one to three minutes after their time, `disorder` up to 6 s. Raises ConfigurationError.
    """

    late: float = 0.0
    duplicate: float = 0.0
    disorder: float = 0.0
    missing: float = 0.0
    skew: float = 0.0
    corrupt: float = 0.0
    stuck: float = 0.0

    def __post_init__(self) -> None:
        """Checks the shares."""
        for name, share in self.by_fault().items():
            if not 0 <= share <= 1:
                raise ConfigurationError(f"the share of the fault {name} must lie between 0 and 1, got {share}")
        if sum(self.by_fault()[fault] for fault in _OF_READINGS) > 1:
            raise ConfigurationError(f"the shares of {', '.join(_OF_READINGS)} add up to more than 1")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the shares that a text such as `late=0.01,corrupt=0.001` names. Raises ConfigurationError."""
        shares: dict[str, float] = {}
        known = [field.name for field in fields(cls)]
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, number = (piece.strip() for piece in part.partition("="))
            if name not in known:
                raise ConfigurationError(f"unknown fault {name!r}; the faults are {', '.join(known)}")
            if name in shares:
                raise ConfigurationError(f"the fault {name} is given twice")
            try:
                shares[name] = float(number)
            except ValueError:
                raise ConfigurationError(f"a fault is given as {name}=0.01, got {part!r}") from None
        return cls(**shares)

    def by_fault(self) -> dict[Fault, float]:
        """Returns the share of each fault."""
        return {fault: float(getattr(self, fault)) for fault in Fault}

    def __bool__(self) -> bool:
        return any(self.by_fault().values())


@dataclass(frozen=True, slots=True)
class Faulted:
    """A slice as it is to be sent, and the ledger of its faults (LEDGER_SCHEMA)."""

    slice: Slice
    ledger: pl.DataFrame


class Faults:
    """Faults of all telemetry. `devices` has the device ids of each topic; slices come one after the other."""

    def __init__(self, shares: FaultShares, devices: Mapping[Topic, pl.Series], seed: int) -> None:
        self._topics = {topic: _TopicFaults(topic, shares, ids, seed) for topic, ids in devices.items()}

    def apply(self, found: Slice) -> Faulted:
        """Returns the slice with its faults, and with the readings of earlier ones whose time has come."""
        readings: list[tuple[Topic, pl.DataFrame]] = []
        ledgers: list[pl.DataFrame] = []
        for topic, frame in found.readings:
            sent, ledger = self._topics[topic].apply(frame, found.start_ms)
            readings.append((topic, sent))
            ledgers.append(ledger)
        return Faulted(replace(found, readings=tuple(readings)), pl.concat(ledgers))

    def lost(self) -> pl.DataFrame:
        """Returns the ledger of what is held back and is never sent, as the run ends: it is missing."""
        return pl.concat([topic.lost() for topic in self._topics.values()])


class _TopicFaults:
    """Faults of one topic, and its readings that are held back."""

    def __init__(self, topic: Topic, shares: FaultShares, devices: pl.Series, seed: int) -> None:
        self._topic = topic
        self._bounds = np.cumsum([shares.by_fault()[fault] for fault in _OF_READINGS])
        self._noise = Noise(seed, f"fault/{topic.name}")
        self._clocks = WrongClocks(devices, shares.skew, Noise(seed, f"fault/skew/{topic.name}"))
        self._sensors = StuckSensors(devices, shares.stuck, Noise(seed, f"fault/stuck/{topic.name}"))
        self._held: pl.DataFrame | None = None

    def apply(self, frame: pl.DataFrame, start_ms: int) -> tuple[pl.DataFrame, pl.DataFrame]:
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
        names = np.array([*map(str, _OF_READINGS), None], dtype=object)
        kinds = pl.DataFrame(
            {
                "drawn": pl.Series(names[place].tolist(), dtype=pl.String),
                "skewed": is_skewed,
                "stuck": is_stuck,
                "held": _spread(slices, _LATE_SLICES),
                "briefly": _spread(slices, _DISORDER_SLICES),
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
        )


def _spread(draws: np.ndarray[tuple[int], np.dtype[np.float64]], bounds: tuple[int, int]) -> pl.Series:
    """Returns whole numbers from the first bound to the second, of draws from 0 to 1."""
    low, high = bounds
    return pl.Series(low + (draws * (high - low + 1)).astype(np.int64))
