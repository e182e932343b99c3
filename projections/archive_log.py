"""The log of an archived partition: numbered entries which, folded, say what the archive holds of it. Pure.

The number is the fence. An entry is created under the number after the last one that its writer knows, and a number is
created only once; so of two writers who know the same log one fails, and a claim, which is an entry too, leaves every
earlier owner with a number that is taken. (Delta Lake's commit, Armbrust et al., VLDB 2020, with the claims in the log
itself.)
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Self, TypeVar

import msgspec

from projections.error import ProjectionError

T = TypeVar("T")


class ArchiveError(ProjectionError):
    """The archive is not what its log says, or can't be used; the message names the file or the setting."""


class Kind(StrEnum):
    """What an entry does: takes the partition over, adds a batch, or puts one file in the place of several."""

    CLAIM = "claim"
    BATCH = "batch"
    MERGE = "merge"


@dataclass(frozen=True, slots=True)
class ArchivedFile:
    """A Parquet file. `path` is relative to the archive; `first` and `following` are the offsets of its first row and
    after its last; `columns` is a fingerprint of its schema.
    """

    path: str
    date: str
    first: int
    following: int
    rows: int
    size_bytes: int
    columns: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: the partition moves from offset `first` to `following`. `writer` is who made it, `epoch` its claim.

    `oldest` of a claim is the oldest offset that Kafka had then: where it is past `first`, records are lost. `topic_id`
    of a claim is what Kafka called the topic then, empty where it was not told.
    """

    kind: Kind
    epoch: int
    writer: str
    first: int
    following: int
    oldest: int = 0
    added: tuple[ArchivedFile, ...] = ()
    removed: tuple[str, ...] = ()
    topic_id: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the log says after entry `number` (0: there is none yet).

    The archive holds the partition from offset `start` to before `following`, but for `gaps` (from → to): these were
    deleted from Kafka before they were archived. `files` are by path. `topic_id` is that of the first
    claim that was told one.
    """

    number: int = 0
    epoch: int = 0
    start: int = 0
    following: int = 0
    files: Mapping[str, ArchivedFile] = field(default_factory=dict)
    gaps: Mapping[int, int] = field(default_factory=dict)
    topic_id: str = ""

    def claim(self, writer: str, oldest: int, topic_id: str = "") -> Entry:
        """Returns the entry that takes the partition over; a partition without a log starts at `oldest`."""
        at = self.following if self.number else oldest
        return Entry(Kind.CLAIM, self.number + 1, writer, at, at, oldest, topic_id=topic_id)

    def batch(self, writer: str, following: int, added: tuple[ArchivedFile, ...]) -> Entry:
        """Returns the entry that adds the files of one batch."""
        return Entry(Kind.BATCH, self.epoch, writer, self.following, following, added=added)

    def merge(self, writer: str, merged: ArchivedFile, parts: Iterable[ArchivedFile]) -> Entry:
        """Returns the entry that puts `merged` in the place of its parts."""
        at, removed = self.following, tuple(part.path for part in parts)
        return Entry(Kind.MERGE, self.epoch, writer, at, at, added=(merged,), removed=removed)

    def after(self, entry: Entry) -> Self:
        """Returns the ledger with the next entry. Raises ArchiveError where the entry does not follow."""
        is_first = self.number == 0
        epoch = self.number + 1 if entry.kind is Kind.CLAIM else self.epoch
        follows = is_first == (entry.kind is Kind.CLAIM and not self.number) and entry.epoch == epoch
        if not follows or not (is_first or entry.first == self.following) or entry.following < entry.first:
            raise ArchiveError(
                f"entry {self.number + 1} ({entry.kind}, epoch {entry.epoch}, offsets {entry.first} to "
                f"{entry.following}) does not follow epoch {self.epoch} at offset {self.following}"
            )
        files = {path: file for path, file in self.files.items() if path not in entry.removed}
        if len(files) + len(entry.removed) != len(self.files):
            raise ArchiveError(f"entry {self.number + 1} removes files that the archive does not have")
        gaps = dict(self.gaps)
        if entry.kind is Kind.CLAIM and entry.oldest > entry.following:
            gaps[entry.following] = entry.oldest
        return replace(
            self,
            number=self.number + 1,
            epoch=epoch,
            start=entry.first if is_first else self.start,
            following=entry.following,
            files=files | {file.path: file for file in entry.added},
            gaps=gaps,
            topic_id=self.topic_id or entry.topic_id,
        )


def to_bytes(record: Entry | Ledger) -> bytes:
    """Returns it as JSON."""
    return msgspec.json.encode(record)


def from_bytes(kind: type[T], data: bytes, path: str) -> T:
    """Returns what `to_bytes` made. Raises ArchiveError, naming the path."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ArchiveError(f"{path} is not a {kind.__name__} of the archive: {error}") from error
