"""Which dead letters were replayed into a database, kept in that database with the rows that came of them."""

from collections.abc import Sequence

from projections.offset_store import Connection
from schemas.dead_letter import LetterId

# In the order of the key: two replays of the same letters wait for each other, and not both of them.
_TAKE = """
    INSERT INTO replayed_dead_letters (worker, topic, partition, source_offset)
    SELECT worker, topic, partition, source_offset
    FROM unnest(%s::text[], %s::text[], %s::int[], %s::bigint[]) AS letter (worker, topic, partition, source_offset)
    ORDER BY worker, topic, partition, source_offset
    ON CONFLICT DO NOTHING
    RETURNING worker, topic, partition, source_offset
"""


def take(connection: Connection, letters: Sequence[LetterId]) -> set[LetterId]:
    """Notes letters as replayed, in the caller's transaction; returns those that were not noted before.

    Waits for another transaction that is about to note one of them.
    """
    columns = (
        [letter.worker for letter in letters],
        [letter.topic for letter in letters],
        [letter.partition for letter in letters],
        [letter.offset for letter in letters],
    )
    return {LetterId(*row) for row in connection.execute(_TAKE, columns).fetchall()}
