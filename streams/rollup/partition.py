"""One input partition's share of the rollup: messages in, closed windows and dead letters out, and where to resume."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from confluent_kafka import Message

from schemas.columnar import ColumnarDecoder
from schemas.dead_letter import STAGE_DECODE, STAGE_RULE, DeadLetter
from schemas.message_block import Record
from schemas.reject import ROW, Reject
from schemas.rule import RULE_ERROR, accepted, unknown_references, violations
from streams.domain.window import OFFSET, PartitionWindows, Resume, WindowPolicy
from streams.rollup.source import Source, window_events

WORKER = "rollup"
LATE_ERROR = "LateRecord"
_METADATA_VERSION = "1"


@dataclass(frozen=True, slots=True)
class Handled:
    """What a batch gave: events for the output topic, and dead letters; `late` of these came too late.

    `copies`: records that the windows left out, as they say what another one had said.
    """

    events: list[Any]
    dead: list[DeadLetter]
    late: int
    copies: int


class PartitionRollup:
    """Handles the messages of one partition in order; `known_facilities` looks ids up, anew where one is not known."""

    def __init__(
        self,
        *,
        source: Source,
        partition: int,
        policy: WindowPolicy,
        max_ahead_ms: int,
        decoder: ColumnarDecoder,
        known_facilities: Callable[[Collection[str]], Collection[str]],
        committed: tuple[int, Resume] | None,
    ) -> None:
        self._source = source
        self._partition = partition
        self._policy = policy
        self._max_ahead_ms = max_ahead_ms
        self._decoder = decoder
        self._known_facilities = known_facilities
        resume = committed[1] if committed else None
        self._windows = PartitionWindows(source.aggregation, policy, resume)
        self._handled_before = resume.position if resume else 0
        self.position = committed[0] if committed else 0
        """Next offset to read."""
        self.ms_per_event = 0.0
        """Event time between records of the last batch, ms; for an estimate of the lag."""

    @property
    def stream_time_ms(self) -> int | None:
        """Greatest event time seen, ms."""
        return self._windows.stream_time_ms

    def committable(self) -> tuple[int, str]:
        """Returns the offset to commit and its metadata: the oldest record in an open window, and where to resume."""
        oldest = self._windows.oldest_offset()
        offset = self.position if oldest is None else oldest
        closed = self._windows.closed_until_ms
        # While records are being read again the position must not go back.
        position = max(self.position, self._handled_before)
        metadata = f"{_METADATA_VERSION} {closed if closed is not None else '-'} {position}"
        return offset, metadata

    def handle(self, messages: Sequence[Message]) -> Handled:
        """Takes the next messages. Raises RegistryUnavailableError and KafkaException, having changed nothing."""
        decoded = self._decoder.decode([message.value() for message in messages])
        frame = decoded.frame
        rejects = list(decoded.rejects)
        broken = violations(self._source.topic.event_class, frame)
        frame = accepted(frame, broken)
        ahead = self._ahead(frame, messages)
        frame = accepted(frame, ahead)
        unknown = self._unknown(frame)
        frame = accepted(frame, unknown)
        offsets = pl.Series(OFFSET, [message.offset() for message in messages], dtype=pl.Int64)
        records = frame.drop(ROW).with_columns(offsets.gather(frame[ROW]))
        folded = self._windows.fold(records)
        self.position = int(offsets[-1]) + 1
        self._pace(records)
        dead = [self._dead(messages[r.row], STAGE_DECODE, r) for r in rejects]
        dead += [self._dead(messages[r.row], STAGE_RULE, r) for r in (*broken, *ahead, *unknown)]
        dead = [letter for letter in dead if letter.offset >= self._handled_before]
        late = self._late(folded.late, messages)
        events = window_events(self._source, folded.closed, self._partition, self._policy.window_ms)
        return Handled(events, sorted(dead + late, key=lambda letter: letter.offset), len(late), folded.copies)

    def _unknown(self, frame: pl.DataFrame) -> tuple[Reject, ...]:
        if self._source.facility is None or frame.is_empty():
            return ()
        found = frame[self._source.facility].unique().to_list()
        return unknown_references(frame, self._source.facility, self._known_facilities(found))

    def _ahead(self, frame: pl.DataFrame, messages: Sequence[Message]) -> tuple[Reject, ...]:
        # One reading from a clock that is years ahead would close every window and make the rest of the fleet late.
        time = self._source.aggregation.time
        if frame.is_empty():
            return ()
        newest = frame[time].dt.epoch("ms").max()
        if newest <= messages[0].timestamp()[1] + self._max_ahead_ms:  # type: ignore[operator]
            return ()
        ingested = pl.Series([message.timestamp()[1] for message in messages], dtype=pl.Int64).gather(frame[ROW])
        ahead = frame.filter(frame[time].dt.epoch("ms") > ingested + self._max_ahead_ms)
        reason = f"{time}: more than {self._max_ahead_ms // 1000} s ahead of the time the record reached Kafka"
        return tuple(Reject(row, RULE_ERROR, f"{reason}, got {value}") for row, value in ahead.select(ROW, time).rows())

    def _late(self, late: pl.DataFrame, messages: Sequence[Message]) -> list[DeadLetter]:
        if late.is_empty():
            return []
        first: int = messages[0].offset() or 0
        by_offset = {message.offset(): row for row, message in enumerate(messages)}
        assert first <= late[OFFSET][0]
        reason = f"past the grace of {self._policy.grace_ms} ms after its window's end"
        return [
            self._dead(messages[by_offset[offset]], STAGE_RULE, Reject(by_offset[offset], LATE_ERROR, reason))
            for offset in late[OFFSET]
        ]

    def _pace(self, records: pl.DataFrame) -> None:
        if len(records) > 1:
            times = records[self._source.aggregation.time].dt.epoch("ms")
            self.ms_per_event = float(times.max() - times.min()) / len(records)  # type: ignore[operator, arg-type]

    def _dead(self, message: Message, stage: str, reject: Reject) -> DeadLetter:
        return DeadLetter.of(Record.of(message), worker=WORKER, stage=stage, error=reject.error, reason=reject.reason)


def parse_metadata(metadata: str | None) -> Resume | None:
    """Returns where to resume, None where the metadata is not the rollup's."""
    parts = (metadata or "").split()
    if len(parts) != 3 or parts[0] != _METADATA_VERSION:
        return None
    closed_until_ms = None if parts[1] == "-" else int(parts[1])
    return Resume(closed_until_ms, position=int(parts[2]))
