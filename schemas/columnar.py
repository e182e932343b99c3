"""A batch of Kafka values to one frame, without a Python object a record.

Values of one schema id, as nearly all of a batch are, are read at once by `schemas.block_reader`, those of others by
themselves. Of a value that does not decode the codec says why; it is rejected, and costs no other anything.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import polars as pl

from schemas.block_reader import BlockReader, Read
from schemas.catalog import Topic
from schemas.codec import HEADER_BYTES, Codec, UndecodableError, header, read_schema_id
from schemas.column_type import UnsupportedTypeError, column_types, has_map
from schemas.record_reader import RecordReader
from schemas.registry import Registry, UnknownSchemaError
from schemas.reject import ROW, Reject
from schemas.resolution import default_of, resolve
from schemas.value_block import ValueBlock


class Reader(Protocol):
    """Reads the values of one schema id."""

    def read(self, block: ValueBlock) -> Read:
        """Returns what of the block is good."""


@dataclass(frozen=True, slots=True)
class DecodedBatch:
    """`frame` has the columns of the reader schema and `_row`, sorted by it; `rejects` are the other messages."""

    frame: pl.DataFrame
    rejects: tuple[Reject, ...]


@dataclass(slots=True)
class _Outcome:
    frames: list[pl.DataFrame] = field(default_factory=list)
    rejects: list[Reject] = field(default_factory=list)


class ColumnarDecoder:
    """Decodes batches of one topic into frames; `schemas.column_type` says which type each field gets.

    `columns` limits the frame to those fields, which saves their cost. Not thread-safe.
    """

    def __init__(self, topic: Topic, registry: Registry, columns: Sequence[str] | None = None) -> None:
        self._topic = topic
        self._registry = registry
        self._codec = Codec(registry)
        self._schema = topic.schema
        self._fields = [f for f in self._schema["fields"] if columns is None or f["name"] in columns]
        self._types = column_types(self._schema)
        self._readers: dict[int, Reader] = {}

    def decode(self, values: Sequence[bytes | None] | ValueBlock) -> DecodedBatch:
        """Returns the batch as a frame and its rejects; never raises for what a message holds.

        Raises RegistryUnavailableError where a schema id is new and the registry does not answer.
        """
        block = values if isinstance(values, ValueBlock) else ValueBlock.of(values)
        outcome = _Outcome()
        self._decode_first(block, outcome)
        frames = outcome.frames or [self._aligned(pl.DataFrame(), np.zeros(0, np.int64))]
        frame = frames[0] if len(frames) == 1 else pl.concat(frames).sort(ROW)
        return DecodedBatch(frame, tuple(sorted(outcome.rejects, key=lambda reject: reject.row)))

    def _decode_first(self, block: ValueBlock, outcome: _Outcome) -> None:
        """Decodes those of the first one's schema without a look at any of them, and then the others."""
        rows = np.arange(len(block))
        others: Sequence[int] = range(len(block))
        try:
            first = self._reader(read_schema_id(block[0])) if len(block) else None
        except (UndecodableError, UnknownSchemaError):
            first = None
        if first is not None:
            others = self._decode(first, block, rows, outcome)
        for schema_id, alike in self._by_schema(block, others, outcome).items():
            try:
                chosen = self._reader(schema_id)
            except UnknownSchemaError as error:
                outcome.rejects += [Reject(row, type(error).__name__, str(error)) for row in alike]
                continue
            left = self._decode(chosen, block.take(alike), np.array(alike), outcome)
            assert not left, "values of one schema id were not"

    def _by_schema(self, block: ValueBlock, rows: Sequence[int], outcome: _Outcome) -> dict[int, list[int]]:
        prefixes: dict[bytes | None, list[int]] = {}
        for row in rows:
            value = block[row]
            prefixes.setdefault(value if value is None else value[:HEADER_BYTES], []).append(row)
        groups: dict[int, list[int]] = {}
        for prefix, alike in prefixes.items():
            try:
                groups[read_schema_id(prefix)] = alike
            except UndecodableError as error:
                outcome.rejects += [Reject(row, type(error).__name__, str(error)) for row in alike]
        return groups

    def _reader(self, schema_id: int) -> Reader:
        if schema_id not in self._readers:
            writer = self._registry.writer_schema(schema_id)
            names = [f["name"] for f in self._fields]
            resolution = resolve(writer, self._schema, names)
            reader: Reader | None = None
            if resolution.is_columnar:
                with suppress(UnsupportedTypeError):
                    reader = BlockReader(writer, resolution.sources, header(schema_id))
            self._readers[schema_id] = reader or RecordReader(writer, self._schema, names, header(schema_id))
        return self._readers[schema_id]

    def _decode(
        self, chosen: Reader, block: ValueBlock, rows: npt.NDArray[np.int64], outcome: _Outcome
    ) -> Sequence[int]:
        """Decodes values that are those `rows` of the batch; returns the rows of those of another schema."""
        read = chosen.read(block)
        if len(read.rows):
            outcome.frames.append(self._aligned(read.frame, rows[read.rows]))
        outcome.rejects += [self._refused(block[bad], int(rows[bad])) for bad in read.bad]
        return rows[read.others].tolist() if len(read.others) else ()

    def _refused(self, value: bytes | None, row: int) -> Reject:
        """Returns what is wrong with a value, in the codec's words where it has any."""
        try:
            self._codec.decode(self._topic, value)
        except UndecodableError as error:
            return Reject(row, type(error).__name__, str(error))
        reason = f"not a {self._topic.event_class.__name__}: the columnar reader refuses it"
        return Reject(row, UndecodableError.__name__, reason)

    def _aligned(self, decoded: pl.DataFrame, rows: npt.NDArray[np.int64]) -> pl.DataFrame:
        columns = [column(decoded, self._schema, f, self._types[f["name"]], len(rows)) for f in self._fields]
        return pl.DataFrame([*columns, pl.Series(ROW, rows.astype(np.uint32))])


def column(
    frame: pl.DataFrame, schema: Mapping[str, Any], avro_field: Mapping[str, Any], wanted: pl.DataType, n: int
) -> pl.Series:
    """Returns a field's column as the schema has it today, of a frame of `n` rows that an older one may have made.

    A column goes by its name or by an alias, and may have been narrower; where it is younger than the frame, Avro gives
    its default.
    """
    name: str = avro_field["name"]
    for known in (name, *avro_field.get("aliases", ())):
        if known in frame.columns:
            found: pl.Series = frame[known].alias(name)
            return found if found.dtype == wanted else found.cast(wanted)
    default = default_of(schema, name)
    # A map is its JSON text, see `column_type`; other defaults are values of their column.
    is_map = has_map(avro_field["type"]) and isinstance(default, dict)
    value = json.dumps(default, sort_keys=True, ensure_ascii=False) if is_map else default
    return pl.Series(name, [value], dtype=wanted).new_from_index(0, n)
