"""What an archive holds of a topic: every event that projections accept, as it is."""

import polars as pl

from projections.table import Database, Mode, Table
from schemas.catalog import Topic


def archive_table(topic: Topic) -> Table:
    """Returns the table of a topic in the archive; its rows are the topic's events."""
    return Table(
        name=topic.name.replace(".", "_"),
        # Only the migrations of a database ask for it, and the archive has none.
        database=Database.TIMESCALE,
        mode=Mode.APPEND,
        sources={topic.name: _as_it_is},
        columns={},
    )


def _as_it_is(frame: pl.DataFrame) -> pl.DataFrame:
    return frame
