"""Frames as PostgreSQL's binary COPY format, and columns as its binary arrays, without a Python object a value.

Format: PostgreSQL documentation, COPY, "Binary Format"; a field is its length (int32, -1 for null) and its bytes, all
big endian (`projections.binary_field` has the bytes of each type). An array is its dimensions, its type and its fields
(src/backend/utils/adt/arrayfuncs.c, array_recv).

Values go to their places column by column, as items of one size: copying those is several times faster than placing
bytes.
"""

import struct
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from projections.binary_field import Field, Items, field, oid, widest
from schemas.byte_span import spans

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]

HEADER = b"PGCOPY\n\xff\r\n\x00" + b"\x00" * 8
TRAILER = b"\xff\xff"
_LENGTH_BYTES = 4
_MATRIX_BYTES = 64 * 2**20
"""A frame whose matrix would be larger is cut in two: one long text must not make all rows as long."""


def binary_copy(frame: pl.DataFrame, columns: Mapping[str, str]) -> bytes:
    """Returns the rows of a frame as one binary COPY stream, header and trailer included.

    `columns` are name → SQL type. Raises UnsupportedColumnError.
    """
    return b"".join([HEADER, *binary_rows(frame, columns), TRAILER])


def binary_rows(frame: pl.DataFrame, columns: Mapping[str, str]) -> list[memoryview]:
    """Returns what stands between header and trailer, in pieces. Raises UnsupportedColumnError."""
    chosen = [frame.get_column(name) for name in columns]
    if len(frame) > 1 and _matrix_bytes(chosen) > _MATRIX_BYTES:
        half = len(frame) // 2
        return [*binary_rows(frame[:half], columns), *binary_rows(frame[half:], columns)]
    fields = [field(column, sql_type) for column, sql_type in zip(chosen, columns.values(), strict=True)]
    return [_packed(struct.pack(">h", len(fields)), fields, len(frame))]


def binary_array(column: pl.Series, sql_type: str) -> bytes:
    """Returns a column as a one-dimensional array in PostgreSQL's binary format. Raises UnsupportedColumnError."""
    head = struct.pack(">iiI", 1, int(column.null_count() > 0), oid(sql_type)) + struct.pack(">ii", len(column), 1)
    return head + b"".join(_array_parts(column, sql_type))


def _array_parts(column: pl.Series, sql_type: str) -> list[memoryview]:
    if len(column) > 1 and _matrix_bytes([column]) > _MATRIX_BYTES:
        half = len(column) // 2
        return [*_array_parts(column[:half], sql_type), *_array_parts(column[half:], sql_type)]
    return [_packed(b"", [field(column, sql_type)], len(column))]


def _matrix_bytes(columns: Sequence[pl.Series]) -> int:
    return len(columns[0]) * sum(_LENGTH_BYTES + widest(column) for column in columns)


def _packed(prefix: bytes, fields: Sequence[Field], n: int) -> memoryview:
    """Returns the bytes of n rows: the prefix, then of each field its length and its value."""
    if not n:
        return memoryview(b"")
    ends = np.cumsum(np.full(n, len(prefix) + sum(_LENGTH_BYTES + made.widths for made in fields)))
    out, at = np.empty(int(ends[-1]), np.uint8), np.concatenate([[0], ends[:-1]])
    # What is as long in all rows is collected, and copied as one item a row.
    template, places = bytearray(prefix), list[tuple[int, Items]]()
    for made in fields:
        places.append((len(template), made.length))
        template += bytes(_LENGTH_BYTES)
        if made.cells is None:
            continue
        if made.is_even:
            places.append((len(template), made.cells))
            template += bytes(made.size)
        else:
            at = _put_block(out, at, template, places)
            at = _put_ragged(out, at, ends, made.cells, made.widths)
            template, places = bytearray(), []
    _put_block(out, at, template, places)
    return out.data


def _put_block(out: Bytes, at: Ints, template: bytearray, places: Sequence[tuple[int, Items]]) -> Ints:
    """Writes a block of each row; returns where the rows go on."""
    width = len(template)
    if not width:
        return at
    block = np.empty((len(at), width), np.uint8)
    block[:] = np.frombuffer(template, np.uint8)
    for column, items in places:
        np.ndarray((len(at),), items.dtype, block, column, (width,))[:] = items
    spans(out, width)[at] = block.view(f"V{width}").reshape(-1)
    return at + width


def _put_ragged(out: Bytes, at: Ints, ends: Ints, cells: Items, widths: Ints) -> Ints:
    """Writes values of different widths; returns where the rows go on.

    A value is copied with what follows it in its cell, which the next field overwrites; where that would leave the row,
    without, all values of one width at a time.
    """
    size = cells.itemsize
    is_inside = at + size <= ends
    if is_inside.all():
        spans(out, size)[at] = cells
        return at + widths
    if is_inside.any():
        spans(out, size)[at[is_inside]] = cells[is_inside]
    outside = np.flatnonzero(~is_inside)
    # Sorted by width, so that each is looked for once.
    outside = outside[np.argsort(widths[outside], kind="stable")]
    found, firsts = np.unique(widths[outside], return_index=True)
    for width, rows in zip(found.tolist(), np.split(outside, firsts[1:]), strict=True):
        if width:
            some = np.ascontiguousarray(cells[rows])
            spans(out, width)[at[rows]] = np.ndarray((len(rows),), f"V{width}", some, 0, (size,))
    return at + widths
