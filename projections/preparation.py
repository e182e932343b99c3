"""A batch of messages as rows, steps and dead letters: all that is done before a store is asked."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

import polars as pl

from projections.batch import FacilityLookup, TopicReader
from projections.log_column import with_log_columns
from projections.raw_batch import RawBatch
from projections.sink import Rows
from projections.table import Table
from schemas.catalog import Topic
from schemas.dead_letter import STAGE_WRITE, DeadLetter
from schemas.message_block import MessageBlock, Record
from schemas.registry import Registry
from schemas.reject import ROW


@dataclass(frozen=True, slots=True)
class EventTimes:
    """Newest event time of a topic in a batch, ms since the epoch, and the mean time between its events, ms."""

    newest_ms: int
    pace_ms: float


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a store is to take, with the messages it came from; `began` is when the work on it began (monotonic)."""

    raw: RawBatch
    rows: tuple[Rows, ...]
    dead: tuple[DeadLetter, ...]
    times: Mapping[str, EventTimes]
    began: float

    @classmethod
    def merged(cls, batches: "Sequence[Prepared]") -> "Prepared":
        """Returns what comes of writing these as one batch."""
        if len(batches) == 1:
            return batches[0]
        parts: dict[tuple[str, str], list[Rows]] = {}
        before = 0
        for batch in batches:
            for rows in batch.rows:
                moved = rows.frame.with_columns((pl.col(ROW) + before).cast(pl.UInt32))
                parts.setdefault((rows.table.name, rows.topic), []).append(replace(rows, frame=moved))
            before += len(batch.raw)
        return cls(
            RawBatch.merged([batch.raw for batch in batches]),
            tuple(map(Rows.merged, parts.values())),
            tuple(letter for batch in batches for letter in batch.dead),
            {name: times for batch in batches for name, times in batch.times.items()},
            batches[0].began,
        )


def mergeable(batches: Sequence[Prepared]) -> Iterator[list[Prepared]]:
    """Yields the batches, in order, in groups to be written together.

    One with dead letters stays alone: it may be the one at which the worker has to stop.
    """
    for is_clean, group in groupby(batches, lambda batch: not batch.dead):
        if is_clean:
            yield list(group)
        else:
            yield from ([batch] for batch in group)


class Preparation:
    """Decodes, checks and projects; `sources` are names in Kafka → topics of the catalog. Safe between threads.

    With `has_log_columns` a table's function gets the columns of `projections.log_column` too.
    """

    def __init__(
        self, sources: Mapping[str, Topic], tables: tuple[Table, ...], registry: Registry, worker: str,
        facilities: FacilityLookup, *, encode: Callable[[Rows], Rows] = lambda rows: rows,
        has_log_columns: bool = False,
    ) -> None:  # fmt: skip
        self._sources = sources
        self._has_log_columns = has_log_columns
        self._encode = encode
        self._tables = tables
        self._readers = {name: TopicReader(source, registry, worker, facilities) for name, source in sources.items()}
        self._lock = threading.Lock()

    def __call__(self, raw: RawBatch) -> Prepared:
        """Returns the batch ready to be applied. Raises RegistryUnavailableError and KafkaException."""
        began = time.monotonic()
        rows: list[Rows] = []
        dead: list[DeadLetter] = []
        times: dict[str, EventTimes] = {}
        with self._lock:
            for name, blocks in raw.by_topic.items():
                messages = MessageBlock.joined(blocks)
                source = self._sources[name]
                read = self._readers[name].read(messages)
                dead += read.dead
                if read.frame.is_empty():
                    continue
                frame = with_log_columns(read.frame, messages) if self._has_log_columns else read.frame
                rows += [
                    self._encode(Rows(table, name, table.sources[source.name](frame)))
                    for table in self._tables
                    if source.name in table.sources
                ]
                times[name] = _event_times(read.frame, source.time_field)
        return Prepared(raw, tuple(rows), tuple(dead), times, began)

    def joined(self, batches: Sequence[Prepared]) -> Prepared:
        """Returns what comes of writing these as one batch, encoded as one where the parts were not."""
        whole = Prepared.merged(batches)
        if len(batches) == 1:
            return whole
        rows = (each if each.encoded is not None else self._encode(each) for each in whole.rows)
        return replace(whole, rows=tuple(rows))


def _event_times(frame: pl.DataFrame, field: str) -> EventTimes:
    times = frame[field].dt.epoch("ms")
    newest, oldest = times.max(), times.min()
    assert isinstance(newest, int)
    assert isinstance(oldest, int)
    return EventTimes(newest, (newest - oldest) / len(frame))


def of_refused(record: Record, worker: str, error: str, reason: str) -> DeadLetter:
    """Returns the dead letter of a message whose rows the store refused."""
    return DeadLetter.of(record, worker=worker, stage=STAGE_WRITE, error=error, reason=reason)
