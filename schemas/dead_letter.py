"""What could not be handled, as a message for `dead.<topic>`: the original bytes and headers, and why.

Header names are those of Kafka Connect's dead letter queues (KIP-298), so that tools that know them can read ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from confluent_kafka import Message

PREFIX = "__connect.errors."

Headers = Sequence[tuple[str, str | bytes | None]]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A refused message with its place, its stage and its reason.

    `stage` is where it failed: VALUE_CONVERTER (undecodable), TRANSFORMATION (breaks a rule, or is late) or TASK_PUT.
    `worker` is the name of the worker that refused it; several workers may refuse the same message.
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

    @classmethod
    def of(cls, message: Message, *, worker: str, stage: str, error: str, reason: str) -> Self:
        """Returns the dead letter of a consumed message."""
        return cls(
            topic=message.topic() or "",
            partition=message.partition() or 0,
            offset=message.offset() or 0,
            key=message.key(),
            value=message.value(),
            original_headers=message.headers() or [],  # type: ignore[arg-type]
            worker=worker,
            stage=stage,
            error=error,
            reason=reason,
        )

    @property
    def target(self) -> str:
        """The topic that takes it."""
        return f"dead.{self.topic}"

    @property
    def headers(self) -> list[tuple[str, str | bytes | None]]:
        """The original headers and, behind them, where and why it failed."""
        why = {
            "topic": self.topic,
            "partition": str(self.partition),
            "offset": str(self.offset),
            "connector.name": self.worker,
            "stage": self.stage,
            "exception.class.name": self.error,
            "exception.message": self.reason,
        }
        return [*self.original_headers, *((PREFIX + name, value) for name, value in why.items())]


STAGE_DECODE = "VALUE_CONVERTER"
STAGE_RULE = "TRANSFORMATION"
