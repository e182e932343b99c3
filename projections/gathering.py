"""Messages gathered into larger, slower batches than reading gives, for stores that want few large writes.

What is gathered is applied by nobody yet: losing it costs reading it again.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from confluent_kafka import KafkaException, Message

from projections.batch_size import BatchPolicy
from projections.sink import Place


@dataclass(frozen=True, slots=True)
class GatherPolicy:
    """A batch is due when it has `rows` messages, when its first was read `age_s` ago, or when the memory is full."""

    rows: int
    age_s: float


class Gathering:
    """What has been read since the last batch; without a policy every read is a batch of its own."""

    def __init__(self, policy: GatherPolicy | None, memory: BatchPolicy) -> None:
        self._policy = policy
        self._memory = memory
        self._messages: list[Message] = []
        self._payload_bytes = 0
        self._since = 0.0

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, messages: Sequence[Message], now: float) -> None:
        """Takes what was read at `now`, s. Raises KafkaException for an error that came in place of a message."""
        if messages and not self._messages:
            self._since = now
        self._messages += messages
        if self._policy is not None:
            # Without a policy the batch is made at once, and finds its errors itself.
            for error in filter(None, map(Message.error, messages)):
                raise KafkaException(error)
            self._payload_bytes += sum(len(message.value() or b"") for message in messages)

    def is_due(self, now: float) -> bool:
        """Whether a batch should be made at `now`, s."""
        count = len(self._messages)
        if self._policy is None or count == 0:
            return count > 0
        most = min(self._policy.rows, self._memory.largest(self._payload_bytes / count))
        return count >= most or now - self._since >= self._policy.age_s

    def take(self) -> list[Message]:
        """Returns the batch, in the order of each partition's log, and starts the next."""
        taken, self._messages, self._payload_bytes = self._messages, [], 0
        return taken

    def forget(self, places: Collection[Place]) -> None:
        """Drops the messages of partitions that are given away: their next owner reads them."""
        self._messages = [m for m in self._messages if (m.topic() or "", m.partition() or 0) not in places]
