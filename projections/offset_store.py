"""The offsets that a database has applied and the epochs of their owners, kept in that database with the rows.

An epoch is a fencing token (Kleppmann, "How to do distributed locking", 2016): it only grows, every claim takes the
next one, and a write with an older one is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg

from projections.error import FencedError
from projections.sink import NO_IDS, Claim, Step
from schemas.message_block import Place

Connection = psycopg.Connection[tuple[Any, ...]]

_READ = """
    SELECT topic, partition, next_offset, epoch, coalesce(topic_id, '') FROM projection_offsets
    JOIN unnest(%s::text[], %s::int[]) AS wanted (topic, partition) USING (topic, partition)
    WHERE worker = %s
"""
# A predecessor that was stopped in the middle of a transaction holds locks on its rows for as long as it sleeps.
_END_PREDECESSOR = """
    SELECT pg_terminate_backend(session.pid)
    FROM pg_stat_activity AS session
    JOIN projection_offsets AS held
      ON session.pid = held.owner_pid AND session.backend_start = held.owner_started_at
    JOIN unnest(%s::text[], %s::int[]) AS wanted (topic, partition) USING (topic, partition)
    WHERE held.worker = %s AND session.pid <> pg_backend_pid()
"""
_CLAIM = """
    INSERT INTO projection_offsets AS held
        (worker, topic, partition, next_offset, topic_id, epoch, owner_pid, owner_started_at)
    SELECT %s, topic, partition, next_offset, topic_id, 1, self.pid, self.backend_start
    FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::text[]) AS start (topic, partition, next_offset, topic_id)
    LEFT JOIN (SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS self ON true
    ORDER BY topic, partition
    ON CONFLICT (worker, topic, partition) DO UPDATE
    SET epoch = held.epoch + 1, owner_pid = EXCLUDED.owner_pid, owner_started_at = EXCLUDED.owner_started_at,
        topic_id = coalesce(held.topic_id, EXCLUDED.topic_id)
    RETURNING topic, partition, next_offset, epoch, coalesce(topic_id, '')
"""
_RELEASE = """
    UPDATE projection_offsets AS held SET owner_pid = NULL, owner_started_at = NULL
    FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS left_behind (topic, partition, epoch)
    WHERE held.worker = %s AND held.topic = left_behind.topic AND held.partition = left_behind.partition
      AND held.epoch = left_behind.epoch
"""
_START_OVER = """
    UPDATE projection_offsets AS held SET next_offset = 0, topic_id = start.topic_id, updated_at = now()
    FROM unnest(%s::text[], %s::int[], %s::text[]) AS start (topic, partition, topic_id)
    WHERE held.worker = %s AND held.topic = start.topic AND held.partition = start.partition
"""
_ADVANCE = """
    UPDATE projection_offsets AS held SET next_offset = step.next_offset, updated_at = now()
    FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS step (topic, partition, expected, next_offset, epoch)
    WHERE held.worker = %s AND held.topic = step.topic AND held.partition = step.partition
      AND held.next_offset = step.expected AND held.epoch = step.epoch
"""


def held(connection: Connection, worker: str, places: Iterable[Place]) -> dict[Place, Claim]:
    """Returns those of the partitions that the database knows, as their last owner claimed and left them."""
    topics, partitions = _columns(places)
    return _claims(connection.execute(_READ, (topics, partitions, worker)).fetchall())


def read(connection: Connection, worker: str, places: Iterable[Place]) -> dict[Place, int]:
    """Returns the next offset of those partitions that the database knows."""
    return {place: known.next_offset for place, known in held(connection, worker, places).items()}


def read_epochs(connection: Connection, worker: str, places: Iterable[Place]) -> dict[Place, int]:
    """Returns the epoch of those partitions that the database knows."""
    return {place: known.epoch for place, known in held(connection, worker, places).items()}


def claim(
    connection: Connection, worker: str, oldest: Mapping[Place, int], topic_ids: Mapping[str, str] = NO_IDS
) -> dict[Place, Claim]:
    """Takes partitions over: each gets the next epoch. Those that the database does not know start at `oldest`.

    `topic_ids` are kept where the database knows none yet.
    """
    topics, partitions = _columns(oldest)
    connection.execute(_END_PREDECESSOR, (topics, partitions, worker))
    values = (worker, topics, partitions, list(oldest.values()), [topic_ids.get(topic) for topic in topics])
    return _claims(connection.execute(_CLAIM, values).fetchall())


def start_over(connection: Connection, worker: str, places: Iterable[Place], topic_ids: Mapping[str, str]) -> None:
    """Moves partitions to offset 0 of these topics."""
    topics, partitions = _columns(places)
    connection.execute(_START_OVER, (topics, partitions, [topic_ids.get(topic) for topic in topics], worker))


def release(connection: Connection, worker: str, epochs: Mapping[Place, int]) -> None:
    """Says that the owner of these epochs will not write any more; whoever claimed them since is left alone."""
    topics, partitions = _columns(epochs)
    connection.execute(_RELEASE, (topics, partitions, list(epochs.values()), worker))


def advance(connection: Connection, worker: str, steps: Mapping[Place, Step]) -> None:
    """Moves partitions, all or none, in the caller's transaction.

    Epoch and offset are the fence: a worker that slept while another took over holds an old epoch. Raises FencedError;
    the caller's transaction must be rolled back.
    """
    topics, partitions = _columns(steps)
    columns = _step_columns(list(steps.values()))
    moved = connection.execute(_ADVANCE, (topics, partitions, *columns, worker)).rowcount
    if moved != len(steps):
        raise FencedError(
            f"{worker}: {len(steps) - moved} of the partitions {sorted(steps)} are not as this worker left them: "
            "another worker has claimed them; this one stops"
        )


def _claims(rows: Iterable[tuple[Any, ...]]) -> dict[Place, Claim]:
    return {
        (topic, partition): Claim(next_offset, epoch, topic_id)
        for topic, partition, next_offset, epoch, topic_id in rows
    }


def _step_columns(steps: Sequence[Step]) -> tuple[list[int], list[int], list[int]]:
    return [s.expected for s in steps], [s.following for s in steps], [s.epoch for s in steps]


def _columns(places: Iterable[Place]) -> tuple[list[str], list[int]]:
    listed = list(places)
    return [topic for topic, _ in listed], [partition for _, partition in listed]
