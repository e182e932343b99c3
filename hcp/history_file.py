"""Rows of a user's CSV, Parquet and Avro files, each with its place."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from hcp.history_mapping import HistoryError

_FRAMES = {".parquet": pl.read_parquet, ".avro": pl.read_avro}
SUFFIXES = (".csv", *_FRAMES)


@dataclass(frozen=True, slots=True)
class HistoryFile:
    """A file: its columns, and its rows, once, with their line (CSV; line 1 is the header) or number (from 1)."""

    path: Path
    columns: Sequence[str]
    rows: Iterator[tuple[int, Mapping[str, object]]] = field(repr=False)


def files(path: Path) -> list[Path]:
    """Returns the file, or those of a folder whose names end as a history's do, by name. Raises HistoryError."""
    found = [path] if path.is_file() else sorted(p for p in path.glob("*") if p.suffix.lower() in SUFFIXES)
    if not found or found[0].suffix.lower() not in SUFFIXES:
        raise HistoryError(f"{path}: expected a file, or a folder with files, of {', '.join(SUFFIXES)}")
    return found


def opened(path: Path) -> HistoryFile:
    """Returns a file to be read. Raises HistoryError, and so do its rows."""
    if path.suffix.lower() == ".csv":
        rows = _csv_rows(path)
        _, header = next(rows)
        columns = [str(name) for name in header]
        return HistoryFile(path, columns, ((line, _named(columns, cells)) for line, cells in rows))
    try:
        frame = _FRAMES[path.suffix.lower()](path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise HistoryError(f"{path} cannot be read: {error}") from error
    return HistoryFile(path, frame.columns, enumerate(frame.iter_rows(named=True), start=1))


def _csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    # The standard reader knows on which line a row is, whatever is quoted before it.
    try:
        with path.open(newline="", encoding="utf-8-sig") as text:
            reader = csv.reader(text, strict=True)
            header = next(reader, None)
            if not header:
                raise HistoryError(f"{path} is empty: expected a line with the names of the columns")
            yield reader.line_num, header
            for cells in reader:
                if cells:
                    yield reader.line_num, cells
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise HistoryError(f"{path} cannot be read: {error}") from error


def _named(columns: Sequence[str], cells: Sequence[str]) -> dict[str, object]:
    # A row that ends early has blank cells; what is past the last column belongs to none.
    return dict.fromkeys(columns) | dict(zip(columns, cells, strict=False))
