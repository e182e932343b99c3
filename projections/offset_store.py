"""The offsets that a database has applied, kept in that database, so that rows and offsets are one transaction."""

from collections.abc import Iterable, Mapping
from typing import Any

import psycopg

from projections.error import FencedError

Place = tuple[str, int]
"""Topic and partition."""

Connection = psycopg.Connection[tuple[Any, ...]]

_READ = """
    SELECT topic, partition, next_offset FROM projection_offsets
    JOIN unnest(%s::text[], %s::int[]) AS wanted (topic, partition) USING (topic, partition)
    WHERE worker = %s
"""
_ENSURE = """
    INSERT INTO projection_offsets (worker, topic, partition, next_offset)
    SELECT %s, topic, partition, next_offset
    FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS start (topic, partition, next_offset)
    ON CONFLICT DO NOTHING
"""
_ADVANCE = """
    UPDATE projection_offsets AS held SET next_offset = step.next_offset, updated_at = now()
    FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[]) AS step (topic, partition, expected, next_offset)
    WHERE held.worker = %s AND held.topic = step.topic AND held.partition = step.partition
      AND held.next_offset = step.expected
"""


def read(connection: Connection, worker: str, places: Iterable[Place]) -> dict[Place, int]:
    """Returns the next offset of those partitions that the database knows."""
    topics, partitions = _columns(places)
    rows = connection.execute(_READ, (topics, partitions, worker)).fetchall()
    return {(topic, partition): next_offset for topic, partition, next_offset in rows}


def ensure(connection: Connection, worker: str, starts: Mapping[Place, int]) -> None:
    """Records where partitions that the database does not know yet start; those it knows stay as they are."""
    topics, partitions = _columns(starts)
    connection.execute(_ENSURE, (worker, topics, partitions, list(starts.values())))


def advance(connection: Connection, worker: str, expected: Mapping[Place, int], following: Mapping[Place, int]) -> None:
    """Moves partitions from the offsets expected to those following, all or none, in the caller's transaction.

    The comparison is the fence: a worker that was stopped while another took over finds other offsets than it
    expects. Raises FencedError; the caller's transaction must be rolled back.
    """
    topics, partitions = _columns(following)
    before = [expected[place] for place in following]
    parameters = (topics, partitions, before, list(following.values()), worker)
    moved = connection.execute(_ADVANCE, parameters).rowcount
    if moved != len(following):
        raise FencedError(
            f"{worker}: {len(following) - moved} of the partitions {sorted(following)} are not where this worker left "
            "them: another worker has applied them; this one gives up"
        )


def _columns(places: Iterable[Place]) -> tuple[list[str], list[int]]:
    listed = list(places)
    return [topic for topic, _ in listed], [partition for _, partition in listed]
