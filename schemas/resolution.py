"""How a record written by one schema is read by another (Avro 1.12, "Schema Resolution"), field by field.

Fields are matched by name, then by the reader's aliases. What a frame can do by itself (leave a field out, give a
default, widen a number) is told apart from what only a record-by-record reader can (a change inside a nested type, an
enum that lost a symbol).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import fastavro

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WIDER: dict[str, frozenset[str]] = {
    "int": frozenset({"long", "float", "double"}),
    "long": frozenset({"float", "double"}),
    "float": frozenset({"double"}),
}
_SAYS_NOTHING = frozenset({"doc", "default", "aliases", "order"})
"""Attributes that don't change how a value is written."""


@dataclass(frozen=True, slots=True)
class Resolution:
    """`sources` are the reader's fields that the writer has → their names there; the others have their defaults.

    `is_columnar` is whether every one of them is written as it is read, or as a narrower number.
    """

    sources: Mapping[str, str]
    is_columnar: bool


def resolve(writer: Mapping[str, Any], reader: Mapping[str, Any], columns: Sequence[str]) -> Resolution:
    """Returns how the reader's fields named in `columns` come out of the writer's record."""
    written = {field["name"]: field for field in writer["fields"]}
    sources: dict[str, str] = {}
    is_columnar = True
    named_there, named_here = _named_types(writer), _named_types(reader)
    for field in reader["fields"]:
        if field["name"] not in columns:
            continue
        for name in (field["name"], *field.get("aliases", ())):
            if name in written:
                sources[field["name"]] = name
                theirs, ours = _expanded(written[name]["type"], named_there), _expanded(field["type"], named_here)
                is_columnar = is_columnar and _is_read_as_written(theirs, ours)
                break
    return Resolution(sources, is_columnar)


def parsed_reader(schema: Mapping[str, Any]) -> Any:
    """Returns a schema as fastavro reads with, its defaults as values; fastavro itself hands out the JSON of them."""
    parsed = fastavro.parse_schema(dict(schema), _force=True)
    _put_defaults(parsed, _named_types(schema))
    return parsed


def default_of(schema: Mapping[str, Any], name: str) -> Any:
    """Returns the default of a field of a record schema as a Python value, None where it has none."""
    (field,) = (found for found in schema["fields"] if found["name"] == name)
    return _value(field["type"], field.get("default"), _named_types(schema))


def _put_defaults(avro_type: Any, named: Mapping[str, Any]) -> None:
    match avro_type:
        case list():
            for branch in avro_type:
                _put_defaults(branch, named)
        case {"fields": fields}:
            for field in fields:
                if "default" in field:
                    field["default"] = _value(field["type"], field["default"], named)
                _put_defaults(field["type"], named)
        case {"items": inner} | {"values": inner}:
            _put_defaults(inner, named)


def _value(avro_type: Any, default: Any, named: Mapping[str, Any]) -> Any:  # noqa: PLR0911 - a case an Avro type
    match avro_type:
        case str() if avro_type.rpartition(".")[2] in named:
            return _value(named[avro_type.rpartition(".")[2]], default, named)
        case "bytes" | {"type": "bytes", "logicalType": "decimal"} if isinstance(default, str):
            raw = default.encode("latin-1")
            if isinstance(avro_type, str):
                return raw
            return Decimal(int.from_bytes(raw, "big", signed=True)).scaleb(-avro_type.get("scale", 0))
        case [first, *_]:
            # A default is one of the first branch.
            return _value(first, default, named)
        case {"logicalType": "timestamp-millis"} if default is not None:
            return _EPOCH + timedelta(milliseconds=default)
        case {"type": "array", "items": items} if default is not None:
            return [_value(items, item, named) for item in default]
        case {"type": "map", "values": values} if default is not None:
            return {key: _value(values, item, named) for key, item in default.items()}
        case {"type": "record", "fields": fields} if default is not None:
            return {
                field["name"]: _value(field["type"], default.get(field["name"], field.get("default")), named)
                for field in fields
            }
        case _:
            return default


def _is_read_as_written(theirs: Any, ours: Any) -> bool:
    if theirs == ours:
        return True
    match theirs, ours:
        case str(), str():
            return ours in _WIDER.get(theirs, ())
        case [*branches], [*others]:
            inner, outer = _only_branch(branches), _only_branch(others)
            return inner is not None and outer is not None and _is_read_as_written(inner, outer)
        case _, [*others]:
            outer = _only_branch(others)
            return outer is not None and _is_read_as_written(theirs, outer)
        case {"type": "enum", "symbols": old}, {"type": "enum", "symbols": new}:
            return set(old) <= set(new)
    return False


def _only_branch(branches: list[Any]) -> Any:
    """Returns the branch beside null, None unless there is exactly one."""
    others = [branch for branch in branches if branch != "null"]
    return others[0] if len(others) == 1 else None


def _expanded(avro_type: Any, named: Mapping[str, Any]) -> Any:
    """Returns a type with its named types in place and without what says nothing, so that equal ones compare equal."""
    match avro_type:
        case str():
            short = avro_type.rpartition(".")[2]
            return _expanded(named[short], named) if short in named else avro_type
        case list():
            return [_expanded(branch, named) for branch in avro_type]
        case {"type": str() as primitive} if not (avro_type.keys() - _SAYS_NOTHING - {"type"}):
            return primitive
        case dict():
            kept = {key: value for key, value in avro_type.items() if key not in _SAYS_NOTHING | {"namespace"}}
            for key in ("items", "values"):
                if key in kept:
                    kept[key] = _expanded(kept[key], named)
            if "fields" in kept:
                kept["fields"] = [(f["name"], _expanded(f["type"], named)) for f in kept["fields"]]
            return kept
        case _:
            return avro_type


def _named_types(schema: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    _collect(schema, found)
    return found


def _collect(avro_type: Any, found: dict[str, Any]) -> None:
    match avro_type:
        case list():
            for branch in avro_type:
                _collect(branch, found)
        case {"type": "record" | "enum" | "fixed", "name": name}:
            found[name.rpartition(".")[2]] = avro_type
            for field in avro_type.get("fields", ()):
                _collect(field["type"], found)
        case {"items": inner} | {"values": inner}:
            _collect(inner, found)
        case {"type": dict() | list() as inner}:
            _collect(inner, found)
