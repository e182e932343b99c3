"""Frames to Parquet files of an archive and back: sorted by offset, with a fingerprint of their columns."""

import io
import zlib
from collections.abc import Iterator, Sequence

import polars as pl

from projections.archive_log import ArchivedFile

_ROW_GROUP = 100_000


def encoded(frame: pl.DataFrame) -> bytes:
    """Returns a frame as Parquet: zstd, statistics for every row group, so that a query can skip by offset or time."""
    out = io.BytesIO()
    frame.write_parquet(out, compression="zstd", statistics=True, row_group_size=_ROW_GROUP)
    return out.getvalue()


def decoded(data: bytes, columns: Sequence[str] | None = None) -> pl.DataFrame:
    """Returns the frame, or some columns of it."""
    return pl.read_parquet(io.BytesIO(data), columns=list(columns) if columns is not None else None)


def fingerprint(frame: pl.DataFrame) -> str:
    """Returns eight hexadecimal digits that frames of the same columns and types share."""
    return f"{zlib.crc32(repr(list(frame.schema.items())).encode()):08x}"


def mergeable(files: Sequence[ArchivedFile], file_rows: int, factor: int = 8) -> list[list[ArchivedFile]]:
    """Returns groups of files that are worth making one, each of a date and alike in columns and, roughly, in size.

    Sizes are tiers, each `factor` times the one before; `factor` files of a tier, or fewer that have `file_rows` rows
    together, make one. So a row is written again once a tier, a date keeps fewer than `factor` small files a tier, and
    no merge makes more than twice `file_rows` rows (the tiered compaction of LSM trees).
    """
    tiers: dict[tuple[str, str, int], list[ArchivedFile]] = {}
    for file in sorted(files, key=lambda file: file.first):
        if file.rows < file_rows:
            tiers.setdefault((file.date, file.columns, _tier(file.rows, factor)), []).append(file)
    return [group for alike in tiers.values() for group in _groups(alike, file_rows, factor)]


def _groups(alike: Sequence[ArchivedFile], file_rows: int, factor: int) -> Iterator[list[ArchivedFile]]:
    group: list[ArchivedFile] = []
    for file in alike:
        group.append(file)
        if len(group) == factor or sum(part.rows for part in group) >= file_rows:
            yield group
            group = []


def _tier(rows: int, factor: int) -> int:
    tier = 0
    while rows >= factor:
        rows //= factor
        tier += 1
    return tier
