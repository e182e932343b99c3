"""The loop that puts the values of columns into rows, each behind its length: PostgreSQL's binary COPY and arrays.

Texts are read where polars has them, as Arrow's views (Arrow columnar format, "Variable-size Binary View Layout"): two
words, of which the first begins with the length. Up to 12 bytes follow it in place; a longer text is in a buffer, whose
number and the place in it are the second word.
"""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.compiled import BYTES, NOTHING, NUMBER, READ_BYTES, ROWS64, compiled, inlined, linked, word_at

_copy = linked("memcpy", NUMBER(NUMBER, NUMBER, NUMBER), ctypes.CDLL(None))
NONE = -1
"""In place of a view, and of a width, of null."""
# Columns of `columns`.
SIZE, VALUES, WIDTHS, BUFFERS, LEAD = range(5)
COLUMNS = 5
_LENGTH_BYTES, _WORD_BYTES = 4, 8
VIEW_BYTES = 16
_IN_PLACE = 12
LENGTH = _LOW_HALF = 0xFFFF_FFFF
"""The bits of a view's first word that are its length."""
_VERSION = 1

Array = npt.NDArray[Any]


@inlined
def value_of(columns: Array, column: int, row: int) -> tuple[Any, Any]:
    """Returns the bytes of a value, or NONE, and the address where they are.

    A column whose SIZE is not 0 has its values at the address VALUES, each in so many bytes; they are as wide, or as
    the words at WIDTHS say, if that is not 0. One of SIZE 0 has views there, and at BUFFERS the addresses of their
    buffers. Shape: `columns` (columns, 5).
    """
    size, values = columns[column, SIZE], columns[column, VALUES]
    if size:
        widths = columns[column, WIDTHS]
        width = word_at(widths + row * _WORD_BYTES) if widths else size
        return width, values + row * size
    view = values + row * VIEW_BYTES
    first = word_at(view)
    width = first & _LOW_HALF
    if first == NONE:
        return np.int64(NONE), view
    if width <= _IN_PLACE:
        return width, view + _LENGTH_BYTES
    second = word_at(view + _WORD_BYTES)
    buffer = word_at(columns[column, BUFFERS] + (second & _LOW_HALF) * _WORD_BYTES)
    return width, buffer + ((second >> 32) & _LOW_HALF)


@compiled(NOTHING, READ_BYTES, ROWS64, BYTES, NUMBER)
def pack(prefix: Array, columns: Array, out: Array, rows: int) -> None:
    """Writes so many rows to `out`: the prefix, then of each column the length of its value and the value.

    Where the values are, `value_of` says; before each of a column with LEAD comes the version of jsonb.
    """
    at = 0
    for row in range(rows):
        for byte in range(len(prefix)):
            out[at] = prefix[byte]
            at += 1
        for column in range(len(columns)):
            width, source = value_of(columns, column, row)
            lead = np.int64(0) if width == NONE else columns[column, LEAD]
            length, place = width + lead, np.uint64(at)
            out[place] = (length >> 24) & 0xFF
            out[place + np.uint64(1)] = (length >> 16) & 0xFF
            out[place + np.uint64(2)] = (length >> 8) & 0xFF
            out[place + np.uint64(3)] = length & 0xFF
            at += _LENGTH_BYTES
            if lead:
                out[at] = _VERSION
                at += 1
            if width > 0:
                _copy(out.ctypes.data + at, source, width)
                at += width
