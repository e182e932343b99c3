"""Frames of readings to Kafka values: the seam between the fleets and the wire.

One record after the other with fastavro, on the schema stripped to its primitive types: frames hold times as integers
already, and fastavro's look for a logical type at each value costs a quarter of the whole.
"""

import io
from collections.abc import Callable
from typing import Any

import fastavro
import polars as pl

from schemas.catalog import Topic
from schemas.codec import header

Encoder = Callable[[pl.DataFrame], list[bytes]]
"""Frame of one topic (columns as in its schema, times in milliseconds) to one Kafka value a row, in order."""


def encoder(topic: Topic, schema_id: int) -> Encoder:
    """Returns the encoder of a topic's frames under a registered schema id."""
    schema: Any = fastavro.parse_schema(_primitive(topic.schema))
    prefix = header(schema_id)
    write = fastavro.schemaless_writer

    def encode(frame: pl.DataFrame) -> list[bytes]:
        values: list[bytes] = []
        for record in frame.to_dicts():
            out = io.BytesIO()
            out.write(prefix)
            write(out, schema, record)
            values.append(out.getvalue())
        return values

    return encode


def _primitive(schema: Any) -> Any:
    # A schema is JSON: objects, lists and names.
    match schema:
        case dict():
            return {key: _primitive(value) for key, value in schema.items() if key not in {"logicalType", "doc"}}
        case list():
            return [_primitive(item) for item in schema]
        case _:
            return schema
