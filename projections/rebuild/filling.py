"""`TABLE__next` on its way: made, found again, filled up to given offsets; rows and offsets are one transaction.

The offsets are kept as those of a worker named `rebuild:TABLE`. Two rebuilds of one table are told apart by the epoch
of these: the later one wins, the earlier one stops at its next batch and says so.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Self

import polars as pl

from projections import offset_store
from projections.error import ProjectionError, RefusedError
from projections.offset_store import Connection
from projections.pipeline import Pipeline
from projections.preparation import Preparation, Prepared
from projections.raw_batch import RawBatch
from projections.rebuild import chunk_swap, form
from projections.rebuild.archive_source import OFFSET, ArchiveSource
from projections.rebuild.config import RebuildConfig
from projections.rebuild.log_range import Bounds, LogRange
from projections.sink import Claim, Step
from projections.sinks.postgres import translated
from projections.writer import write
from schemas.catalog import Topic
from schemas.codec import Codec
from schemas.facility_directory import FacilityDirectory
from schemas.message_block import MessageBlock, Place
from schemas.registry import Registry
from schemas.reject import ROW

_POLL_S = 0.05


class StoppedError(ProjectionError):
    """The rebuild was asked to stop; what it has done is kept, and the next call goes on from there."""


Progress = Callable[[str, int, int], None]
"""Is told the step, and how many of its offsets are done of how many; a step that is not counted has none."""


class Filling:
    """The table that is being filled. Use as a context; not thread-safe."""

    def __init__(
        self, config: RebuildConfig, connection: Connection, log: LogRange, *, registry: Registry,
        stop: threading.Event, progress: Progress,
    ) -> None:  # fmt: skip
        self.worker = f"rebuild:{config.table.name}"
        self.events = 0
        """Messages applied since this call began."""
        self.refused = 0
        """Messages among them that are no rows: the worker has made dead letters of them when it met them."""
        self._connection = connection
        self._log = log
        self._table = config.table
        self._name = form.next_name(config.table)
        self._sources = config.sources
        self._batch = config.batch
        self._stop = stop
        self._progress = progress
        self._owned: dict[Place, Claim] = {}
        self._oldest: dict[Place, int] = {}
        self._facilities = FacilityDirectory(config.kafka, Codec(registry))
        self._prepare = Preparation(self._sources, (self._table,), registry, self.worker, self._facilities.knowing)
        self._pipeline: Pipeline[RawBatch, Prepared] = Pipeline(self._prepare, self._apply)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Ends its threads and leaves the broker; the connection is the caller's."""
        self._pipeline.close()
        self._facilities.close()

    @property
    def offsets(self) -> dict[Place, int]:
        """How far each partition is applied."""
        return {place: claim.next_offset for place, claim in self._owned.items()}

    @property
    def epochs(self) -> dict[Place, int]:
        """What shuts out an earlier rebuild of this table, and is outdated by a later one."""
        return {place: claim.epoch for place, claim in self._owned.items()}

    def begin(self, bounds: Bounds, ends: Mapping[Place, int], *, from_scratch: bool) -> bool:
        """Takes `TABLE__next` over, or makes it, and returns whether there is something in it to go on from.

        It starts over where the table's form has changed, where it is beyond what may be applied (`ends`) or beyond the
        log, and where a topic was made anew. Raises ProjectionError.
        """
        self._oldest = {place: oldest for place, (oldest, _) in bounds.items()}
        connection = self._connection
        with translated(), connection.transaction():
            ids = self._log.topic_ids()
            self._owned = offset_store.claim(connection, self.worker, dict.fromkeys(bounds, 0), ids)
            is_within = all(
                claim.next_offset <= min(bounds[place][1], ends[place]) and claim.topic_id == ids[place[0]]
                for place, claim in self._owned.items()
            )
            if not from_scratch and is_within and form.is_next_current(connection, self._table):
                return any(self.offsets.values())
            dimensions = chunk_swap.dimensions(connection, self._table)
            form.create_next(connection, self._table)
            if dimensions:
                chunk_swap.make_hypertable(connection, self._table, dimensions)
            offset_store.start_over(connection, self.worker, self._owned, ids)
            self._owned = {place: Claim(0, claim.epoch) for place, claim in self._owned.items()}
            return False

    def take_archived(self, archive: ArchiveSource, ends: Mapping[Place, int]) -> None:
        """Applies what an archive has and Kafka has not (any more), of each partition up to its end."""
        for name, source in self._sources.items():
            for piece in archive.frames(source.name):
                self._check_stop()
                place = (name, piece.partition)
                at, until = self._owned[place].next_offset, min(piece.next_offset, ends[place])
                if at < until and at < self._oldest[place]:
                    self._apply_archived(place, source, piece.frame, until)
                    self._progress(f"{self._table.name}: reading the archive of {source.name}", 0, 0)

    def fill(self, ends: Mapping[Place, int]) -> None:
        """Brings every partition exactly to its end; one that is there or beyond stays.

        Raises StoppedError, FencedError, UnavailableError and KafkaException; what was applied stays applied.
        """
        ends = {place: end for place, end in ends.items() if self._owned[place].next_offset < end}
        # What the log does not have any more and no archive has given.
        self._pass({place: min(self._oldest[place], end) for place, end in ends.items()})
        begun = self.offsets
        total = sum(end - begun[place] for place, end in ends.items())
        try:
            for messages in self._log.read(begun, ends, self._batch):
                self._check_stop()
                if len(messages):
                    self._submit(messages)
                done = sum(self._owned[place].next_offset - begun[place] for place in ends)
                self._progress(f"{self._table.name}: reading the log", done, total)
        finally:
            # Whatever ends this, the connection must not be in use by the pipeline any more.
            self._pipeline.drain()
        # Behind the last record there may be markers of transactions.
        self._pass(ends)

    def hold(self) -> None:
        """Lets no other rebuild of this table begin before the caller's transaction has ended.

        Raises FencedError where one has: `TABLE__next` is then that one's.
        """
        stay = {place: Step(claim.next_offset, claim.next_offset, claim.epoch) for place, claim in self._owned.items()}
        offset_store.advance(self._connection, self.worker, stay)

    @property
    def state(self) -> tuple[Mapping[Place, Claim], int, int]:
        """How far it is: what to set again where a transaction of the caller was rolled back."""
        return dict(self._owned), self.events, self.refused

    @state.setter
    def state(self, state: tuple[Mapping[Place, Claim], int, int]) -> None:
        owned, self.events, self.refused = state
        self._owned = dict(owned)

    def release(self) -> None:
        """Says that this rebuild does not write any more; its epochs stay."""
        offset_store.release(self._connection, self.worker, self.epochs)

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise StoppedError(f"{self._table.name}: stopped; the next call goes on from here")

    def _submit(self, messages: MessageBlock) -> None:
        while self._pipeline.is_full:
            self._pipeline.wait(_POLL_S)
        raw = RawBatch.of(messages, self._owned)
        self._move(raw.steps)
        self._pipeline.submit(raw)

    def _move(self, steps: Mapping[Place, Step]) -> None:
        self._owned |= {place: Claim(step.following, step.epoch) for place, step in steps.items()}

    def _pass(self, offsets: Mapping[Place, int]) -> None:
        """Moves to offsets between which and here there is no record."""
        steps = {
            place: Step(self._owned[place].next_offset, offset, self._owned[place].epoch)
            for place, offset in offsets.items()
            if self._owned[place].next_offset < offset
        }
        with translated(), self._connection.transaction():
            offset_store.advance(self._connection, self.worker, steps)
        self._move(steps)

    def _apply(self, batches: Sequence[Prepared]) -> None:
        """In the pipeline's thread."""
        prepared = Prepared.merged(batches)
        try:
            self._write(prepared)
        except RefusedError:
            self._apply_divided(prepared.raw)

    def _apply_divided(self, raw: RawBatch) -> None:
        """As the worker does it: a row that the database refuses costs only its event."""
        if len(raw) == 1:
            self._write(Prepared(raw, (), (), {}, 0.0))
            self.refused += 1
            return
        for half in raw.halves():
            try:
                self._write(self._prepare(half))
            except RefusedError:
                self._apply_divided(half)

    def _write(self, prepared: Prepared) -> None:
        with translated(), self._connection.transaction():
            offset_store.advance(self._connection, self.worker, prepared.raw.steps)
            for part in prepared.rows:
                write(self._connection, part.table, part.frame, self._name)
        self.events += len(prepared.raw)
        self.refused += len(prepared.dead)

    def _apply_archived(self, place: Place, source: Topic, frame: pl.DataFrame, until: int) -> None:
        claim = self._owned[place]
        fields = [field["name"] for field in source.schema["fields"]]
        events = frame.filter(pl.col(OFFSET).is_between(claim.next_offset, until, closed="left")).select(fields)
        steps = {place: Step(claim.next_offset, until, claim.epoch)}
        with translated(), self._connection.transaction():
            offset_store.advance(self._connection, self.worker, steps)
            if not events.is_empty():
                rows = self._table.sources[source.name](events.with_row_index(ROW))
                write(self._connection, self._table, rows, self._name)
        self._move(steps)
        self.events += len(events)
