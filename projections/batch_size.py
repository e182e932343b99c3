"""How many messages to take at once: found by climbing towards the size that the store takes best.

Under low load batches are small by themselves, as reading ends with the poll time. While catching up every batch is
full, and only full batches teach: if the rate rose after the last change of size, the next change goes the same way,
else back. `largest` comes from the memory that may be used.
"""

from dataclasses import dataclass

_FACTOR = 1.5
_NOISE = 0.03
"""Rates that differ by less say nothing."""
_MESSAGE_OVERHEAD_BYTES = 700
"""Of a message in flight, beside its payload: the client's record, its Python object, its row in a frame (measured)."""
_COPIES = 5
"""How often a payload is in memory at once: as consumed, joined, decoded, as rows, and on its way to the database."""
_BATCHES_IN_FLIGHT = 3


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """Bounds of the size. `memory_bytes` is for all messages in flight."""

    memory_bytes: int
    smallest: int = 500
    first: int = 20_000

    def largest(self, payload_bytes: float) -> int:
        """Returns the most messages of that mean size that fit into the memory."""
        each = _MESSAGE_OVERHEAD_BYTES + _COPIES * payload_bytes
        return max(self.smallest, int(self.memory_bytes / _BATCHES_IN_FLIGHT / each))


class BatchSize:
    """The present size, and what is known about its neighbours."""

    def __init__(self, policy: BatchPolicy) -> None:
        self._policy = policy
        self._bound = policy.largest(0.0)
        self._size = min(policy.first, self._bound)
        self._is_growing = True
        self._rate: float | None = None

    @property
    def current(self) -> int:
        """Messages to take at once."""
        return self._size

    def bound(self, payload_bytes: float) -> None:
        """Takes note of the mean size of messages, bytes."""
        self._bound = self._policy.largest(payload_bytes)
        self._size = min(self._size, self._bound)

    def observe(self, messages: int, seconds: float) -> None:
        """Learns from a batch that took so long to apply; one that was not full teaches nothing."""
        if messages < self._size or seconds <= 0:
            return
        rate = messages / seconds
        if self._rate is not None and rate < self._rate * (1 - _NOISE):
            self._is_growing = not self._is_growing
        self._rate = rate
        factor = _FACTOR if self._is_growing else 1 / _FACTOR
        self._size = max(self._policy.smallest, min(self._bound, int(self._size * factor)))
