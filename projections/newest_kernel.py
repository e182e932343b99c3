"""The loop that finds the newest row of each key: a table of hashes beside one sort of all rows and their texts."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from projections.copy_kernel import value_of
from schemas.compiled import NUMBER, ROWS64, WORDS32, WORDS64, byte_at, compiled, inlined, linked, word_at

EMPTY = -1
_WORD_BYTES = 8
_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""Odd, its bits without a pattern: 2**64 divided by the golden ratio (Knuth, The Art of Computer Programming, 6.4)."""

_compare = linked("memcmp", types.int32(NUMBER, NUMBER, NUMBER), ctypes.CDLL(None))

Array = npt.NDArray[Any]


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
def find(columns: Array, order: Array, slots: Array, newest: Array) -> int:
    """Fills `newest` with the newest row of each key and returns how many there are.

    Where the values of the keys are, `copy_kernel.value_of` says. Row i is newer than j where (order[0, i],
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
