"""Messages of a batch by their position in it, and those that can't be handled."""

from dataclasses import dataclass

ROW = "_row"
"""Column with the position of the message in the batch, UInt32."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that can't be handled: its position in the batch, the class of the error, and the reason."""

    row: int
    error: str
    reason: str
