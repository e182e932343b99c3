"""The loop that puts the values of columns into rows, each behind its length: PostgreSQL's binary COPY and arrays.

Texts are read where polars has them, as Arrow's views (Arrow columnar format, "Variable-size Binary View Layout"): two
words, of which the first begins with the length. Up to 12 bytes follow it in place; a longer text is in a buffer, whose
number and the place in it are the second word.
"""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.compiled import BYTES, NOTHING, NUMBER, READ_BYTES, ROWS64, WORDS64, compiled, linked

_copy = linked("memcpy", NUMBER(NUMBER, NUMBER, NUMBER), ctypes.CDLL(None))
NONE = -1
"""In place of a row of widths, where all values of a column are as wide; in place of a view, and a length, of null."""
# Columns of `columns`.
SIZE, START, WIDTHS, VIEWS, BUFFERS, LEAD = range(6)
COLUMNS = 6
_LENGTH_BYTES = 4
VIEW_BYTES = 16
_IN_PLACE = 12
_LOW_HALF = 0xFFFF_FFFF
_VERSION = 1

Array = npt.NDArray[Any]


@compiled(NOTHING, READ_BYTES, ROWS64, READ_BYTES, ROWS64, ROWS64, WORDS64, BYTES, NUMBER)
def pack(  # noqa: PLR0917 - compiled functions take no names
    prefix: Array, columns: Array, data: Array, widths: Array, views: Array, buffers: Array, out: Array, rows: int
) -> None:
    """Writes so many rows to `out`: the prefix, then of each column the length of its value and the value.

    A column whose SIZE is not 0 has its values in `data` from START on, each in so many bytes; they are as wide, or as
    its row of `widths` says. One of SIZE 0 has its texts in `views` from row VIEWS on, whose buffers are in `buffers`
    from BUFFERS on; before each come LEAD bytes (one: the version of jsonb). Shapes: `columns` (columns, 6), `widths`
    (columns with null, rows), `views` (texts, 2).
    """
    at = 0
    for row in range(rows):
        for byte in range(len(prefix)):
            out[at] = prefix[byte]
            at += 1
        for column in range(len(columns)):
            size = columns[column, SIZE]
            lead = np.int64(0)
            if size:
                width = size if columns[column, WIDTHS] == NONE else widths[columns[column, WIDTHS], row]
                source = data.ctypes.data + columns[column, START] + row * size
            else:
                view = columns[column, VIEWS] + row
                width, lead = views[view, 0] & _LOW_HALF, columns[column, LEAD]
                if views[view, 0] == NONE:
                    width, lead = np.int64(NONE), np.int64(0)
                    source = np.int64(0)
                elif width <= _IN_PLACE:
                    source = views.ctypes.data + view * VIEW_BYTES + _LENGTH_BYTES
                else:
                    where = views[view, 1]
                    source = buffers[columns[column, BUFFERS] + (where & _LOW_HALF)] + ((where >> 32) & _LOW_HALF)
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
