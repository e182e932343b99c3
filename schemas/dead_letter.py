"""What could not be handled, as a message for `dead.<topic>`: the original bytes and headers, and why.

Header names are those of Kafka Connect's dead letter queues (KIP-298), so that tools that know them can read ours;
`task.id`, `class.name` and `exception.stacktrace` have no counterpart here. What Connect has no name for starts with
`hcp.`. The time of the refusal is the record's own Kafka timestamp.

What became of a letter is a record on the same topic, without a value and with the header `hcp.resolution`, so that
nothing but the log says which letters are open.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Self

from schemas.message_block import Header, Headers, Record

PREFIX = "__connect.errors."
OWN_PREFIX = "hcp."
STAGE_DECODE = "VALUE_CONVERTER"
STAGE_RULE = "TRANSFORMATION"
STAGE_WRITE = "TASK_PUT"
REASON_CHARACTERS = 2_000
"""A reason that quotes a whole value would make the letter larger than a topic takes."""

_TOPIC = PREFIX + "topic"
_TIMESTAMP = OWN_PREFIX + "original.timestamp"
_RETRIES = OWN_PREFIX + "retry.count"
_RESOLUTION = OWN_PREFIX + "resolution"


class Resolution(StrEnum):
    """What became of a letter: its event is in the worker's store now, or nobody wants it."""

    REPLAYED = "replayed"
    DROPPED = "dropped"


class NotALetterError(Exception):
    """A record on a dead-letter topic is neither a letter nor a resolution; the message says what is missing."""


@dataclass(frozen=True, slots=True, order=True)
class LetterId:
    """Who refused which message. Letters are written at least once: several with one id are one letter."""

    worker: str
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic} {self.partition}:{self.offset} of {self.worker}"

    @property
    def headers(self) -> list[Header]:
        """Headers that name the letter."""
        return [
            (_TOPIC, self.topic),
            (PREFIX + "partition", str(self.partition)),
            (PREFIX + "offset", str(self.offset)),
            (PREFIX + "connector.name", self.worker),
        ]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused message with its place, its stage and its reason.

    `stage` is where it failed: VALUE_CONVERTER (undecodable), TRANSFORMATION (breaks a rule, or is late) or TASK_PUT
    (the store refuses it). `worker` is the name of the worker that refused it; several workers may refuse the same
    message. `timestamp_ms` is the refused message's own Kafka timestamp, ms since the epoch. `retries` counts the
    replays that failed: 0 for the first refusal.
    """

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    original_headers: Headers
    worker: str
    stage: str
    error: str
    reason: str
    timestamp_ms: int | None = None
    retries: int = 0

    @classmethod
    def of(cls, record: Record, *, worker: str, stage: str, error: str, reason: str) -> Self:
        """Returns the dead letter of a consumed message."""
        return cls(
            topic=record.topic,
            partition=record.partition,
            offset=record.offset,
            key=record.key,
            value=record.value,
            original_headers=list(record.headers),
            worker=worker,
            stage=stage,
            error=error,
            reason=reason,
            timestamp_ms=record.timestamp_ms,
        )

    def again(self, *, stage: str, error: str, reason: str) -> Self:
        """Returns the letter after a replay that failed: one try more, and why it failed this time."""
        return replace(self, stage=stage, error=error, reason=reason, retries=self.retries + 1)

    @property
    def id(self) -> LetterId:
        """Who refused which message."""
        return LetterId(self.worker, self.topic, self.partition, self.offset)

    @property
    def target(self) -> str:
        """The topic that takes it."""
        return f"dead.{self.topic}"

    @property
    def headers(self) -> list[Header]:
        """The original headers and, behind them, where and why it failed."""
        why: list[Header] = [
            (PREFIX + "stage", self.stage),
            (PREFIX + "exception.class.name", self.error),
            (PREFIX + "exception.message", self.reason[:REASON_CHARACTERS]),
            (_RETRIES, str(self.retries)),
        ]
        if self.timestamp_ms is not None:
            why.append((_TIMESTAMP, str(self.timestamp_ms)))
        return [*self.original_headers, *self.id.headers, *why]


@dataclass(frozen=True, slots=True)
class Resolved:
    """Says on the dead-letter topic what became of a letter."""

    id: LetterId
    resolution: Resolution

    @property
    def key(self) -> bytes:
        """Kafka key: the letter's place."""
        return str(self.id).encode()

    @property
    def headers(self) -> list[Header]:
        """Which letter, and what became of it. There is no value."""
        return [*self.id.headers, (_RESOLUTION, self.resolution.value)]


def parse(key: bytes | None, value: bytes | None, headers: Headers) -> DeadLetter | Resolved:
    """Returns what a record of a dead-letter topic says, the inverse of the two `headers`. Raises NotALetterError.

    A refused message may have been a letter itself: the last header of a name is the one that its worker wrote.
    """
    names = [name for name, _ in headers]
    if _TOPIC not in names:
        raise NotALetterError(f"no header {_TOPIC}")
    start = len(names) - 1 - names[::-1].index(_TOPIC)
    why = {name: _text(content) for name, content in headers[start:]}
    try:
        topic, worker = why[_TOPIC], why[PREFIX + "connector.name"]
        found = LetterId(worker, topic, int(why[PREFIX + "partition"]), int(why[PREFIX + "offset"]))
        if _RESOLUTION in why:
            return Resolved(found, Resolution(why[_RESOLUTION]))
        return DeadLetter(
            topic=found.topic,
            partition=found.partition,
            offset=found.offset,
            key=key,
            value=value,
            original_headers=list(headers[:start]),
            worker=found.worker,
            stage=why[PREFIX + "stage"],
            error=why[PREFIX + "exception.class.name"],
            reason=why[PREFIX + "exception.message"],
            timestamp_ms=int(why[_TIMESTAMP]) if _TIMESTAMP in why else None,
            retries=int(why.get(_RETRIES, "0")),
        )
    except KeyError as error:
        raise NotALetterError(f"no header {error.args[0]}") from error
    except ValueError as error:
        raise NotALetterError(f"a header has no usable value: {error}") from error


def _text(content: str | bytes | None) -> str:
    return content.decode(errors="replace") if isinstance(content, bytes) else content or ""
