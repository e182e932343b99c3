"""The loop that takes the steps of a program through every value of a batch: Avro 1.12, "Binary encoding".

Each value is read by itself: one that is not what the schema says is marked, and costs no other anything. Nothing is
read beyond a value's end, and nothing is written beyond a column's: of each level there are as many places as the bytes
of all values can fill (`schemas.avro_program.Program.least_bytes`).

All constants of the loop are of this module: its machine code is made anew when this file changes, and no other.
"""

# ruff: noqa: PLR1714, SIM109 - what compiles well is compared one by one

from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import types

from schemas.compiled import BYTES, NOTHING, NUMBER, READ_BYTES, ROWS64, WORDS32, WORDS64, compiled, inlined


class Op(IntEnum):
    """What a step reads."""

    DONE = 0
    """The end of the value."""
    OPTION = 1
    """The number of a union's branch; `argument` is that of null. The next step reads the other branch."""
    BOOLEAN = 2
    INT = 3
    LONG = 4
    TIME_MS = 5
    FLOAT = 6
    DOUBLE = 7
    BYTES = 8
    TEXT = 9
    SYMBOL = 10
    """An enum: `argument` is where its first symbol is among the program's."""
    DECIMAL = 11
    ARRAY = 12
    """`argument` is the level of its items, whose steps follow, up to its ITEM; `limit` is the step behind that."""
    ITEM = 13
    """The end of an item; `argument` is the step that is its ARRAY."""


GOOD, OTHER, BAD = 0, 1, 2
"""What becomes of a value: read, of another schema (or of none), or not what its schema says."""

# Columns of a step; the places of its column are counted in units of what one takes.
OP, LEVEL, ARGUMENT, LIMIT, CELLS, NULLS, TEXT = range(7)
STEP_COLUMNS = 7
NOWHERE = -1

_HEADER_BYTES = 5
_MOST_NESTED = 8
_DECIMAL_BYTES = 16
# What a datetime holds: 0001-01-01 to 9999-12-31T23:59:59.999, milliseconds since the epoch.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
_NOT_ASCII = -0x7F7F7F7F7F7F7F80
"""The highest bit of each of eight bytes."""
_INT_MIN, _INT_MAX = -(2**31), 2**31 - 1

(_DONE, _OPTION, _BOOLEAN, _INT, _LONG, _TIME_MS, _FLOAT, _DOUBLE, _BYTES, _TEXT, _SYMBOL, _DECIMAL, _ARRAY, _ITEM) = (
    int(op) for op in Op
)

Array = npt.NDArray[Any]


@inlined
def _word(data: Array, at: int, size: int) -> Any:
    """Returns so many bytes as a number, the low ones first."""
    value = np.int64(0)
    start = np.uint64(at)
    for byte in range(size):
        value |= np.int64(data[start + np.uint64(byte)]) << (8 * byte)
    return value


@inlined
def _put_word(area: Array, at: Any, word: Any) -> None:
    """Writes a number as eight bytes, the low ones first."""
    start = np.uint64(at)
    for byte in range(8):
        area[start + np.uint64(byte)] = (word >> (8 * byte)) & 0xFF


@compiled(types.boolean, READ_BYTES, NUMBER, NUMBER)
def _is_utf8(data: Array, at: int, end: int) -> bool:
    """The Unicode Standard, table 3-7, "Well-Formed UTF-8 Byte Sequences"."""
    while at < end:
        first = data[at]
        if first < 0x80:
            at += 1
            continue
        if first < 0xC2 or first > 0xF4:
            return False
        more = 1 if first < 0xE0 else 2 if first < 0xF0 else 3
        if at + more >= end:
            return False
        low = 0xA0 if first == 0xE0 else 0x90 if first == 0xF0 else 0x80
        high = 0x9F if first == 0xED else 0x8F if first == 0xF4 else 0xBF
        if data[at + 1] < low or data[at + 1] > high:
            return False
        for byte in range(2, more + 1):
            if data[at + byte] < 0x80 or data[at + byte] > 0xBF:
                return False
        at += more + 1
    return True


