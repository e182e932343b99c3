"""What a rebuild is asked for, and what it answers."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from projections.rebuild.archive_source import ArchiveSource, NoArchive
from projections.rebuild.checksum import Checksum
from projections.table import Table
from schemas.catalog import Topic, topic


@dataclass(frozen=True, slots=True)
class RebuildConfig:
    """What to rebuild. `live_worker` is the worker that writes the table, `neighbours` the other tables that it writes.

    `kafka` has librdkafka names; `topics` gives topics other names and `catalog` says what they carry, for tests;
    `archive` is read before Kafka; `batch` is how many messages are read at once.
    """

    kafka: Mapping[str, Any]
    registry_url: str
    dsn: str
    table: Table
    live_worker: str
    neighbours: tuple[Table, ...] = ()
    topics: Mapping[str, str] = field(default_factory=dict)
    catalog: Callable[[str], Topic] = topic
    archive: ArchiveSource = field(default_factory=NoArchive)
    from_scratch: bool = False
    allow_shrink: bool = False
    batch: int = 20_000

    @property
    def sources(self) -> dict[str, Topic]:
        """Kafka's names of the table's topics → those topics of the catalog."""
        return {self.topics.get(name, name): self.catalog(name) for name in sorted(self.table.sources)}


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A swap that was done: rows after and before, events read by this call, and those that are no rows.

    Both counts are of the same offsets, shortly before the swap. `held_s` is how long the live worker was held for it.
    """

    rows: int
    rows_before: int
    events: int
    refused: int
    is_resumed: bool
    held_s: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What both tables hold at the same offsets, and up to ten rows, as text, that only one of them has."""

    served: Checksum
    rebuilt: Checksum
    only_served: tuple[str, ...]
    only_rebuilt: tuple[str, ...]
    events: int
    refused: int

    @property
    def is_equal(self) -> bool:
        """Whether the served table is what the log says."""
        return self.served == self.rebuilt
