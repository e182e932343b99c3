"""A batch of Kafka values to one frame, without a Python object a record.

Avro bodies of one schema, put one after another, are the body of one block of an Avro object container file, so a
columnar reader decodes the lot in one call. Each body gets a marker behind it, eight bytes that the reader returns as an
extra column. A corrupt body that swallows part of its neighbour, or leaves bytes over, shifts the markers out of
place, so a batch that decodes with every marker right has decoded right. Where one does not, the batch is halved until
the bad messages stand alone; they are rejected, the others go through.
"""

import io
import json
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
import polars_avro

from schemas.catalog import Topic
from schemas.codec import HEADER_BYTES, Codec, UndecodableError, read_schema_id
from schemas.registry import Registry, UnknownSchemaError

ROW = "_row"
"""Column with the position of the message in the batch, UInt32."""

_MARKER = "_marker"
# Fills the mantissa of a double, so that a marker is not a number that telemetry holds; + n stays exact.
_MARKER_BASE = 0x15_5A_A5_5A_A5_5A_A5
_SYNC = b"mara-hcp-columns"


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


class ColumnarDecoder:
    """Decodes batches of one topic. Columns: Utf8 for strings and enums, Float64, Int32/Int64, Datetime(ms, UTC) …

    `columns` limits the frame to those fields, which saves their cost. Not thread-safe.
    """

    def __init__(self, topic: Topic, registry: Registry, columns: Sequence[str] | None = None) -> None:
        self._topic = topic
        self._registry = registry
        self._codec = Codec(registry)
        self._fields = [f for f in topic.schema["fields"] if columns is None or f["name"] in columns]
        self._containers: dict[int, _Container] = {}
        empty = _Container(topic.schema, [f["name"] for f in self._fields]).decode([])
        assert empty is not None  # our own schema and no bodies
        self._empty = empty
        self.fallbacks = 0
        """Batches that were halved because something in them did not decode."""

    def decode(self, values: Sequence[bytes | None]) -> DecodedBatch:
        """Returns the batch as a frame and its rejects; never raises for what a message holds.

        Raises RegistryUnavailableError where a schema id is new and the registry does not answer.
        """
        rejects: list[Reject] = []
        frames: list[pl.DataFrame] = []
        for schema_id, rows in self._by_schema(values, rejects).items():
            try:
                container = self._container(schema_id)
            except UnknownSchemaError as error:
                rejects += [Reject(row, type(error).__name__, str(error)) for row in rows]
                continue
            bodies = [values[row][HEADER_BYTES:] for row in rows]  # type: ignore[index]
            self._decode(container, values, rows, bodies, frames, rejects)
        if not frames:
            return DecodedBatch(self._aligned(self._empty, []), tuple(rejects))
        frame = frames[0] if len(frames) == 1 else pl.concat(frames).sort(ROW)
        return DecodedBatch(frame, tuple(sorted(rejects, key=lambda reject: reject.row)))

    def _by_schema(self, values: Sequence[bytes | None], rejects: list[Reject]) -> dict[int, Sequence[int]]:
        prefixes = [value[:HEADER_BYTES] if value is not None else b"" for value in values]
        groups: dict[int, Sequence[int]] = {}
        distinct = set(prefixes)
        for prefix in distinct:
            rows: Sequence[int] = (
                range(len(values)) if len(distinct) == 1 else [i for i, p in enumerate(prefixes) if p == prefix]
            )
            try:
                groups[read_schema_id(prefix or None)] = rows
            except UndecodableError as error:
                rejects += [Reject(row, type(error).__name__, str(error)) for row in rows]
        return groups

    def _container(self, schema_id: int) -> "_Container":
        if schema_id not in self._containers:
            writer = self._registry.writer_schema(schema_id)
            self._containers[schema_id] = _Container(writer, [f["name"] for f in self._fields])
        return self._containers[schema_id]

    def _decode(
        self,
        container: "_Container",
        values: Sequence[bytes | None],
        rows: Sequence[int],
        bodies: list[bytes],
        frames: list[pl.DataFrame],
        rejects: list[Reject],
    ) -> None:
        decoded = container.decode(bodies)
        if decoded is not None:
            frames.append(self._aligned(decoded, rows))
            return
        if len(rows) == 1:
            rejects.append(self._reject(rows[0], values[rows[0]]))
            return
        self.fallbacks += 1
        half = len(rows) // 2
        self._decode(container, values, rows[:half], bodies[:half], frames, rejects)
        self._decode(container, values, rows[half:], bodies[half:], frames, rejects)

    def _reject(self, row: int, value: bytes | None) -> Reject:
        # The readable codec says what is wrong in words.
        try:
            self._codec.decode(self._topic, value)
        except UndecodableError as error:
            return Reject(row, type(error).__name__, str(error))
        return Reject(row, UndecodableError.__name__, f"not a {self._topic.event_class.__name__}")

    def _aligned(self, decoded: pl.DataFrame, rows: Sequence[int]) -> pl.DataFrame:
        columns: list[pl.Series] = []
        for field in self._fields:
            name, wanted = (
                field["name"],
                self._empty.schema[field["name"]],
            )
            if name in decoded.columns:
                column = decoded[name]
            else:
                column = pl.repeat(field.get("default"), len(decoded), dtype=wanted, eager=True).alias(name)
            if isinstance(column.dtype, (pl.Categorical, pl.Enum)):
                column = column.cast(pl.String)
            elif column.dtype != wanted and not isinstance(wanted, pl.Categorical):
                column = column.cast(wanted)
            columns.append(column)
        return pl.DataFrame([*columns, pl.Series(ROW, rows, dtype=pl.UInt32)])


