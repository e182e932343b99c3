"""Frames as PostgreSQL's binary COPY format, built column by column without a Python object a value.

Format: PostgreSQL documentation, COPY, "Binary Format"; a field is its length (int32, -1 for null) and its bytes, all
big endian. Timestamps are microseconds since 2000-01-01; text is UTF-8.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
TRAILER = b"\xff\xff"
_POSTGRES_EPOCH_US = 946_684_800_000_000

Bytes = npt.NDArray[np.uint8]
Integers = npt.NDArray[np.int64]


class UnsupportedColumnError(ValueError):
    """The SQL type has no binary encoding here; the message names the column."""


@dataclass(frozen=True, slots=True)
class _Fields:
    """One column's fields: `width` is the bytes of each value, 0 for null; `data` is the values one after another."""

    width: Integers
    is_null: npt.NDArray[np.bool_]
    data: Bytes


def binary_copy(frame: pl.DataFrame, columns: Mapping[str, str]) -> bytes:
    """Returns the rows of a frame as one binary COPY stream, header and trailer included.

    `columns` are name → SQL type (text, integer, bigint, double precision, timestamptz). Raises UnsupportedColumnError.
    """
    n = len(frame)
    fields = [_fields(frame[name], sql_type) for name, sql_type in columns.items()]
    widths = sum((column.width for column in fields), np.zeros(n, np.int64)) + 2 + 4 * len(fields)
    starts = np.cumsum(widths) - widths
    out = np.empty(int(widths.sum()), np.uint8)
    _scatter(out, starts, np.full(n, len(fields), ">i2"))
    position = starts + 2
    for column in fields:
        _scatter(out, position, np.where(column.is_null, -1, column.width).astype(">i4"))
        position = position + 4
        _scatter_ragged(out, position, column)
        position = position + column.width
    return HEADER + out.tobytes() + TRAILER


def _fields(column: pl.Series, sql_type: str) -> _Fields:
    is_null = column.is_null().to_numpy()
    match sql_type:
        case "text":
            return _text(column, is_null)
        case "timestamptz":
            micros = column.cast(pl.Datetime("us", "UTC")).to_physical().fill_null(0).to_numpy()
            return _fixed((micros - _POSTGRES_EPOCH_US).astype(">i8"), is_null)
        case "double precision":
            return _fixed(column.cast(pl.Float64).fill_null(0.0).to_numpy().astype(">f8"), is_null)
        case "integer":
            return _fixed(column.cast(pl.Int32).fill_null(0).to_numpy().astype(">i4"), is_null)
        case "bigint":
            return _fixed(column.cast(pl.Int64).fill_null(0).to_numpy().astype(">i8"), is_null)
        case _:
            raise UnsupportedColumnError(f"{column.name}: no binary COPY of {sql_type}")


def _fixed(values: npt.NDArray[Any], is_null: npt.NDArray[np.bool_]) -> _Fields:
    width = np.where(is_null, 0, values.dtype.itemsize).astype(np.int64)
    return _Fields(width, is_null, np.ascontiguousarray(values[~is_null]).view(np.uint8))


def _text(column: pl.Series, is_null: npt.NDArray[np.bool_]) -> _Fields:
    width = column.str.len_bytes().fill_null(0).to_numpy().astype(np.int64)
    # One string of all of them: nulls drop out, and so have no bytes.
    joined = column.str.join("").item() if len(column) else ""
    return _Fields(width, is_null, np.frombuffer((joined or "").encode(), np.uint8))


def _scatter(out: Bytes, position: Integers, values: npt.NDArray[Any]) -> None:
    size = values.dtype.itemsize
    source = values.view(np.uint8).reshape(-1, size)
    for byte in range(size):
        out[position + byte] = source[:, byte]


def _scatter_ragged(out: Bytes, position: Integers, column: _Fields) -> None:
    if not len(column.data):
        return
    first = int(column.width[0])
    if (column.width == first).all():
        _scatter(out, position, column.data.reshape(-1, first).view(f"V{first}").reshape(-1))
        return
    ends = np.cumsum(column.width)
    shift = np.repeat(position - (ends - column.width), column.width)
    out[np.arange(len(column.data)) + shift] = column.data
