"""A batch of Kafka values to one frame, without a Python object a record.

A batch of one writer schema without a flaw is read at once by `schemas.container`. Any other is grouped by schema id,
and a group that does not decode is halved until few are left: the codec says which of these are bad and why. They are
rejected, the others go through.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from schemas.catalog import Topic
from schemas.codec import HEADER_BYTES, Codec, UndecodableError, header, read_schema_id
from schemas.column_type import column_types, has_map
from schemas.container import Reader, reader
from schemas.registry import Registry, UnknownSchemaError
from schemas.resolution import default_of

ROW = "_row"
"""Column with the position of the message in the batch, UInt32."""
_FEW = 256
"""Messages that the codec (4 us each) looks at where halving on would take two reads (100 us each) a bad message."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that can't be handled: its position in the batch, the class of the error, and the reason."""

    row: int
    error: str
    reason: str


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
        self.fallbacks = 0
        """How often a batch was halved because something in it did not decode."""

    def decode(self, values: Sequence[bytes | None]) -> DecodedBatch:
        """Returns the batch as a frame and its rejects; never raises for what a message holds.

        Raises RegistryUnavailableError where a schema id is new and the registry does not answer.
        """
        outcome = _Outcome()
        if not self._decode_alike(values, outcome):
            for schema_id, rows in self._by_schema(values, outcome).items():
                try:
                    chosen = self._reader(schema_id)
                except UnknownSchemaError as error:
                    outcome.rejects += [Reject(row, type(error).__name__, str(error)) for row in rows]
                    continue
                self._decode(chosen, values, rows, outcome)
        frames = outcome.frames or [self._aligned(pl.DataFrame(), ())]
        frame = frames[0] if len(frames) == 1 else pl.concat(frames).sort(ROW)
        return DecodedBatch(frame, tuple(sorted(outcome.rejects, key=lambda reject: reject.row)))

    def _decode_alike(self, values: Sequence[bytes | None], outcome: _Outcome) -> bool:
        """Decodes a batch without a flaw and of one schema, as nearly all are, without a look at its values."""
        try:
            decoded = self._reader(read_schema_id(values[0])).read(values)  # type: ignore[arg-type]
        except (IndexError, TypeError, UndecodableError, UnknownSchemaError):
            # Empty, a message without value, or a bad first one.
            return False
        if decoded is None:
            self.fallbacks += 1
            return False
        outcome.frames.append(self._aligned(decoded, range(len(values))))
        return True

    def _by_schema(self, values: Sequence[bytes | None], outcome: _Outcome) -> dict[int, list[int]]:
        prefixes: dict[bytes | None, list[int]] = {}
        for row, value in enumerate(values):
            prefixes.setdefault(value if value is None else value[:HEADER_BYTES], []).append(row)
        groups: dict[int, list[int]] = {}
        for prefix, rows in prefixes.items():
            try:
                groups[read_schema_id(prefix)] = rows
            except UndecodableError as error:
                outcome.rejects += [Reject(row, type(error).__name__, str(error)) for row in rows]
        return groups

    def _reader(self, schema_id: int) -> Reader:
        if schema_id not in self._readers:
            writer = self._registry.writer_schema(schema_id)
            names = [f["name"] for f in self._fields]
            self._readers[schema_id] = reader(writer, self._schema, names, header(schema_id))
        return self._readers[schema_id]

    def _decode(self, chosen: Reader, values: Sequence[bytes | None], rows: list[int], outcome: _Outcome) -> None:
        decoded = chosen.read([values[row] for row in rows])  # type: ignore[misc]
        if decoded is not None:
            outcome.frames.append(self._aligned(decoded, rows))
        elif len(rows) == 1:
            if self._refuse(values, rows, outcome):
                reason = f"not a {self._topic.event_class.__name__}: the columnar reader refuses it"
                outcome.rejects.append(Reject(rows[0], UndecodableError.__name__, reason))
        else:
            self.fallbacks += 1
            # One by one in the codec is cheaper than halving on, so that a topic full of garbage stays bearable.
            good = self._refuse(values, rows, outcome) if len(rows) <= _FEW else rows
            half = len(rows) // 2
            for part in [good] if len(good) < len(rows) else [rows[:half], rows[half:]]:
                if part:
                    self._decode(chosen, values, part, outcome)

    def _refuse(self, values: Sequence[bytes | None], rows: list[int], outcome: _Outcome) -> list[int]:
        """Rejects the rows that the codec refuses, in its words, and returns the others."""
        good = []
        for row in rows:
            try:
                self._codec.decode(self._topic, values[row])
            except UndecodableError as error:
                outcome.rejects.append(Reject(row, type(error).__name__, str(error)))
            else:
                good.append(row)
        return good

    def _aligned(self, decoded: pl.DataFrame, rows: Sequence[int]) -> pl.DataFrame:
        columns = [column(decoded, self._schema, f, self._types[f["name"]], len(rows)) for f in self._fields]
        return pl.DataFrame([*columns, pl.Series(ROW, rows, dtype=pl.UInt32)])


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
