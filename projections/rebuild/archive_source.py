"""Where events come from that Kafka no longer has: what a rebuild reads before the log."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import polars as pl


@dataclass(frozen=True, slots=True)
class ArchivedFrame:
    """Accepted events of one partition, in the order of the log.

    `frame` has the columns that the decoder gives (`schemas.columnar`, without `_row`), of the offsets from
    `first_offset` up to, and without, `next_offset`; offsets in between may be missing where no event was accepted.
    """

    partition: int
    first_offset: int
    next_offset: int
    frame: pl.DataFrame


class ArchiveSource(Protocol):
    """An archive of topics. A rebuild takes of each partition what follows without a gap, then goes on in Kafka."""

    def frames(self, topic: str) -> Iterator[ArchivedFrame]:
        """Yields what is archived of a topic (its name in the catalog), each partition's frames in order of offsets."""


class NoArchive:
    """Nothing is archived."""

    def frames(self, topic: str) -> Iterator[ArchivedFrame]:
        """Yields nothing."""
        return iter(())
