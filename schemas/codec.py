"""One event to and from Confluent's wire format: 0x00, schema id (4 bytes, big endian), Avro body.

The readable twin of `schemas.columnar`, and what low-rate streams and the command line use.
"""

import io
import json
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, TypeVar

import fastavro
import msgspec

from schemas.catalog import Topic
from schemas.registry import Registry, UnknownSchemaError
from schemas.resolution import parsed_reader

MAGIC = 0
HEADER_BYTES = 5
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

E = TypeVar("E")


class CodecError(Exception):
    """Base of the codec's errors: this event can't be handled, and trying again will not help."""


class UndecodableError(CodecError):
    """The bytes are not an event of the topic."""


class InvalidEventError(CodecError):
    """The event breaks its schema; `field` is the path of the offending field, such as `gpus` or `modes[0].power_w`."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}" if field else reason)
        self.field = field
        self.reason = reason


class Codec:
    """Encodes and decodes single events against one registry. Not thread-safe."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._parsed: dict[tuple[str, int], Any] = {}

    def encode(self, topic: Topic, event: object) -> bytes:
        """Returns the Kafka value of an event.

        Raises InvalidEventError where a value does not fit the schema, and the registry's errors.
        """
        out = io.BytesIO()
        out.write(header(self.registry.schema_id(topic)))
        try:
            fastavro.schemaless_writer(out, self._reader_schema(topic), _to_avro(event), strict=True)
        except (
            ValueError,
            TypeError,
            AttributeError,
            OverflowError,
            fastavro.validation.ValidationError,
        ) as error:
            raise InvalidEventError("", f"not a {topic.event_class.__name__}: {error}") from error
        return out.getvalue()

    def decode(self, topic: Topic, value: bytes | None) -> Any:
        """Returns the event behind a Kafka value, an instance of `topic.event_class`.

        Reads any registered writer schema with the topic's own as reader schema. Raises UndecodableError, and
        RegistryUnavailableError where the id is not known yet and the registry does not answer.
        """
        schema_id = read_schema_id(value)
        assert value is not None  # read_schema_id refuses it
        try:
            writer = self._writer_schema(topic, schema_id)
        except UnknownSchemaError as error:
            raise UndecodableError(str(error)) from error
        body = io.BytesIO(value[HEADER_BYTES:])
        try:
            record: Any = fastavro.schemaless_reader(body, writer, self._reader_schema(topic))
        except Exception as error:
            # The reader's own words name its buffer, by an address that is another each time.
            said = str(error).partition(" from <")[0]
            raise UndecodableError(f"not a {topic.event_class.__name__}: {type(error).__name__}: {said}") from error
        if body.read(1):
            raise UndecodableError(f"not a {topic.event_class.__name__}: bytes left over after the record")
        return from_record(topic.event_class, record)

    def _reader_schema(self, topic: Topic) -> Any:
        key = (topic.name, -1)
        if key not in self._parsed:
            self._parsed[key] = parsed_reader(topic.schema)
        return self._parsed[key]

    def _writer_schema(self, topic: Topic, schema_id: int) -> Any:
        key = (topic.name, schema_id)
        if key not in self._parsed:
            self._parsed[key] = fastavro.parse_schema(self.registry.writer_schema(schema_id))
        return self._parsed[key]


def header(schema_id: int) -> bytes:
    """Returns the five bytes before the Avro body."""
    return bytes([MAGIC]) + schema_id.to_bytes(4, "big")


def read_schema_id(value: bytes | None) -> int:
    """Returns the schema id of a Kafka value. Raises UndecodableError where there is none."""
    if value is None:
        raise UndecodableError("the message has no value")
    if len(value) < HEADER_BYTES or value[0] != MAGIC:
        raise UndecodableError(f"no Confluent header: the value starts with {value[:HEADER_BYTES]!r}")
    return int.from_bytes(value[1:HEADER_BYTES], "big")


def from_record(event_class: type[E], record: dict[str, Any]) -> E:
    """Returns the typed event of a decoded record. Raises UndecodableError where a value has the wrong type."""
    try:
        return msgspec.convert(record, event_class)
    except msgspec.ValidationError as error:
        raise UndecodableError(f"not a {event_class.__name__}: {error}") from error


def from_json(event_class: type[E], line: str | bytes) -> E:
    """Returns the event that a line of JSON describes; times are ISO 8601 with zone.

    Raises InvalidEventError that names the field and the reason: wrong type, missing, or not in the schema.
    """
    try:
        raw = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InvalidEventError("", f"not JSON: {error}") from error
    if not isinstance(raw, dict):
        raise InvalidEventError("", f"expected a JSON object, got {type(raw).__name__}")
    known = {f.name for f in fields(event_class)}  # type: ignore[arg-type]
    for name in raw:
        if name not in known:
            raise InvalidEventError(name, f"not a field of {event_class.__name__}")
    try:
        event = msgspec.convert(raw, event_class, strict=True)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at `$")
        raise InvalidEventError(path.strip("`").lstrip("."), reason) from error
    for f in fields(event_class):  # type: ignore[arg-type]
        value = getattr(event, f.name)
        if isinstance(value, datetime) and value.tzinfo is None:
            raise InvalidEventError(f.name, "a time needs its zone, e.g. 2026-01-01T00:00:00Z")
    return event


def to_json(event: object) -> str:
    """Returns an event as one line of JSON, the inverse of `from_json`."""
    return msgspec.json.encode(event).decode()


def _to_avro(value: Any) -> Any:
    # Integers for times: fastavro's own conversion of datetimes costs as much as the rest of the record.
    match value:
        case datetime():
            return (value - _EPOCH) // _MILLISECOND
        case str():
            return str(value)
        case int() | float() | Decimal() | bytes() | None:
            return value
        case list():
            return [_to_avro(item) for item in value]
        case dict():
            return {key: _to_avro(item) for key, item in value.items()}
        case _:
            return {name: _to_avro(getattr(value, name)) for name in value.__dataclass_fields__}
