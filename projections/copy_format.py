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
from projections.binary_field import Field, Fixed, Texts, field, oid

HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
TRAILER = b"\xff\xff"
_LENGTH_BYTES = 4
_NO_BYTES = np.zeros(0, np.uint8)


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
    columns = np.full((len(fields), copy_kernel.COLUMNS), copy_kernel.NONE)
    data, widths = [_NO_BYTES], [np.zeros((0, rows), np.int64)]
    views, buffers = [np.zeros((0, 2), np.int64)], [np.zeros(0, np.int64)]
    start = first_buffer = 0
    for number, made in enumerate(fields):
        match made:
            case Fixed():
                columns[number, [copy_kernel.SIZE, copy_kernel.START]] = made.size, start
                data.append(made.data)
                start += len(made.data)
                if made.widths is not None:
                    columns[number, copy_kernel.WIDTHS] = len(widths) - 1
                    widths.append(made.widths.reshape(1, -1))
            case Texts():
                place = [copy_kernel.SIZE, copy_kernel.VIEWS, copy_kernel.BUFFERS, copy_kernel.LEAD]
                columns[number, place] = 0, (len(views) - 1) * rows, first_buffer, made.lead
                views.append(made.views)
                buffers.append(made.buffers)
                first_buffer += len(made.buffers)
    total = rows * (len(prefix) + _LENGTH_BYTES * len(fields)) + sum(made.total_bytes for made in fields)
    out = np.empty(total, np.uint8)
    copy_kernel.pack(
        np.frombuffer(prefix, np.uint8), columns, np.concatenate(data), np.concatenate(widths), np.concatenate(views),
        np.concatenate(buffers), out, rows,
    )  # fmt: skip
    return out.data
