"""Where events come from that Kafka no longer has: what a rebuild reads before the log."""

from collections.abc import Iterator
from typing import Protocol

import polars as pl

OFFSET = "_offset"
"""Column with the offset of the message, Int64."""


class ArchivedFrame(Protocol):
    """The accepted events of a piece of a partition's log, from `first_offset` to before `next_offset`."""

    @property
    def partition(self) -> int:
        """Number of the partition."""

    @property
    def first_offset(self) -> int:
        """Where the piece begins."""

    @property
    def next_offset(self) -> int:
        """Where the next piece begins. Offsets without a row had no event that projections accept."""

    @property
    def frame(self) -> pl.DataFrame:
        """The event's columns as the decoder gives them (`schemas.columnar`), and `_offset`; others do no harm."""


class ArchiveSource(Protocol):
    """An archive of topics. A rebuild takes from it what Kafka no longer has, then goes on in Kafka."""

    def frames(self, topic: str) -> Iterator[ArchivedFrame]:
        """Yields what is archived of a topic (its name in the catalog), each partition's pieces in order of the log."""


class NoArchive:
    """Nothing is archived."""

    def frames(self, topic: str) -> Iterator[ArchivedFrame]:
        """Yields nothing."""
        return iter(())
