"""Messages of one topic to accepted rows and dead letters, before any database is asked."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import polars as pl

from schemas.catalog import Topic
from schemas.columnar import ColumnarDecoder
from schemas.dead_letter import STAGE_DECODE, STAGE_RULE, DeadLetter
from schemas.message_block import MessageBlock, Record
from schemas.registry import Registry
from schemas.reject import Reject
from schemas.rule import REFERENCES, accepted, unknown_references, violations
from schemas.value_block import ValueBlock

FacilityLookup = Callable[[Collection[str]], Collection[str]]
"""Returns the registered facilities, looked up anew where one of those wanted is not known."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """A decoded batch: `frame` has the event's columns and `_row`; `dead` is what was refused, in the order it came."""

    frame: pl.DataFrame
    dead: tuple[DeadLetter, ...]


@dataclass(frozen=True, slots=True)
class Checked:
    """Decoded values: `frame` has the event's columns and `_row`; `refused` is what is not in it, by stage."""

    frame: pl.DataFrame
    refused: tuple[tuple[str, Reject], ...]


class TopicReader:
    """Decodes and checks the batches of one topic."""

    def __init__(self, topic: Topic, registry: Registry, worker: str, facilities: FacilityLookup) -> None:
        self.topic = topic
        self._decoder = ColumnarDecoder(topic, registry)
        self._worker = worker
        self._facilities = facilities

    def read(self, messages: MessageBlock) -> Accepted:
        """Returns what of the messages may be written. Raises RegistryUnavailableError and KafkaException."""
        checked = self.check(messages.values)
        dead = [self._dead(messages[reject.row], stage, reject) for stage, reject in checked.refused]
        dead.sort(key=lambda letter: (letter.partition, letter.offset))
        return Accepted(checked.frame, tuple(dead))

    def check(self, values: Sequence[bytes | None] | ValueBlock) -> Checked:
        """Returns what of the values may be written. Raises RegistryUnavailableError and KafkaException."""
        decoded = self._decoder.decode(values)
        broken = violations(self.topic.event_class, decoded.frame)
        frame = accepted(decoded.frame, broken)
        unknown = self._unknown(frame)
        refused = [(STAGE_DECODE, reject) for reject in decoded.rejects]
        refused += [(STAGE_RULE, reject) for reject in (*broken, *unknown)]
        return Checked(accepted(frame, unknown), tuple(refused))

    def _unknown(self, frame: pl.DataFrame) -> tuple[Reject, ...]:
        field = REFERENCES.get(self.topic.event_class)
        if field is None or frame.is_empty():
            return ()
        return unknown_references(frame, field, self._facilities(frame[field].unique().to_list()))

    def _dead(self, record: Record, stage: str, reject: Reject) -> DeadLetter:
        return DeadLetter.of(record, worker=self._worker, stage=stage, error=reject.error, reason=reject.reason)