class _Container:
    """One writer schema with the marker field added, and the header of an Avro object container around it."""

    def __init__(self, schema: dict[str, Any], columns: Sequence[str]) -> None:
        marked = dict(schema, fields=[*schema["fields"], {"name": _MARKER, "type": "double"}])
        present = {f["name"] for f in schema["fields"]}
        self._columns = [*(name for name in columns if name in present), _MARKER]
        text = json.dumps(marked).encode()
        meta = [(b"avro.schema", text), (b"avro.codec", b"null")]
        entries = b"".join(_long(len(k)) + k + _long(len(v)) + v for k, v in meta)
        self._header = b"Obj\x01" + _long(len(meta)) + entries + b"\x00" + _SYNC

    def decode(self, bodies: list[bytes]) -> pl.DataFrame | None:
        """Returns the frame of the bodies, None where any of them is corrupt."""
        n = len(bodies)
        parts: list[bytes] = [b""] * (2 * n)
        parts[0::2] = bodies
        parts[1::2] = _markers(n)
        block = b"".join(parts)
        file = b"".join([self._header, _long(n), _long(len(block)), block, _SYNC]) if n else self._header
        try:
            frame = polars_avro.read_avro(io.BytesIO(file), columns=self._columns)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001 - a panic of the reader is not an Exception, and is only a corrupt body
            return None
        if len(frame) != n:
            return None
        wanted = pl.int_range(_MARKER_BASE, _MARKER_BASE + n, eager=True).cast(pl.Float64)
        if not (frame[_MARKER] == wanted).all():
            return None
        return frame.drop(_MARKER)


_marker_cache: list[bytes] = []


def _markers(n: int) -> list[bytes]:
    if len(_marker_cache) < n:
        pack = struct.Struct("<d").pack
        _marker_cache.extend(pack(float(_MARKER_BASE + i)) for i in range(len(_marker_cache), n))
    return _marker_cache[:n]


def _long(value: int) -> bytes:
    """Returns Avro's encoding of a long: zig-zag, seven bits a byte, low first (Avro 1.12, "Binary encoding")."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
