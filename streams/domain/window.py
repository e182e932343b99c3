"""Tumbling event-time windows over one input partition, as frames.

A partition's windows are a pure function of its log: its stream time is the greatest event time seen so far, a window
closes once stream time has reached its end plus the grace, and a record whose window was closed before it came is late.
All of this depends on the order of the records alone, never on how they were cut into batches.

A device has one reading of a moment: of records of one device and event time within a window and its keys the first
counts, and the others are copies, which a sender or a bridge that tries again makes.

Rows of open windows are kept as they came and aggregated once, when their window closes. Sums are taken in integers
(fixed point, seven decimal places), so they are exact and do not depend on an order either.

Terms and the late rule as in Apache Kafka Streams (docs/streams/core-concepts, "Time"; TimeWindows.ofSizeAndGrace).
"""

from dataclasses import dataclass

import polars as pl

OFFSET = "_offset"
WINDOW_START = "window_start_ms"
FIXED_POINT = 10_000_000
"""Units of a fixed-point sum in one: seven decimal places, and sums up to 9e11 in 64 bits."""


@dataclass(frozen=True, slots=True)
class Aggregation:
    """What is aggregated: the names of a record's columns.

    `time` is a Datetime(ms) column. Output has WINDOW_START, the keys, `readings` (rows, without copies), `devices`
    (distinct values of `device`), `<name>_sum` for each of `sums` and `<name>_max` for each of `maxima`; Float64, the
    counts Int64.
    """

    time: str
    keys: tuple[str, ...]
    device: str
    sums: tuple[str, ...]
    maxima: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the record that are needed."""
        return tuple(dict.fromkeys((self.time, *self.keys, self.device, *self.sums, *self.maxima)))


@dataclass(frozen=True, slots=True)
class WindowPolicy:
    """Length of the windows and how long after its end a window still takes records, ms of event time."""

    window_ms: int
    grace_ms: int

    def __post_init__(self) -> None:
        """Refuses what makes no window."""
        if self.window_ms <= 0 or self.grace_ms < 0:
            raise ValueError(f"window_ms must be positive and grace_ms not negative, got {self}")

    def closed_until(self, stream_time_ms: int) -> int:
        """Returns the end of the newest window that is closed at that stream time, ms."""
        return (stream_time_ms - self.grace_ms) // self.window_ms * self.window_ms


@dataclass(frozen=True, slots=True)
class Resume:
    """Where a partition goes on: what its committed offset says beside the offset itself.

    Windows up to `closed_until_ms` have been emitted (None: no window yet). Records before `position` have been
    handled: those of them that are read once more belong to open windows or change nothing.
    """

    closed_until_ms: int | None
    position: int


@dataclass(frozen=True, slots=True)
class Folded:
    """What a batch did: the windows that it closed (see Aggregation), and its late records' rows (input columns).

    `copies`: records of the windows closed that were not counted, as they say what another one had said.
    """

    closed: pl.DataFrame
    late: pl.DataFrame
    copies: int = 0


class PartitionWindows:
    """The open windows of one input partition.

    Starting again from `oldest_offset` with `resume` gives the same windows as going on: the record with the greatest
    event time always lies in an open window (its window's end is greater than it, and grace is not negative), so
    reading the open windows' records again restores stream time; and a record that is read again is either of an open
    window, and is taken, or was counted or late before, and is skipped.
    """

    def __init__(self, aggregation: Aggregation, policy: WindowPolicy, resume: Resume | None = None) -> None:
        self._aggregation = aggregation
        self._policy = policy
        self._handled_before = resume.position if resume else 0
        self._closed_until_ms = resume.closed_until_ms if resume else None
        self._stream_time_ms: int | None = None
        self._open: list[pl.DataFrame] = []

    @property
    def stream_time_ms(self) -> int | None:
        """Greatest event time seen, ms; None before the first record."""
        return self._stream_time_ms

    @property
    def closed_until_ms(self) -> int | None:
        """End of the newest window that is closed, ms; None before the first record."""
        return self._closed_until_ms

    def oldest_offset(self) -> int | None:
        """Offset of the oldest record in an open window, None where none is open."""
        firsts = [int(frame[OFFSET][0]) for frame in self._open if len(frame)]
        return min(firsts, default=None)

    def fold(self, records: pl.DataFrame) -> Folded:
        """Takes records in the order of their offsets; returns the windows closed and the late records.

        `records` has the aggregation's columns and `_offset` (Int64), ascending over all calls.
        """
        if records.is_empty():
            return Folded(self._aggregate(records.clear()), records)
        size, grace = self._policy.window_ms, self._policy.grace_ms
        event_ms = pl.col(self._aggregation.time).dt.epoch("ms")
        timed = records.with_columns(
            (event_ms // size * size).alias(WINDOW_START),
            event_ms.cum_max().alias("_stream_time"),
        )
        if self._stream_time_ms is not None:
            seen = pl.lit(self._stream_time_ms, dtype=pl.Int64)
            timed = timed.with_columns(pl.max_horizontal("_stream_time", seen).alias("_stream_time"))
        end = pl.col(WINDOW_START) + size
        is_late = end + grace <= pl.col("_stream_time")
        if self._closed_until_ms is not None:
            is_late |= end <= self._closed_until_ms
        stream_time = int(timed["_stream_time"][-1])
        late_mask = timed.select(is_late.alias("late"))["late"]
        late = records.clear()
        if late_mask.any():
            late = records.filter(late_mask & (records[OFFSET] >= self._handled_before))
            timed = timed.filter(~late_mask)
        self._open.append(timed.drop("_stream_time"))
        return self._close(stream_time, late)

    def _close(self, stream_time_ms: int, late: pl.DataFrame) -> Folded:
        self._stream_time_ms = stream_time_ms
        boundary = self._policy.closed_until(stream_time_ms)
        if self._closed_until_ms is not None and boundary <= self._closed_until_ms:
            return Folded(self._aggregate(self._open[-1].clear()), late)
        self._closed_until_ms = boundary
        rows = pl.concat(self._open)
        is_closed = rows[WINDOW_START] < boundary
        self._open = [rows.filter(~is_closed)]
        closed = rows.filter(is_closed)
        totals = self._aggregate(closed)
        # Looking for copies takes as long as all of the sums: where no device has two records there are none.
        if (totals["readings"] == totals["devices"]).all():
            return Folded(totals, late)
        spec = self._aggregation
        single = closed.unique([WINDOW_START, *spec.keys, spec.device, spec.time], keep="first", maintain_order=True)
        copies = len(closed) - len(single)
        return Folded(self._aggregate(single) if copies else totals, late, copies)

    def _aggregate(self, rows: pl.DataFrame) -> pl.DataFrame:
        spec = self._aggregation
        if WINDOW_START not in rows.columns:
            rows = rows.with_columns(pl.lit(0, dtype=pl.Int64).alias(WINDOW_START))
        keys = [WINDOW_START, *spec.keys]
        sums = [
            (pl.col(s).cast(pl.Float64) * FIXED_POINT).round().cast(pl.Int64).sum().alias(f"{s}_sum") for s in spec.sums
        ]
        maxima = [pl.col(m).max().alias(f"{m}_max") for m in spec.maxima]
        counts = [
            pl.len().cast(pl.Int64).alias("readings"),
            pl.col(spec.device).n_unique().cast(pl.Int64).alias("devices"),
        ]
        totals = rows.group_by(keys).agg(*counts, *sums, *maxima).sort(keys)
        # By numpy: polars multiplies by the reciprocal of a constant divisor in some batch sizes, and rounds otherwise.
        return totals.with_columns(
            pl.Series(f"{s}_sum", totals[f"{s}_sum"].to_numpy() / FIXED_POINT, dtype=pl.Float64) for s in spec.sums
        )
