"""Which dead letters are open: folded from the dead-letter topics, where resolutions are records too.

The rules of the fold, by letter:
 - Of several copies the newest counts, with the most tries that any of them had.
 - A replayed letter that is refused once more is open again: its worker has read the message anew, into a store that
   has been emptied or wound back. A replay finds out which (`projections.dead_letter_replay`).
 - A dropped letter stays dropped: copies of it do not undo what a person decided.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, assert_never

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from hcp.event_log import EventLog, LogError
from schemas.catalog import DEAD_LETTER_MAX_BYTES
from schemas.dead_letter import DeadLetter, LetterId, NotALetterError, Resolution, Resolved, parse
from schemas.message_block import Header

_FLUSH_S = 30.0
_POLL_S = 0.1


class State(StrEnum):
    """What a letter waits for: OPEN for somebody to replay or drop it, the others for nothing."""

    OPEN = "open"
    REPLAYED = "replayed"
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Record:
    """A record of a dead-letter topic: where it is, its Kafka time in ms since the epoch, and what it says."""

    partition: int
    offset: int
    timestamp_ms: int
    says: DeadLetter | Resolved


@dataclass(frozen=True, slots=True)
class Entry:
    """A letter and its state. `refused_at_ms` is the Kafka time of its newest copy, in `partition` of its topic."""

    letter: DeadLetter
    state: State
    refused_at_ms: int
    partition: int
    copies: int = 1


@dataclass(slots=True)
class Fold:
    """The letters of one topic or several; `strays` counts records that are neither letters nor resolutions."""

    entries: dict[LetterId, Entry] = field(default_factory=dict)
    strays: int = 0

    def apply(self, record: Record) -> None:
        """Takes the next record of a partition. A resolution whose letter the topic no longer has says nothing."""
        says = record.says
        held = self.entries.get(says.id)
        match says:
            case DeadLetter():
                self.entries[says.id] = _refused(held, says, record)
            case Resolved():
                if held is not None:
                    self.entries[says.id] = _resolved(held, says.resolution)
            case _:
                assert_never(says)


def _refused(held: Entry | None, letter: DeadLetter, record: Record) -> Entry:
    if held is None:
        return Entry(letter, State.OPEN, record.timestamp_ms, record.partition)
    return Entry(
        replace(letter, retries=max(letter.retries, held.letter.retries)),
        State.DROPPED if held.state is State.DROPPED else State.OPEN,
        record.timestamp_ms,
        record.partition,
        held.copies + 1,
    )


def _resolved(held: Entry, resolution: Resolution) -> Entry:
    # Rows that are in a store do not go out of it because somebody dropped the letter at the same time.
    if held.state is State.REPLAYED:
        return held
    return replace(held, state=State.REPLAYED if resolution is Resolution.REPLAYED else State.DROPPED)


class DeadLetterLog:
    """Reads dead-letter topics and writes what became of their letters."""

    def __init__(self, kafka: Mapping[str, Any]) -> None:
        self._kafka = kafka
        self._producer: Producer | None = None
        self._failures: list[KafkaError] = []

    def read(self, topics: Iterable[str]) -> Fold:
        """Returns the letters of these dead-letter topics, up to their present ends. Raises LogError."""
        fold = Fold()
        for name in topics:
            for message in self._messages(name):
                try:
                    fold.apply(_record(message))
                except NotALetterError:
                    fold.strays += 1
        return fold

    def write(self, resolved: Sequence[tuple[Entry, Resolution]], refused: Sequence[tuple[Entry, DeadLetter]]) -> None:
        """Says what became of letters, and buries those again that failed once more; returns once the broker has it.

        Both go to the partition of the letter, whose order is what the fold goes by. Raises LogError.
        """
        if not resolved and not refused:
            return
        producer = self._producer = self._producer or self._connected()
        try:
            for entry, resolution in resolved:
                settled = Resolved(entry.letter.id, resolution)
                _produce(producer, entry, settled.key, None, settled.headers)
            for entry, letter in refused:
                _produce(producer, entry, letter.key, letter.value, letter.headers)
            left = producer.flush(_FLUSH_S + 5) + len(self._failures)
        except KafkaException as error:
            raise LogError(f"what became of the letters can't be written: {error}; run the command again") from error
        if left:
            why = self._failures[0].str() if self._failures else "the broker does not answer"
            raise LogError(f"what became of {left} letters is not written: {why}; run the command again")

    def _connected(self) -> Producer:
        return Producer(
            {
                **self._kafka,
                "enable.idempotence": True,
                "compression.type": "lz4",
                "message.max.bytes": DEAD_LETTER_MAX_BYTES,
                "message.timeout.ms": int(_FLUSH_S * 1000),
                "delivery.report.only.error": True,
                "on_delivery": self._on_delivery,
                "log_level": 2,
            }
        )

    def _messages(self, name: str) -> Iterator[Message]:
        log = EventLog(self._kafka, name)
        try:
            yield from log.whole()
        finally:
            log.close()

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._failures.append(error)


def _record(message: Message) -> Record:
    headers: list[Header] = message.headers() or []  # type: ignore[assignment]
    says = parse(message.key(), message.value(), headers)
    return Record(message.partition() or 0, message.offset() or 0, message.timestamp()[1], says)


def _produce(producer: Producer, entry: Entry, key: bytes | None, value: bytes | None, headers: list[Header]) -> None:
    while True:
        try:
            producer.produce(entry.letter.target, value, key, entry.partition, headers=headers)
        except BufferError:
            producer.poll(_POLL_S)
        else:
            producer.poll(0)
            return
