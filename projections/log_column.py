"""Columns that say where in the log a row's event is, for stores that keep it."""

from collections.abc import Sequence

import polars as pl
from confluent_kafka import Message

from schemas.columnar import ROW

PARTITION, OFFSET, TIMESTAMP, KEY = "_partition", "_offset", "_timestamp", "_key"
LOG_COLUMNS = {
    PARTITION: pl.Int32(),
    OFFSET: pl.Int64(),
    TIMESTAMP: pl.Datetime("ms", "UTC"),
    KEY: pl.Binary(),
}
"""Kafka's partition, offset, time (null where the message has none) and key of the event's message."""


def with_log_columns(frame: pl.DataFrame, messages: Sequence[Message]) -> pl.DataFrame:
    """Returns the frame with `LOG_COLUMNS`; its `_row` is the position in `messages`, all of one topic."""
    times = [ms if kind else None for kind, ms in map(Message.timestamp, messages)]
    of_messages = pl.DataFrame(
        [
            pl.Series(PARTITION, list(map(Message.partition, messages)), dtype=LOG_COLUMNS[PARTITION]),
            pl.Series(OFFSET, list(map(Message.offset, messages)), dtype=LOG_COLUMNS[OFFSET]),
            pl.Series(TIMESTAMP, times, dtype=pl.Int64).cast(LOG_COLUMNS[TIMESTAMP]),
            pl.Series(KEY, list(map(Message.key, messages)), dtype=LOG_COLUMNS[KEY]),
        ]
    )
    return frame.hstack(of_messages if len(frame) == len(of_messages) else of_messages[frame[ROW]])
