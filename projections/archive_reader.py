"""The archive's part of a log, in log order, whatever the files look like."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import polars as pl

from projections.archive import Archive
from projections.archive_log import ArchivedFile, ArchiveError
from projections.log_column import LOG_COLUMNS, OFFSET
from projections.parquet_file import decoded
from schemas.catalog import Topic, topic
from schemas.column_type import column_types
from schemas.columnar import column
from schemas.message_block import Place

WINDOW = 100_000
"""Offsets in a frame: files of different dates overlap in offsets, and only those of the window are in memory."""


class LogFrame(NamedTuple):
    """A piece of a partition's log, from `first_offset` to before `next_offset`, which is where the next piece starts.

    `frame` has the event's columns as the schema is today and `projections.log_column.LOG_COLUMNS`, by offset. Offsets
    without a row had no event that projections accept.
    """

    partition: int
    first_offset: int
    next_offset: int
    frame: pl.DataFrame


class ArchivedLog:
    """Topics as far as they are archived; `names` gives Kafka's names of topics where they are others."""

    def __init__(self, archive: Archive, names: Mapping[str, str] | None = None) -> None:
        self._archive = archive
        self._names = names or {}

    def frames(self, name: str) -> Iterator[LogFrame]:
        """Yields what is archived of a topic (its name in the catalog), each partition's frames in log order."""
        for place in self._archive.places([self._names.get(name, name)]):
            yield from ArchiveReader(self._archive, place, topic(name)).frames()


class ArchiveReader:
    """Reads one partition from where its archive starts; files may be merged meanwhile."""

    def __init__(self, archive: Archive, place: Place, entry: Topic, window: int = WINDOW) -> None:
        """`place` has Kafka's name of the topic, `entry` its schema. Raises ArchiveError and UnavailableError."""
        self._archive = archive
        self._place = place
        self._types = column_types(entry.schema)
        self._schema = entry.schema
        self._window = window
        self._ledger = archive.ledger(place)
        self._open: dict[str, pl.DataFrame] = {}

    def frames(self, first: int = 0) -> Iterator[LogFrame]:
        """Yields the pieces from that offset, or from where the archive starts, to its end as it is at each call.

        Raises ArchiveError where a file is missing, and UnavailableError.
        """
        at = max(first, self._ledger.start)
        while at < self._ledger.following:
            until = min(at + self._window, self._ledger.following)
            frames = self._frames(at, until)
            if frames is None:
                # Merged since the log was read: what the rows are in now is in the log too.
                self._ledger = self._archive.ledger(self._place)
                frames = self._frames(at, until)
            if frames is None:
                raise ArchiveError(
                    f"{self._place[0]} [{self._place[1]}]: a file with offsets {at} to {until} is missing from the "
                    "archive: `hcp archive verify` names it"
                )
            yield LogFrame(self._place[1], at, until, _in_order(frames, at, until))
            at = until

    def _frames(self, at: int, until: int) -> list[pl.DataFrame] | None:
        needed = [file for file in self._ledger.files.values() if file.first < until and file.following > at]
        paths = {file.path for file in needed}
        self._open = {path: frame for path, frame in self._open.items() if path in paths}
        for file in needed:
            if file.path not in self._open:
                data = self._archive.read(file)
                if data is None:
                    return None
                self._open[file.path] = self._aligned(file, data)
        return [self._open[file.path] for file in needed] or [self._empty()]

    def _aligned(self, file: ArchivedFile, data: bytes) -> pl.DataFrame:
        found = decoded(data)
        if len(found) != file.rows:
            raise ArchiveError(f"{file.path} has {len(found)} rows, and {file.rows} by the log of the archive")
        schema, n = self._schema, len(found)
        columns = (column(found, schema, field, self._types[field["name"]], n) for field in schema["fields"])
        return pl.DataFrame([*columns, *found[list(LOG_COLUMNS)]])

    def _empty(self) -> pl.DataFrame:
        return pl.DataFrame(schema=self._types | LOG_COLUMNS)


def _in_order(frames: list[pl.DataFrame], at: int, until: int) -> pl.DataFrame:
    whole = pl.concat(frame.filter(pl.col(OFFSET).is_between(at, until, closed="left")) for frame in frames)
    return whole.sort(OFFSET)
