"""The loops over values of columns where they lie: rows for PostgreSQL's COPY and arrays, and the newest row of a key.

Texts are read where polars has them, as Arrow's views (Arrow columnar format, "Variable-size Binary View Layout"): two
words, of which the first begins with the length. Up to 12 bytes follow it in place; a longer text is in a buffer, whose
number and the place in it are the second word.

All that the loops are made of is here or in `schemas.compiled`: their machine code is made anew when this file changes.
"""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from schemas.compiled import (
    BYTES,
    NOTHING,
    NUMBER,
    READ_BYTES,
    ROWS64,
    WORDS32,
    WORDS64,
    byte_at,
    compiled,
    inlined,
    linked,
    word_at,
)

_copy = linked("memcpy", NUMBER(NUMBER, NUMBER, NUMBER), ctypes.CDLL(None))
_compare = linked("memcmp", types.int32(NUMBER, NUMBER, NUMBER), ctypes.CDLL(None))
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
EMPTY = -1
"""A place of the table of hashes that no key has."""
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd, its bits without a pattern: 2**64 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4)."""

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


@inlined
def _folded(value: Any, width: int, source: int) -> Any:
    """Returns a hash with a value's bytes folded in by words, of which the last may overlap the one before."""
    value = (value ^ np.uint64(width)) * _FACTOR
    end = source + width
    if width < _WORD_BYTES:
        while source < end:
            value = (value ^ np.uint64(byte_at(source))) * _FACTOR
            source += 1
        return value
    while source < end - _WORD_BYTES:
        value = (value ^ np.uint64(word_at(source))) * _FACTOR
        source += _WORD_BYTES
    return (value ^ np.uint64(word_at(end - _WORD_BYTES))) * _FACTOR


@inlined
def _hash(columns: Array, row: int) -> Any:
    value = np.uint64(0)
    for column in range(len(columns)):
        width, source = value_of(columns, column, row)
        value = _folded(value, width, source)
    value = (value ^ (value >> np.uint64(32))) * _FACTOR
    return value ^ (value >> np.uint64(32))


@inlined
def _is_same(columns: Array, row: int, held: int) -> Any:
    for column in range(len(columns)):
        width, source = value_of(columns, column, row)
        held_width, held_source = value_of(columns, column, held)
        if width != held_width or (width > 0 and _compare(source, held_source, width)):
            return False
    return True


@inlined
def _is_newer(order: Array, row: int, held: int) -> Any:
    for column in range(len(order)):
        if order[column, row] != order[column, held]:
            return order[column, row] > order[column, held]
    return row > held


@compiled(NUMBER, ROWS64, ROWS64, WORDS32, WORDS64)
def find_newest(columns: Array, order: Array, slots: Array, newest: Array) -> int:
    """Fills `newest` with the newest row of each key, by a table of hashes, and returns how many there are.

    Where the values of the keys are, `value_of` says. Row i is newer than j where (order[0, i],
    order[1, i], …) is greater, or as great and i behind j. `slots` have to be EMPTY, more than rows, and a power of
    two. Shapes: `newest` (n,), `order` (k, n).
    """
    mask = np.uint64(len(slots) - 1)
    count = 0
    for row in range(len(newest)):
        at = _hash(columns, row) & mask
        while slots[at] != EMPTY and not _is_same(columns, row, newest[slots[at]]):
            at = (at + np.uint64(1)) & mask
        if slots[at] == EMPTY:
            slots[at] = count
            newest[count] = row
            count += 1
        elif _is_newer(order, row, newest[slots[at]]):
            newest[slots[at]] = row
    return count
