"""Values of one schema id as the columns of a frame, by the compiled loop of `schemas.avro_kernel`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nanoarrow
import numpy as np
import numpy.typing as npt
import polars as pl

from schemas import avro_kernel
from schemas.avro_kernel import Op
from schemas.avro_program import VARIABLE, Leaf, ListOf, Node, Program, StructOf, program
from schemas.value_block import ValueBlock

_CELL_BYTES = {Op.BOOLEAN: 1, Op.INT: 4, Op.FLOAT: 4, Op.DECIMAL: 16}
"""Bytes of a place of these; of all others, of which those of texts and arrays say where each ends, eight."""
_NUMBERS = {
    Op.INT: nanoarrow.int32,
    Op.LONG: nanoarrow.int64,
    Op.FLOAT: nanoarrow.float32,
    Op.DOUBLE: nanoarrow.float64,
}
_ALIGNMENT = 64


@dataclass(frozen=True, slots=True)
class Read:
    """What of a block is good: `rows` are the positions of the values in it, one for each row of `frame`.

    `others` are positions of values of another schema, or of none; `bad` of those that are not what theirs says.
    """

    frame: pl.DataFrame
    rows: npt.NDArray[np.int64]
    others: Sequence[int]
    bad: Sequence[int]


@dataclass(frozen=True, slots=True)
class _Filled:
    """Columns after the loop: `steps` as it had them, its area, and what is filled of each level and each step.

    The area is the next block's too: what is returned is copied out of it, as large as it came to be.
    """

    steps: npt.NDArray[np.int64]
    area: npt.NDArray[np.uint8]
    counts: npt.NDArray[np.int64]
    filled: npt.NDArray[np.int64]

    def cells(self, step: int, size: int, places: int) -> npt.NDArray[np.uint8]:
        """Returns the first places of a step's column, each of so many bytes."""
        start = int(self.steps[step, avro_kernel.CELLS]) * min(size, 8)
        return self.area[start : start + places * size].copy()

    def text(self, step: int) -> npt.NDArray[np.uint8]:
        """Returns the bytes of a step's column of texts."""
        start = int(self.steps[step, avro_kernel.TEXT])
        return self.area[start : start + int(self.filled[step])].copy()


class BlockReader:
    """Reads blocks; `sources` are the reader's fields → their names in the writer's schema.

    Frames have the reader's names and the writer's types. Raises UnsupportedTypeError where the program does. Not
    thread-safe: each block is read into the same memory.
    """

    def __init__(self, writer: Mapping[str, Any], sources: Mapping[str, str], header: bytes) -> None:
        self._program = program(writer, frozenset(sources.values()))
        self._sources = sources
        self._header = np.frombuffer(header, np.uint8)
        texts = [symbol.encode() for symbol in self._program.symbols]
        self._symbols = np.frombuffer(b"".join(texts) or b"\x00", np.uint8)
        self._symbol_starts = np.cumsum([0, *map(len, texts)])
        self._layout = _Layout(self._program, [len(text) for text in texts])
        self._area = np.empty(0, np.uint8)

    def read(self, block: ValueBlock) -> Read:
        """Returns what of the block is good."""
        filled, became = self._filled(block)
        frame = pl.DataFrame(
            [
                pl.Series(_arrow(self._program.columns[theirs], self._program, filled)).alias(name)
                for name, theirs in self._sources.items()
            ]
        )
        is_good = became == avro_kernel.GOOD
        rows = np.flatnonzero(is_good)
        if len(rows) < len(block):
            frame = frame.filter(pl.Series(is_good)) if self._sources else frame
            others, bad = ((np.flatnonzero(became == kind)).tolist() for kind in (avro_kernel.OTHER, avro_kernel.BAD))
            return Read(frame, rows, others, bad)
        return Read(frame, rows, (), ())

    def _filled(self, block: ValueBlock) -> tuple[_Filled, npt.NDArray[np.uint8]]:
        total = int(block.starts[-1] - block.starts[0])
        steps, size = self._layout.of(len(block), total)
        if size > len(self._area):
            self._area = np.empty(size, np.uint8)
        area = self._area
        for number, step in enumerate(self._program.steps):
            if step.is_kept and (step.op in VARIABLE or step.op is Op.ARRAY):
                area.view(np.int64)[steps[number, avro_kernel.CELLS]] = 0
        counts, filled = np.zeros(len(self._program.least_bytes), np.int64), np.zeros(len(steps), np.int64)
        became = np.empty(len(block), np.uint8)
        avro_kernel.decode(
            block.data, block.starts, self._header, steps, self._symbols, self._symbol_starts,
            area, area.view(np.int32), area.view(np.int64), counts, filled, became,
        )  # fmt: skip
        counts[0] = len(block)
        return _Filled(steps, area, counts, filled), became


