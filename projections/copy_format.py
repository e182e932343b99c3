"""Frames as PostgreSQL's binary COPY format, and columns as its binary arrays, without a Python object a value.

Format: PostgreSQL documentation, COPY, "Binary Format"; a field is its length (int32, -1 for null) and its bytes, all
big endian (`projections.binary_field` has the bytes of each type). An array is its dimensions, its type and its fields
(src/backend/utils/adt/arrayfuncs.c, array_recv).
"""

import struct
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from projections import copy_kernel
from projections.binary_field import Field, field, oid

HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
TRAILER = b"\xff\xff"
_LENGTH_BYTES = 4


def binary_copy(frame: pl.DataFrame, columns: Mapping[str, str]) -> bytes:
    """Returns the rows of a frame as one binary COPY stream, header and trailer included.

    `columns` are name → SQL type. Raises UnsupportedColumnError.
    """
    return b"".join([HEADER, binary_rows(frame, columns), TRAILER])


def binary_rows(frame: pl.DataFrame, columns: Mapping[str, str]) -> memoryview:
    """Returns what stands between header and trailer. Raises UnsupportedColumnError."""
    fields = [field(frame.get_column(name), sql_type) for name, sql_type in columns.items()]
    return _packed(struct.pack(">h", len(fields)), fields, len(frame))


def binary_array(column: pl.Series, sql_type: str) -> bytes:
    """Returns a column as a one-dimensional array in PostgreSQL's binary format. Raises UnsupportedColumnError."""
    head = struct.pack(">iiI", 1, int(column.null_count() > 0), oid(sql_type)) + struct.pack(">ii", len(column), 1)
    return head + _packed(b"", [field(column, sql_type)], len(column))


def _packed(prefix: bytes, fields: Sequence[Field], rows: int) -> memoryview:
    """Returns the bytes of the rows: the prefix, then of each field its length and its value."""
    uneven = [made.widths for made in fields if made.widths is not None]
    widths = np.stack(uneven) if uneven else np.zeros((0, rows), np.int64)
    even_bytes = sum(made.size for made in fields if made.widths is None)
    total = rows * (len(prefix) + _LENGTH_BYTES * len(fields) + even_bytes) + int(widths.clip(0).sum())
    numbers = iter(range(len(uneven)))
    out = np.empty(total, np.uint8)
    copy_kernel.pack(
        np.frombuffer(prefix, np.uint8),
        np.concatenate([made.data for made in fields]),
        np.cumsum([0, *(len(made.data) for made in fields[:-1])]),
        np.array([made.size for made in fields]),
        np.array([copy_kernel.ALL_ALIKE if made.widths is None else next(numbers) for made in fields]),
        widths,
        out,
        rows,
    )
    return out.data
