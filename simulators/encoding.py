"""Frames of readings to Kafka values: the seam between the fleets and the wire."""

from collections.abc import Callable

import polars as pl

from schemas.catalog import Topic
from schemas.codec import header
from schemas.columnar_encoder import ColumnarEncoder

Encoder = Callable[[pl.DataFrame], list[bytes]]
"""Frame of one topic (columns as in its schema, times in milliseconds) to one Kafka value a row, in order."""


def encoder(topic: Topic, schema_id: int) -> Encoder:
    """Returns the encoder of a topic's frames under a registered schema id.

    Raises UnencodableError, as does the encoder; see there.
    """
    rows = ColumnarEncoder(topic.schema, header(schema_id))
    return lambda frame: rows.encode(frame).values()
