"""Hypothesis strategies that follow an Avro schema: any value that the schema allows and a typed event can hold."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from schemas.catalog import Topic
from schemas.codec import from_record

_TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)).map(  # noqa: DTZ001 - naive bounds, as hypothesis wants them
    lambda time: time.replace(microsecond=time.microsecond // 1000 * 1000)
)
_TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "null": st.none(),
    "string": _TEXT,
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=12),
}


def events_of(topic: Topic) -> st.SearchStrategy[Any]:
    """Any event of the topic, an instance of its class."""
    return values_of(topic.schema, {}).map(lambda record: from_record(topic.event_class, record))


def values_of(avro_type: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:  # noqa: C901, PLR0911 - a case an Avro type
    """Any value of an Avro type; `named` collects the named types on the way."""
    match avro_type:
        case str() if avro_type in _PRIMITIVES:
            return _PRIMITIVES[avro_type]
        case str():
            return values_of(named[avro_type], named)
        case list():
            return st.one_of([values_of(branch, named) for branch in avro_type])
        case {"logicalType": "timestamp-millis"}:
            return _TIMES
        case {"logicalType": "decimal", "precision": int(precision), "scale": int(scale)}:
            most = 10**precision - 1
            return st.integers(-most, most).map(lambda units: Decimal(units).scaleb(-scale))
        case {"type": "enum", "name": name, "symbols": symbols}:
            named[name] = avro_type
            return st.sampled_from(symbols)
        case {"type": "array", "items": items}:
            return st.lists(values_of(items, named), max_size=3)
        case {"type": "map", "values": values}:
            return st.dictionaries(_TEXT, values_of(values, named), max_size=3)
        case {"type": "record", "name": name, "fields": fields}:
            named[name] = avro_type
            return st.fixed_dictionaries({field["name"]: values_of(field["type"], named) for field in fields})
        case {"type": inner}:
            return values_of(inner, named)
    raise NotImplementedError(f"no strategy for {avro_type!r}")
