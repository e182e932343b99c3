"""The loop that puts the values of columns into rows, each behind its length: PostgreSQL's binary COPY and arrays."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

from schemas.compiled import BYTES, NOTHING, NUMBER, READ_BYTES, ROWS64, WORDS64, compiled, linked

_copy = linked("memcpy", NUMBER(NUMBER, NUMBER, NUMBER), ctypes.CDLL(None))
ALL_ALIKE = -1
"""In place of a row of widths: there is none, as all values of the column are as wide."""
_LENGTH_BYTES = 4

Array = npt.NDArray[Any]


@compiled(NOTHING, READ_BYTES, READ_BYTES, WORDS64, WORDS64, WORDS64, ROWS64, BYTES, NUMBER)
def pack(  # noqa: PLR0917 - compiled functions take no names
    prefix: Array, data: Array, starts: Array, sizes: Array, width_rows: Array, widths: Array, out: Array, rows: int
) -> None:
    """Writes so many rows to `out`: the prefix, then of each column the length of its value and the value.

    A column's values stand in `data` from its entry of `starts` on, one after another, each in `sizes` bytes; where
    that is 0, each takes as many as it is wide. `width_rows` says which row of `widths` has a column's widths, -1 for
    null; where it is ALL_ALIKE, all values are as wide as their size. Shapes: `starts`, `sizes`, `width_rows`
    (columns,), `widths` (columns of different widths, rows).
    """
    next_value = starts.copy()
    at = 0
    for row in range(rows):
        for byte in range(len(prefix)):
            out[at] = prefix[byte]
            at += 1
        for column in range(len(starts)):
            size, width_row = sizes[column], width_rows[column]
            width = size if width_row == ALL_ALIKE else widths[width_row, row]
            place = np.uint64(at)
            out[place] = (width >> 24) & 0xFF
            out[place + np.uint64(1)] = (width >> 16) & 0xFF
            out[place + np.uint64(2)] = (width >> 8) & 0xFF
            out[place + np.uint64(3)] = width & 0xFF
            at += _LENGTH_BYTES
            if width > 0:
                _copy(out.ctypes.data + at, data.ctypes.data + next_value[column], width)
                at += width
            next_value[column] += size or max(width, 0)
