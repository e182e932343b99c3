"""The seam between the engine and a store: a sink takes rows and the offsets that they came from together, or neither.

What every sink promises, by a transaction or by writes that repeat without effect:
 1. `claim` gives each partition a new epoch. From then on nobody who holds an older one can write.
 2. `apply` writes the rows and moves the offsets, all or none, and only from where this owner left them.
 3. After a crash at any point, `claim` answers with the offset behind the last batch that was applied whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from projections.table import Table

Place = tuple[str, int]
"""Topic and partition."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A partition as its new owner finds it: the next offset to apply, and the epoch that shuts earlier owners out."""

    next_offset: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Step:
    """How far one batch moves a partition: from the next offset as this owner left it, to the next one after."""

    expected: int
    following: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table out of one batch of one topic: `frame` has the table's columns and `_row`.

    `encoded` is what the sink's `encode` made of them, None where it makes nothing.
    """

    table: Table
    topic: str
    frame: pl.DataFrame
    encoded: bytes | None = None


class Sink(Protocol):
    """One store. A sink belongs to one worker; its methods but `encode` are not called at the same time."""

    @property
    def dependency(self) -> str:
        """Name of the store in metrics and messages, such as `database`."""

    def claim(self, oldest: Mapping[Place, int]) -> dict[Place, Claim]:
        """Takes partitions over from whoever had them.

        `oldest` holds the oldest offset that Kafka has of each; a partition that the store does not know starts there.
        Raises UnavailableError.
        """

    def release(self, places: Sequence[Place]) -> None:
        """Says that this owner will not write these any more. Never needed for safety; raises UnavailableError."""

    def encode(self, rows: Rows) -> Rows:
        """Does what of `apply` needs no store, beside the `apply` of an earlier batch. May return the rows as they are.

        What a row holds is refused by `apply`, not here.
        """

    def apply(self, rows: Sequence[Rows], steps: Mapping[Place, Step]) -> dict[str, int]:
        """Writes the rows and moves the offsets, all or none; returns the rows written by table.

        Raises FencedError where another owner has claimed one of the places, RefusedError where the store refuses
        what a row holds or as many rows at once (TooLargeError; nothing is written then), UnavailableError where the
        store is away.
        """

    def close(self) -> None:
        """Ends the connection; never raises."""
