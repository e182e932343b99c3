"""Frames as PostgreSQL's binary COPY format, and columns as its binary arrays, without a Python object a value.

Format: PostgreSQL documentation, COPY, "Binary Format"; a field is its length (int32, -1 for null) and its bytes, all
big endian (`projections.binary_field` has the bytes of each type). An array is its dimensions, its type and its fields
(src/backend/utils/adt/arrayfuncs.c, array_recv).
"""

import struct
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from projections import field_kernel
from projections.binary_field import Field, Fixed, Texts, field, oid
from schemas.value_block import Ints

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
    found = fields(frame, columns)
    return _packed(struct.pack(">h", len(found)), found, len(frame))


def fields(frame: pl.DataFrame, columns: Mapping[str, str]) -> list[Field]:
    """Returns the values of the columns, which are name → SQL type. Raises UnsupportedColumnError."""
    return [field(frame.get_column(name), sql_type) for name, sql_type in columns.items()]


def binary_array(column: pl.Series, sql_type: str) -> bytes:
    """Returns a column as a one-dimensional array in PostgreSQL's binary format. Raises UnsupportedColumnError."""
    head = struct.pack(">iiI", 1, int(column.null_count() > 0), oid(sql_type)) + struct.pack(">ii", len(column), 1)
    return head + _packed(b"", [field(column, sql_type)], len(column))


def _packed(prefix: bytes, found: Sequence[Field], rows: int) -> memoryview:
    """Returns the bytes of the rows: the prefix, then of each field its length and its value."""
    total = rows * (len(prefix) + _LENGTH_BYTES * len(found)) + sum(made.total_bytes for made in found)
    out = np.empty(total, np.uint8)
    field_kernel.pack(np.frombuffer(prefix, np.uint8), layout(found), out, rows)
    return out.data


def layout(found: Sequence[Field]) -> Ints:
    """Returns where the values of the fields are, as `field_kernel.value_of` takes it; the fields keep them there."""
    columns = np.zeros((len(found), field_kernel.COLUMNS), np.int64)
    for column, made in zip(columns, found, strict=True):
        match made:
            case Fixed():
                column[field_kernel.SIZE] = made.size
                column[field_kernel.VALUES] = made.data.ctypes.data
                if made.widths is not None:
                    column[field_kernel.WIDTHS] = made.widths.ctypes.data
            case Texts():
                column[field_kernel.VALUES] = made.views.ctypes.data
                column[field_kernel.BUFFERS] = made.buffers.ctypes.data
                column[field_kernel.LEAD] = made.lead
    return columns
