"""Which polars type an Avro field of the contract has in a frame.

Enums are strings, logical types are themselves, a union with null is its other branch, and a map is its JSON text
(frames have no maps, and a jsonb column wants the text).
"""

from typing import Any

import polars as pl

_PRIMITIVES: dict[str, pl.DataType] = {
    "string": pl.String(),
    "int": pl.Int32(),
    "long": pl.Int64(),
    "float": pl.Float32(),
    "double": pl.Float64(),
    "boolean": pl.Boolean(),
    "bytes": pl.Binary(),
}


class UnsupportedTypeError(Exception):
    """The schema has a type that frames can't hold; the message names it."""


def column_types(schema: dict[str, Any]) -> dict[str, pl.DataType]:
    """Returns the type of each field of a record schema, in its order. Raises UnsupportedTypeError."""
    named: dict[str, Any] = {}
    return {field["name"]: _column_type(field["type"], named) for field in schema["fields"]}


def widened(column_type: pl.DataType) -> pl.DataType:
    """Returns the type with 64 bits wherever it has integers of 32."""
    match column_type:
        case pl.Int32():
            return pl.Int64()
        case pl.List():
            return pl.List(widened(column_type.inner))  # type: ignore[arg-type]
        case pl.Struct():
            return pl.Struct({field.name: widened(field.dtype) for field in column_type.fields})  # type: ignore[arg-type]
        case _:
            return column_type


def has_map(avro_type: Any) -> bool:
    """Returns whether a map occurs anywhere in an Avro type."""
    match avro_type:
        case list():
            return any(has_map(branch) for branch in avro_type)
        case {"type": "map"}:
            return True
        case {"type": "array", "items": items}:
            return has_map(items)
        case {"type": "record", "fields": fields}:
            return any(has_map(field["type"]) for field in fields)
        case _:
            return False


def _column_type(avro_type: Any, named: dict[str, Any]) -> pl.DataType:  # noqa: C901, PLR0911 - a case an Avro type
    match avro_type:
        case str() if avro_type in _PRIMITIVES:
            return _PRIMITIVES[avro_type]
        case str() if avro_type in named:
            return _column_type(named[avro_type], named)
        case list():
            branches = [branch for branch in avro_type if branch != "null"]
            if len(branches) == 1:
                return _column_type(branches[0], named)
        case {"type": "long", "logicalType": "timestamp-millis"}:
            return pl.Datetime("ms", "UTC")
        case {"type": "bytes", "logicalType": "decimal", "precision": precision, "scale": scale}:
            return pl.Decimal(precision, scale)
        case {"type": "enum", "name": name}:
            named[name] = avro_type
            return pl.String()
        case {"type": "array", "items": items}:
            return pl.List(_column_type(items, named))
        case {"type": "map"}:
            return pl.String()
        case {"type": "record", "name": name, "fields": fields}:
            named[name] = avro_type
            return pl.Struct({field["name"]: _column_type(field["type"], named) for field in fields})
        case {"type": str() as inner} if inner in _PRIMITIVES:
            return _PRIMITIVES[inner]
    raise UnsupportedTypeError(f"no column type for the Avro type {avro_type!r}")
