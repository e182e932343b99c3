"""Frames of readings to Kafka values: the seam between the fleets and the wire."""

from collections.abc import Callable
from itertools import takewhile

import polars as pl

from schemas.catalog import Topic
from schemas.codec import header
from schemas.columnar_encoder import ColumnarEncoder
from simulators.fleet import DEVICE

Encoder = Callable[[pl.DataFrame], list[bytes]]
"""Frame of one topic (columns as in its schema, times in milliseconds) to one Kafka value a row, in order."""


def encoder(topic: Topic, schema_id: int, devices: pl.DataFrame | None = None) -> Encoder:
    """Returns the encoder of a topic's frames under a registered schema id.

    `devices` has what a fleet's devices are called, in columns of the schema's first fields: that is encoded once, and
    frames say by the column DEVICE whose they are. Raises UnencodableError, as does the encoder; see there.
    """
    if devices is None:
        return ColumnarEncoder(topic.schema, header(schema_id)).values
    fields = topic.schema["fields"]
    known = list(takewhile(lambda field: field["name"] in devices.columns, fields))
    leading = ColumnarEncoder({**topic.schema, "fields": known}, header(schema_id)).encode(devices)
    rest = ColumnarEncoder({**topic.schema, "fields": fields[len(known) :]})
    return lambda frame: rest.values(frame, leading.take(frame[DEVICE].to_numpy()))
