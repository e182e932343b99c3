"""Avro bodies of one schema as a frame: the two ways of reading them.

`BlockReader` is the fast one. Bodies, put one after another, are the body of one block of an Avro object container
file, so polars' columnar reader decodes the lot in one call. Each body gets a marker behind it, eight bytes that come
back as an extra column. A corrupt body that swallows part of its neighbour, or leaves bytes over, shifts the markers
out of place, so a batch that decodes with every marker right has decoded right.

`RecordReader` decodes body by body, for schemas with what polars does not read: maps, and enums in a union or array.
"""

import io
import json
import struct
from collections.abc import Sequence
from typing import Any, Protocol

import fastavro
import polars as pl

from schemas.column_type import column_types, has_inner_enum, has_map

_MARKER = "_marker"
# Fills the mantissa of a double, so that a marker is not a number that telemetry holds; adding a row number is exact.
_MARKER_BASE = 0x15_5A_A5_5A_A5_5A_A5
_SYNC = b"mara-hcp-columns"


class Reader(Protocol):
    """Reads bodies of one writer schema."""

    def read(self, bodies: Sequence[bytes]) -> pl.DataFrame | None:
        """Returns one row a body, in order, with the columns asked for; None where any body is corrupt."""


def reader(schema: dict[str, Any], columns: Sequence[str]) -> Reader:
    """Returns the reader for a writer schema and those of `columns` that it has."""
    present = [field["name"] for field in schema["fields"] if field["name"] in columns]
    is_columnar = not (has_map(schema) or has_inner_enum(schema))
    return BlockReader(schema, present) if is_columnar else RecordReader(schema, present)


class BlockReader:
    """The columnar reader; see the module."""

    def __init__(self, schema: dict[str, Any], columns: Sequence[str]) -> None:
        # Without defaults: a reader of the writer's own schema needs none, and polars refuses those of integers.
        fields = [{"name": field["name"], "type": _plain(field["type"])} for field in schema["fields"]]
        marked = {**schema, "fields": [*fields, {"name": _MARKER, "type": "double"}]}
        self._columns = [*columns, _MARKER]
        meta = [(b"avro.schema", json.dumps(marked).encode()), (b"avro.codec", b"null")]
        entries = b"".join(_long(len(key)) + key + _long(len(value)) + value for key, value in meta)
        self._header = b"Obj\x01" + _long(len(meta)) + entries + b"\x00" + _SYNC

    def read(self, bodies: Sequence[bytes]) -> pl.DataFrame | None:
        """See Reader."""
        n = len(bodies)
        parts: list[bytes] = [b""] * (2 * n)
        parts[0::2] = bodies
        parts[1::2] = _markers(n)
        block = b"".join(parts)
        file = b"".join([self._header, _long(n), _long(len(block)), block, _SYNC])
        try:
            frame = pl.read_avro(io.BytesIO(file), columns=self._columns)
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
            return None
        if len(frame) != n:
            return None
        wanted = pl.int_range(_MARKER_BASE, _MARKER_BASE + n, eager=True).cast(pl.Float64)
        return frame.drop(_MARKER) if (frame[_MARKER] == wanted).all() else None


class RecordReader:
    """The reader of the other schemas; a map becomes its JSON text with sorted keys."""

    def __init__(self, schema: dict[str, Any], columns: Sequence[str]) -> None:
        types = column_types(schema)
        self._schema = pl.Schema({name: types[name] for name in columns})
        self._maps = [field["name"] for field in schema["fields"] if has_map(field["type"])]
        self._parsed = fastavro.parse_schema(schema)

    def read(self, bodies: Sequence[bytes]) -> pl.DataFrame | None:
        """See Reader."""
        records: list[dict[str, Any]] = []
        for body in bodies:
            stream = io.BytesIO(body)
            try:
                record: Any = fastavro.schemaless_reader(stream, self._parsed, None)
            except Exception:  # noqa: BLE001 - corrupt bytes make fastavro raise nearly anything
                return None
            if stream.read(1):
                return None
            for name in self._maps:
                record[name] = json.dumps(record[name], sort_keys=True, ensure_ascii=False)
            records.append({name: record[name] for name in self._schema})
        return pl.DataFrame(records, schema=self._schema)


def _plain(avro_type: Any) -> Any:
    # A type is a name, a list of branches or an object of JSON.
    match avro_type:
        case dict():
            return {name: _plain(value) for name, value in avro_type.items() if name not in {"default", "doc"}}
        case list():
            return [_plain(branch) for branch in avro_type]
        case _:
            return avro_type


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