class _Layout:
    """Where the columns of a program's steps are in the area that the loop fills.

    `symbol_bytes` are the lengths of its symbols.
    """

    def __init__(self, found: Program, symbol_bytes: Sequence[int]) -> None:
        self._program = found
        self._longest = {
            number: max(symbol_bytes[step.argument : step.argument + step.limit])
            for number, step in enumerate(found.steps)
            if step.op is Op.SYMBOL
        }

    def _places(self, level: int, rows: int, total: int) -> int:
        """Returns the most places of a level that so many values of so many bytes have."""
        return rows if level == 0 else total // self._program.least_bytes[level] + 1

    def of(self, rows: int, total: int) -> tuple[npt.NDArray[np.int64], int]:
        """Returns the steps as the loop takes them, and the bytes of the area for values of `total` bytes.

        What is not written there costs no memory.
        """
        size = 0

        def taken(wanted: int) -> int:
            nonlocal size
            start = size
            size += -(-wanted // _ALIGNMENT) * _ALIGNMENT
            return start

        steps = np.full((len(self._program.steps), avro_kernel.STEP_COLUMNS), avro_kernel.NOWHERE, np.int64)
        for number, step in enumerate(self._program.steps):
            steps[number, : avro_kernel.CELLS] = step.op, step.level, step.argument, step.limit
            if not step.is_kept:
                continue
            places, cell = self._places(step.level, rows, total), _CELL_BYTES.get(step.op, 8)
            steps[number, avro_kernel.CELLS] = taken((places + 1) * cell) // min(cell, 8)
            if step.is_optional:
                steps[number, avro_kernel.NULLS] = taken(places)
            if step.op is Op.SYMBOL:
                steps[number, avro_kernel.TEXT] = taken(places * self._longest[number])
            elif step.op in VARIABLE:
                steps[number, avro_kernel.TEXT] = taken(total)
        return steps, size


def _arrow(node: Node, found: Program, filled: _Filled) -> Any:
    match node:
        case StructOf(fields):
            children = {name: _arrow(child, found, filled) for name, child in fields.items()}
            length = next(iter(children.values())).length if children else 0
            schema = nanoarrow.struct({name: child.schema for name, child in children.items()})
            return nanoarrow.c_array_from_buffers(schema, length, [None], 0, children=list(children.values()))
        case ListOf(step, items):
            child = _arrow(items, found, filled)
            places = int(filled.counts[found.steps[step].level])
            buffers = [None, filled.cells(step, 8, places + 1)]
            return nanoarrow.c_array_from_buffers(
                nanoarrow.large_list(child.schema), places, buffers, 0, children=[child]
            )
        case Leaf():
            return _arrow_leaf(node, found, filled)


def _arrow_leaf(leaf: Leaf, found: Program, filled: _Filled) -> Any:
    step = found.steps[leaf.step]
    places = int(filled.counts[step.level])
    nulls, bits = 0, None
    if step.is_optional:
        start = int(filled.steps[leaf.step, avro_kernel.NULLS])
        is_set = filled.area[start : start + places]
        nulls = places - int(np.count_nonzero(is_set))
        bits = np.packbits(is_set, bitorder="little") if nulls else None
    if step.op in VARIABLE:
        text = nanoarrow.large_binary() if step.op is Op.BYTES else nanoarrow.large_string()
        buffers = [bits, filled.cells(leaf.step, 8, places + 1), filled.text(leaf.step)]
        return nanoarrow.c_array_from_buffers(text, places, buffers, nulls)
    cells = filled.cells(leaf.step, _CELL_BYTES.get(step.op, 8), places)
    match step.op:
        case Op.BOOLEAN:
            return nanoarrow.c_array_from_buffers(
                nanoarrow.bool_(), places, [bits, np.packbits(cells, bitorder="little")], nulls
            )
        case Op.DECIMAL:
            schema = nanoarrow.decimal128(leaf.precision, leaf.scale)
        case Op.TIME_MS:
            schema = nanoarrow.timestamp("ms", "UTC")
        case _:
            schema = _NUMBERS[step.op]()
    return nanoarrow.c_array_from_buffers(schema, places, [bits, cells], nulls)
