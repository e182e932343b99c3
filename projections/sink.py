"""The seam between the engine and a store: a sink takes rows and the offsets that they came from together, or neither.

What every sink promises, by a transaction or by writes that repeat without effect:
 1. `claim` gives each partition a new epoch. From then on nobody who holds an older one can write.
 2. `apply` writes the rows and moves the offsets, all or none, and only from where this owner left them.
 3. After a crash at any point, `claim` answers with the offset behind the last batch that was applied whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Protocol

import polars as pl

from projections.table import Table
from schemas.message_block import Place

NO_IDS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Claim:
    """A partition as its new owner finds it: the next offset to apply, and the epoch that shuts earlier owners out.

    `topic_id`: of the topic that the offset is of, which one made anew has not; empty where the store was not told.
    """

    next_offset: int
    epoch: int
    topic_id: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """How far one batch moves a partition: from the next offset as this owner left it, to the next one after."""

    expected: int
    following: int
    epoch: int

    def followed_by(self, other: "Step") -> "Step":
        """Returns the two steps as one; `other` has to begin where this one ends, and be the same owner's."""
        assert (self.following, self.epoch) == (other.expected, other.epoch)
        return Step(self.expected, other.following, self.epoch)


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of one table out of one batch of one topic: `frame` has the table's columns and `_row`.

    `encoded` is what the sink's `encode` made of them, None where it makes nothing. Of rows that are written together
    (`merged`) the parts follow each other.
    """

    table: Table
    topic: str
    frame: pl.DataFrame
    encoded: tuple[bytes | memoryview, ...] | None = None

    @classmethod
    def merged(cls, parts: "Sequence[Rows]") -> "Rows":
        """Returns rows of one table and topic, whose `_row` grows from part to part, as one."""
        if len(parts) == 1:
            return parts[0]
        made = [part.encoded for part in parts]
        frame = pl.concat([part.frame for part in parts])
        encoded = None if None in made else tuple(piece for pieces in made for piece in pieces or ())
        return cls(parts[0].table, parts[0].topic, frame, encoded)


class Sink(Protocol):
    """One store. A sink belongs to one worker; its methods but `encode` are not called at the same time."""

    @property
    def dependency(self) -> str:
        """Name of the store in metrics and messages, such as `database`."""

    @property
    def fresh_start(self) -> str:
        """What a person does to fill the store from another log, as the end of a sentence."""

    def claim(self, oldest: Mapping[Place, int], topic_ids: Mapping[str, str] = NO_IDS) -> dict[Place, Claim]:
        """Takes partitions over from whoever had them.

        `oldest` holds the oldest offset that Kafka has of each; a partition that the store does not know starts there.
        `topic_ids` are kept where the store knows none yet, and not changed by it. Raises UnavailableError.
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
