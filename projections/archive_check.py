"""Whether the files of an archive are what its logs say, row by row."""

from collections.abc import Iterator, Sequence

import polars as pl

from projections.archive import Archive
from projections.archive_log import ArchivedFile, Ledger
from projections.log_column import OFFSET, PARTITION
from projections.parquet_file import decoded
from schemas.message_block import Place


def problems(archive: Archive, place: Place) -> tuple[Ledger, list[str]]:
    """Returns the ledger of a partition and what is wrong with it; nothing where every row is there once.

    That the offsets of its entries follow each other is checked where the log is read. Raises ArchiveError where they
    don't, and UnavailableError.
    """
    ledger = archive.ledger(place)
    found: list[str] = []
    for group in _overlapping(list(ledger.files.values())):
        offsets = []
        for file in group:
            data = archive.read(file)
            if data is None:
                found.append(f"{file.path} is missing")
                continue
            try:
                rows = decoded(data, [PARTITION, OFFSET])
            except (pl.exceptions.PolarsError, OSError) as error:
                found.append(f"{file.path} can't be read: {str(error).splitlines()[0]}")
                continue
            found += _file_problems(place, ledger, file, rows)
            offsets.append(rows[OFFSET])
        twice = sum(map(len, offsets)) - (pl.concat(offsets).n_unique() if offsets else 0)
        if twice:
            found.append(f"{twice} rows are there twice, among {', '.join(file.path for file in group)}")
    return ledger, found


def _file_problems(place: Place, ledger: Ledger, file: ArchivedFile, rows: pl.DataFrame) -> Iterator[str]:
    if len(rows) != file.rows:
        yield f"{file.path} has {len(rows)} rows, and {file.rows} by the log"
    if rows.is_empty():
        return
    offsets = rows[OFFSET]
    if not offsets.is_sorted():
        yield f"{file.path} is not in order of offsets"
    first, last = offsets[0], offsets[-1]
    if (first, last) != (file.first, file.following - 1):
        yield f"{file.path} has offsets {first} to {last}, and {file.first} to {file.following - 1} by the log"
    if (rows[PARTITION] != place[1]).any():
        yield f"{file.path} has rows of other partitions"
    if file.first < ledger.start or file.following > ledger.following:
        yield f"{file.path} is not within the offsets {ledger.start} to {ledger.following} of the log"


def _overlapping(files: Sequence[ArchivedFile]) -> Iterator[list[ArchivedFile]]:
    """Yields the files in groups that share no offset with another group."""
    group: list[ArchivedFile] = []
    end = 0
    for file in sorted(files, key=lambda file: file.first):
        if group and file.first >= end:
            yield group
            group = []
        group.append(file)
        end = max(end, file.following)
    if group:
        yield group
