"""Kafka values of one schema id as a frame: the two ways of reading them.

`BlockReader` is the fast one. Values, put one after another, are the body of one block of an Avro object container
file, so polars' columnar reader decodes the lot in one call. Between two values stand a marker with the row's number
and three bytes which, with the five bytes that a value starts with, are read as one more number. Both numbers come
back as extra columns: a corrupt body that swallows part of its neighbour, or leaves bytes over, shifts them out of
place, and so does a value of another schema. A batch in which all are right has decoded right. Values are joined as
they are: cutting the header off each cost as much as all the rest but the reader.

`RecordReader` decodes value by value, for schemas with what polars does not read: maps, and enums in a union or array.

An int is written like a long, so corrupt bytes may hold one that 32 bits don't. Both readers read it as a long, and
refuse it where it becomes the column's type. So is the number of an enum's symbol, of which polars takes the low bits.
The number of a union's branch polars does not check, and it can't be seen afterwards: there, corrupt bytes may pass.
"""

import io
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import fastavro
import polars as pl

from schemas.column_type import column_types, has_inner_enum, has_map, widened
from schemas.resolution import parsed_reader, resolve

HEADER_BYTES = 5
_HEADER = "_header"
_MARKER = "_marker"
# Fills the mantissa of a double, so that a marker is not a number that telemetry holds; adding a row number is exact.
_MARKER_BASE = 0x15_5A_A5_5A_A5_5A_A5
# With a value's header these make eight bytes.
_FILL = b"\xa5\x5a\xa5"
# What a datetime holds: 0001-01-01 to 9999-12-31T23:59:59.999, milliseconds since the epoch.
_FIRST_MS, _LAST_MS = -62_135_596_800_000, 253_402_300_799_999
_SYNC = b"mara-hcp-columns"
_TYPES = frozenset({"type", "items", "values", "fields"})
"""Attributes of a type that are types."""


class Reader(Protocol):
    """Reads the values of one schema id."""

    def read(self, values: Sequence[bytes]) -> pl.DataFrame | None:
        """Returns one row a value, in order, with the columns asked for; None where any value is corrupt."""


def reader(writer: dict[str, Any], schema: dict[str, Any], columns: Sequence[str], header: bytes) -> Reader:
    """Returns the reader for values that start with `header`, written by the schema `writer` and read by `schema`.

    Its frames have those of `columns` that the writer has, under the reader's names and with the writer's types; or
    all of them, resolved.
    """
    resolution = resolve(writer, schema, columns)
    if resolution.is_columnar and not (has_map(writer) or has_inner_enum(writer)):
        return BlockReader(writer, schema, resolution.sources, header)
    return RecordReader(writer, schema, columns, header)


class BlockReader:
    """The columnar reader; see the module."""

    def __init__(
        self, writer: dict[str, Any], schema: dict[str, Any], sources: Mapping[str, str], header: bytes
    ) -> None:
        assert len(header) == HEADER_BYTES
        head, tail = ({"name": name, "type": "double"} for name in (_HEADER, _MARKER))
        # Without defaults: a reader of the writer's own schema needs none, and polars refuses those of integers.
        symbols = _symbols(writer)
        fields = [
            {"name": field["name"], "type": "long" if field["name"] in symbols else _plain(field["type"])}
            for field in writer["fields"]
        ]
        marked = {**writer, "fields": [head, *fields, tail]}
        self._columns = [*sources.values(), _HEADER, _MARKER]
        self._names = {theirs: ours for ours, theirs in sources.items() if ours != theirs}
        self._symbols = {theirs: symbols[theirs] for theirs in sources.values() if theirs in symbols}
        types = column_types(schema)
        self._narrow = {theirs: types[ours] for ours, theirs in sources.items() if widened(types[ours]) != types[ours]}
        meta = [(b"avro.schema", json.dumps(marked).encode()), (b"avro.codec", b"null")]
        entries = b"".join(_long(len(key)) + key + _long(len(value)) + value for key, value in meta)
        self._file_header = b"Obj\x01" + _long(len(meta)) + entries + b"\x00" + _SYNC
        self._header = int.from_bytes(_FILL + header, "little")

    def read(self, values: Sequence[bytes]) -> pl.DataFrame | None:
        """See Reader."""
        n = len(values)
        parts: list[bytes] = [b""] * (2 * n + 1)
        parts[0::2] = _fences(n)
        parts[1::2] = values
        block = b"".join(parts)
        file = b"".join([self._file_header, _long(n), _long(len(block)), block, _SYNC])
        try:
            frame = pl.read_avro(io.BytesIO(file), columns=self._columns).cast(self._narrow)  # type: ignore[arg-type]
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            return None
        if len(frame) != n or not all(_is_datetime(column) for column in frame.iter_columns()):
            return None
        for name, symbols in self._symbols.items():
            index = frame[name]
            if not index.is_between(0, len(symbols) - 1).all():
                return None
            frame = frame.with_columns(symbols.gather(index).alias(name))
        # Compared as bits: as doubles two headers could be NaN, or zeros of either sign.
        if (frame[_HEADER].to_numpy().view("u8") != self._header).any():
            return None
        wanted = pl.int_range(_MARKER_BASE, _MARKER_BASE + n, eager=True).cast(pl.Float64)
        if not (frame[_MARKER] == wanted).all():
            return None
        found = frame.drop(_HEADER, _MARKER)
        return found.rename(self._names) if self._names else found


