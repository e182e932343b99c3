"""Messages gathered into larger, slower batches than reading gives, for stores that want few large writes.

What is gathered is applied by nobody yet: losing it costs reading it again.
"""

from collections.abc import Collection
from dataclasses import dataclass

from projections.batch_size import BatchPolicy
from schemas.message_block import MessageBlock, Place


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
        self._blocks: list[MessageBlock] = []
        self._since = 0.0

    def __len__(self) -> int:
        return sum(map(len, self._blocks))

    def add(self, messages: MessageBlock, now: float) -> None:
        """Takes what was read at `now`, s."""
        if not len(messages):
            return
        if not self._blocks:
            self._since = now
        self._blocks.append(messages)

    def is_due(self, now: float) -> bool:
        """Whether a batch should be made at `now`, s."""
        count = len(self)
        if self._policy is None or count == 0:
            return count > 0
        payload_bytes = sum(block.payload_bytes for block in self._blocks)
        most = min(self._policy.rows, self._memory.largest(payload_bytes / count))
        return count >= most or now - self._since >= self._policy.age_s

    def take(self) -> MessageBlock:
        """Returns the batch, in the order of each partition's log, and starts the next."""
        taken, self._blocks = self._blocks, []
        return MessageBlock.joined(taken)

    def forget(self, places: Collection[Place]) -> None:
        """Drops the messages of partitions that are given away: their next owner reads them."""
        kept = [block.without(places) for block in self._blocks]
        self._blocks = [block for block in kept if len(block)]
