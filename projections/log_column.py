"""Columns that say where in the log a row's event is, for stores that keep it."""

import polars as pl

from schemas.message_block import NO_TIME, MessageBlock
from schemas.reject import ROW

PARTITION, OFFSET, TIMESTAMP, KEY = "_partition", "_offset", "_timestamp", "_key"
LOG_COLUMNS = {
    PARTITION: pl.Int32(),
    OFFSET: pl.Int64(),
    TIMESTAMP: pl.Datetime("ms", "UTC"),
    KEY: pl.Binary(),
}
"""Kafka's partition, offset, time (null where the message has none) and key of the event's message."""


def with_log_columns(frame: pl.DataFrame, messages: MessageBlock) -> pl.DataFrame:
    """Returns the frame with `LOG_COLUMNS`; its `_row` is the position in `messages`, all of one topic."""
    times = pl.Series(TIMESTAMP, messages.times)
    of_messages = pl.DataFrame(
        [
            pl.Series(PARTITION, messages.partitions),
            pl.Series(OFFSET, messages.offsets),
            times.set(times == NO_TIME, None).cast(LOG_COLUMNS[TIMESTAMP]),
            pl.Series(KEY, list(messages.keys), dtype=LOG_COLUMNS[KEY]),
        ]
    )
    return frame.hstack(of_messages if len(frame) == len(of_messages) else of_messages[frame[ROW]])