def _is_datetime(column: pl.Series) -> bool:
    """Returns whether Python's datetime holds all values, as the codec demands; true for other types of column."""
    if not isinstance(column.dtype, pl.Datetime):
        return True
    numbers = column.cast(pl.Int64)
    first, last = numbers.min(), numbers.max()
    # None where all are null.
    return first is None or bool(first >= _FIRST_MS and last <= _LAST_MS)  # type: ignore[operator]


class RecordReader:
    """The reader of the other schemas; a map becomes its JSON text with sorted keys."""

    def __init__(self, writer: dict[str, Any], schema: dict[str, Any], columns: Sequence[str], header: bytes) -> None:
        types = column_types(schema)
        self._schema = pl.Schema({name: types[name] for name in columns})
        self._wide = pl.Schema({name: widened(types[name]) for name in columns})
        self._maps = [field["name"] for field in schema["fields"] if has_map(field["type"])]
        self._writer = fastavro.parse_schema(writer)
        self._reader = None if writer == schema else parsed_reader(schema)
        self._header = header

    def read(self, values: Sequence[bytes]) -> pl.DataFrame | None:
        """See Reader."""
        records: list[dict[str, Any]] = []
        for value in values:
            # A message without value, as on a compacted topic, is not an event either.
            if not value or not value.startswith(self._header):
                return None
            stream = io.BytesIO(value[HEADER_BYTES:])
            try:
                record: Any = fastavro.schemaless_reader(stream, self._writer, self._reader)
            except Exception:  # noqa: BLE001 - corrupt bytes make fastavro raise nearly anything
                return None
            if stream.read(1):
                return None
            for name in self._maps:
                record[name] = json.dumps(record[name], sort_keys=True, ensure_ascii=False)
            records.append({name: record[name] for name in self._schema})
        try:
            return pl.DataFrame(records, schema=self._wide).cast(self._schema)
        except pl.exceptions.PolarsError:
            return None


def _symbols(schema: Mapping[str, Any]) -> dict[str, pl.Series]:
    """Returns the symbols of each field that is an enum."""
    named: dict[str, pl.Series] = {}
    found: dict[str, pl.Series] = {}
    for field in schema["fields"]:
        match field["type"]:
            case {"type": "enum", "name": name, "symbols": symbols}:
                found[field["name"]] = named[name.rpartition(".")[2]] = pl.Series(symbols, dtype=pl.String)
            case str(name) if name.rpartition(".")[2] in named:
                found[field["name"]] = named[name.rpartition(".")[2]]
    return found


def _plain(avro_type: Any) -> Any:
    # A type is a name, a list of branches or an object of JSON; so is a list of fields. polars makes of an int beyond
    # 32 bits another one: read as a long, it is seen.
    match avro_type:
        case "int":
            return "long"
        case {"type": "int", "logicalType": _}:
            return avro_type
        case dict():
            kept = {name: value for name, value in avro_type.items() if name not in {"default", "doc"}}
            return {name: _plain(value) if name in _TYPES else value for name, value in kept.items()}
        case list():
            return [_plain(branch) for branch in avro_type]
        case _:
            return avro_type


_inner_fences: list[bytes] = []


def _fences(n: int) -> list[bytes]:
    """Returns what stands before each of n values and after the last."""
    if len(_inner_fences) < n:
        pack = struct.Struct("<d").pack
        _inner_fences.extend(pack(float(_MARKER_BASE + i)) + _FILL for i in range(len(_inner_fences), n))
    return [_FILL, *_inner_fences[: n - 1], _inner_fences[n - 1][: -len(_FILL)]]


def _long(value: int) -> bytes:
    """Returns Avro's encoding of a long: zig-zag, seven bits a byte, low first (Avro 1.12, "Binary encoding")."""
    value = (value << 1) ^ (value >> 63)
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
