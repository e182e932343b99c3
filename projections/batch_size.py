"""How many messages to take at once: found by climbing towards the size that the store takes best.

Under low load batches are small by themselves, as reading ends with the poll time. While catching up every batch is
full, and only full batches teach. A few of one size make a rate: if it rose after the last change of size, the next
change goes the same way; if it fell, back; if it is much the same, the size stays for a while before it is tried again.
`largest` comes from the memory that may be used. Where batches wait to go together, each is as large as that allows.
"""

from dataclasses import dataclass

from projections.pipeline import AS_READY, PipelinePolicy

_FACTOR = 1.5
_NOISE = 0.04
"""Rates that differ by less say nothing."""
_BATCHES_A_RATE = 4
_CALM_RATES = 8
"""So many rates of one size are taken before its neighbours are tried again."""
_MESSAGE_OVERHEAD_BYTES = 1_000
"""Of a message in flight, beside its payload: the client's record, its places in blocks and frames (measured)."""
_COPIES = 5
"""How often a payload is in memory at once: as consumed, joined, decoded, as rows, and on its way to the database."""
_REDUCED_OVERHEAD_BYTES = 150
_REDUCED_COPIES = 2
"""The same of a message that only a newest row is made of: as consumed, and as a row while it waits to be joined."""
_BATCHES_IN_WORK = 3
"""Of those: the one that is read, that is prepared, and what is made of all that are applied."""


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Bounds of the size. `memory_bytes` is for all messages in flight, in a pipeline of that policy."""

    memory_bytes: int
    pipeline: PipelinePolicy = AS_READY
    smallest: int = 150
    first: int = 12_000

    def largest(self, payload_bytes: float) -> int:
        """Returns the most messages of that mean size that fit into the memory."""
        each = _MESSAGE_OVERHEAD_BYTES + _COPIES * payload_bytes
        if self.pipeline.waits:
            reduced = _REDUCED_OVERHEAD_BYTES + _REDUCED_COPIES * payload_bytes
            of_all = _BATCHES_IN_WORK * each + self.pipeline.depth * reduced
        else:
            # Beside those of the pipeline the one that is read.
            of_all = (self.pipeline.depth + 1) * each
        return max(self.smallest, int(self.memory_bytes / of_all))


class BatchSize:
    """The present size, and what is known about its neighbours."""

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._bound = policy.largest(0.0)
        self._size = min(policy.first, self._bound)
        self._is_growing = True
        self._rate: float | None = None
        self._calm = 0
        self._messages, self._seconds, self._batches = 0, 0.0, 0

    @property
    def current(self) -> int:
        """Messages to take at once."""
        return self._size

    def bound(self, payload_bytes: float) -> None:
        """Takes note of the mean size of messages, bytes."""
        self._bound = self._policy.largest(payload_bytes)
        self._size = self._bound if self._policy.pipeline.waits else min(self._size, self._bound)

    def observe(self, messages: int, seconds: float) -> None:
        """Learns from a batch that took so long to apply; one that was not full teaches nothing."""
        if self._policy.pipeline.waits or messages < self._size or seconds <= 0:
            return
        self._messages, self._seconds, self._batches = (
            self._messages + messages, self._seconds + seconds, self._batches + 1,
        )  # fmt: skip
        if self._batches == _BATCHES_A_RATE:
            self._learn(self._messages / self._seconds)
            self._messages, self._seconds, self._batches = 0, 0.0, 0

    def _learn(self, rate: float) -> None:
        change = 1.0 if self._rate is None else rate / self._rate
        is_first, self._rate = self._rate is None, rate
        if abs(change - 1.0) <= _NOISE and not is_first:
            self._calm += 1
            if self._calm < _CALM_RATES:
                return
            # Nothing is lost by a look at the other side.
            self._is_growing = not self._is_growing
        elif change < 1.0:
            self._is_growing = not self._is_growing
        self._calm = 0
        factor = _FACTOR if self._is_growing else 1 / _FACTOR
        self._size = max(self._policy.smallest, min(self._bound, int(self._size * factor)))