@compiled(NOTHING, NUMBER, ROWS64, WORDS64, WORDS64, WORDS64)
def _undo(row: int, steps: Array, area64: Array, counts: Array, filled: Array) -> None:
    """Empties the place of a value that broke off: what it put into columns of texts and arrays is taken back."""
    counts[0] = row
    for step in range(len(steps)):
        op, cells = steps[step, OP], steps[step, CELLS]
        if cells == NOWHERE:
            continue
        place = cells + counts[steps[step, LEVEL]]
        if op == _ARRAY:
            counts[steps[step, ARGUMENT]] = area64[place]
        elif op == _BYTES or op == _TEXT or op == _SYMBOL:
            filled[step] = area64[place]
        else:
            continue
        if steps[step, LEVEL] == 0:
            area64[place + 1] = area64[place]


@compiled(
    NOTHING, READ_BYTES, WORDS64, READ_BYTES, ROWS64, READ_BYTES, WORDS64, BYTES, WORDS32, WORDS64, WORDS64, WORDS64,
    BYTES,
)  # fmt: skip
def decode(  # noqa: C901, PLR0912, PLR0915, PLR0917 - one loop: a call would cost more than a step does
    data: Array, starts: Array, header: Array, steps: Array, symbols: Array, symbol_starts: Array, area8: Array,
    area32: Array, area64: Array, counts: Array, filled: Array, became: Array,
) -> None:  # fmt: skip
    """Reads all values; `became` (n,) says what became of each.

    `area8`, `area32` and `area64` are one area, in which a step's column begins at its CELLS. Columns of texts, bytes
    and arrays hold where each place ends, after a first 0; the bytes begin at TEXT, and `filled` counts them.
    `counts` are the places filled of each level.
    """
    left = np.zeros(_MOST_NESTED, np.int64)
    for row in range(len(became)):
        at, end = starts[row], starts[row + 1]
        is_ours = end - at >= _HEADER_BYTES
        if is_ours:
            for byte in range(_HEADER_BYTES):
                is_ours &= data[at + byte] == header[byte]
        if not is_ours:
            became[row] = OTHER
            _undo(row, steps, area64, counts, filled)
            continue
        counts[0] = row
        at += _HEADER_BYTES
        step, depth, is_null, is_block_size = 0, -1, False, False
        number = np.int64(0)
        while at >= 0:
            op = steps[step, OP]
            if op == _DONE:
                if at != end:
                    at = -1
                break
            if op == _ITEM:
                counts[steps[step, LEVEL]] += 1
                left[depth] -= 1
                step = steps[step, ARGUMENT]
                if left[depth] > 0:
                    step += 1
                    continue
                # What follows is the number of items in the next block.
                depth -= 1
                op = _ARRAY
            cells = steps[step, CELLS]
            place = cells + counts[steps[step, LEVEL]]
            if is_null:
                is_null = False
                if cells != NOWHERE:
                    if op == _BOOLEAN:
                        area8[place] = 0
                    elif op == _INT or op == _FLOAT:
                        area32[place] = 0
                    elif op == _BYTES or op == _TEXT or op == _SYMBOL:
                        area64[place + 1] = filled[step]
                    elif op != _DECIMAL:
                        area64[place] = 0
                step += 1
                continue
            if op == _DOUBLE or op == _FLOAT:
                size = 8 if op == _DOUBLE else 4
                if end - at < size:
                    at = -1
                    continue
                if cells != NOWHERE:
                    if op == _DOUBLE:
                        area64[place] = _word(data, at, 8)
                    else:
                        area32[place] = _word(data, at, 4)
                at += size
                step += 1
                continue
            if op == _BOOLEAN:
                if at >= end or data[at] > 1:
                    at = -1
                    continue
                if cells != NOWHERE:
                    area8[place] = data[at]
                at += 1
                step += 1
                continue
            # All others begin with a number: seven bits a byte, the low ones first.
            bits, shift, more = np.int64(0), 0, np.int64(0x80)
            while more >= 0x80 and at < end and shift < 70:
                more = np.int64(data[at])
                bits |= (more & 0x7F) << shift
                at += 1
                shift += 7
            if more >= 0x80 or (shift == 70 and more > 1):
                at = -1
                continue
            # Zig-zag; the shift has to bring in a zero.
            read: Any = ((bits >> 1) & 0x7FFFFFFFFFFFFFFF) ^ -(bits & 1)
            if op == _OPTION:
                is_null = read == steps[step, ARGUMENT]
                step += 1
                if read != 0 and read != 1:
                    at = -1
                elif steps[step, NULLS] != NOWHERE:
                    # Said of values too: a value that broke off may have left a null in this place.
                    area8[steps[step, NULLS] + counts[steps[step, LEVEL]]] = 0 if is_null else 1
                continue
            if op == _ARRAY:
                if is_block_size:
                    is_block_size = False
                else:
                    number = read
                    if number < 0:
                        number = -number
                        is_block_size = True
                        continue
                # An item takes a byte at least.
                if number < 0 or number > end - at or depth + 1 == _MOST_NESTED:
                    at = -1
                elif number:
                    depth += 1
                    left[depth] = number
                    step += 1
                else:
                    if cells != NOWHERE:
                        area64[place + 1] = counts[steps[step, ARGUMENT]]
                    step = steps[step, LIMIT]
                continue
            if op == _LONG or op == _TIME_MS:
                if op == _TIME_MS and (read < _FIRST_MS or read > _LAST_MS):
                    at = -1
                    continue
                if cells != NOWHERE:
                    area64[place] = read
            elif op == _INT:
                if read < _INT_MIN or read > _INT_MAX:
                    at = -1
                    continue
                if cells != NOWHERE:
                    area32[place] = read
            elif op == _SYMBOL:
                if read < 0 or read >= steps[step, LIMIT]:
                    at = -1
                    continue
                if cells != NOWHERE:
                    start = symbol_starts[steps[step, ARGUMENT] + read]
                    size = symbol_starts[steps[step, ARGUMENT] + read + 1] - start
                    to = steps[step, TEXT] + filled[step]
                    for byte in range(size):
                        area8[to + byte] = symbols[start + byte]
                    filled[step] += size
                    area64[place + 1] = filled[step]
            elif read < 0 or read > end - at or (op == _DECIMAL and read > _DECIMAL_BYTES):
                at = -1
                continue
            elif op == _DECIMAL:
                if cells != NOWHERE:
                    low = high = np.int64(-1) if read and data[at] >= 0x80 else np.int64(0)
                    for byte in range(read):
                        high = (high << 8) | ((low >> 56) & 0xFF)
                        low = (low << 8) | np.int64(data[at + byte])
                    area64[place * 2 - cells] = low
                    area64[place * 2 - cells + 1] = high
                at += read
            else:
                # Eight bytes at once; the last eight may overlap those before them.
                seen, byte = np.int64(0), 0
                to = area8.size if cells == NOWHERE else steps[step, TEXT] + filled[step]
                while byte < read:
                    if read < 8:
                        word = np.int64(data[at + byte])
                        if cells != NOWHERE:
                            area8[to + byte] = word
                        byte += 1
                        seen |= word
                        continue
                    place8 = min(read - 8, byte)
                    word = _word(data, at + place8, 8)
                    seen |= word
                    if cells != NOWHERE:
                        _put_word(area8, to + place8, word)
                    byte += 8
                if op == _TEXT and seen & _NOT_ASCII and not _is_utf8(data, at, at + read):
                    at = -1
                    continue
                if cells != NOWHERE:
                    filled[step] += read
                    area64[place + 1] = filled[step]
                at += read
            step += 1
        became[row] = GOOD if at >= 0 else BAD
        if at < 0:
            _undo(row, steps, area64, counts, filled)
