"""The offsets that a database has applied and the epochs of their owners, kept in that database with the rows.

An epoch is a fencing token (Kleppmann, "How to do distributed locking", 2016): it only grows, every claim takes the
next one, and a write with an older one is refused.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import psycopg

from projections.error import FencedError
from projections.sink import Claim, Place, Step

Connection = psycopg.Connection[tuple[Any, ...]]

_READ = """
    SELECT topic, partition, next_offset, epoch FROM projection_offsets
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
    INSERT INTO projection_offsets AS held (worker, topic, partition, next_offset, epoch, owner_pid, owner_started_at)
    SELECT %s, topic, partition, next_offset, 1, self.pid, self.backend_start
    FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS start (topic, partition, next_offset)
    LEFT JOIN (SELECT pid, backend_start FROM pg_stat_activity WHERE pid = pg_backend_pid()) AS self ON true
    ORDER BY topic, partition
    ON CONFLICT (worker, topic, partition) DO UPDATE
    SET epoch = held.epoch + 1, owner_pid = EXCLUDED.owner_pid, owner_started_at = EXCLUDED.owner_started_at
    RETURNING topic, partition, next_offset, epoch
"""
_RELEASE = """
    UPDATE projection_offsets AS held SET owner_pid = NULL, owner_started_at = NULL
    FROM unnest(%s::text[], %s::int[], %s::bigint[]) AS left_behind (topic, partition, epoch)
    WHERE held.worker = %s AND held.topic = left_behind.topic AND held.partition = left_behind.partition
      AND held.epoch = left_behind.epoch
"""
_ADVANCE = """
    UPDATE projection_offsets AS held SET next_offset = step.next_offset, updated_at = now()
    FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::bigint[], %s::bigint[])
        AS step (topic, partition, expected, next_offset, epoch)
    WHERE held.worker = %s AND held.topic = step.topic AND held.partition = step.partition
      AND held.next_offset = step.expected AND held.epoch = step.epoch
"""


def read(connection: Connection, worker: str, places: Iterable[Place]) -> dict[Place, int]:
    """Returns the next offset of those partitions that the database knows."""
    return {place: next_offset for place, (next_offset, _) in _held(connection, worker, places).items()}


def read_epochs(connection: Connection, worker: str, places: Iterable[Place]) -> dict[Place, int]:
    """Returns the epoch of those partitions that the database knows."""
    return {place: epoch for place, (_, epoch) in _held(connection, worker, places).items()}


def claim(connection: Connection, worker: str, oldest: Mapping[Place, int]) -> dict[Place, Claim]:
    """Takes partitions over: each gets the next epoch. Those that the database does not know start at `oldest`."""
    topics, partitions = _columns(oldest)
    connection.execute(_END_PREDECESSOR, (topics, partitions, worker))
    rows = connection.execute(_CLAIM, (worker, topics, partitions, list(oldest.values()))).fetchall()
    return {(topic, partition): Claim(next_offset, epoch) for topic, partition, next_offset, epoch in rows}


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


def _held(connection: Connection, worker: str, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
    topics, partitions = _columns(places)
    rows = connection.execute(_READ, (topics, partitions, worker)).fetchall()
    return {(topic, partition): (next_offset, epoch) for topic, partition, next_offset, epoch in rows}


def _step_columns(steps: Sequence[Step]) -> tuple[list[int], list[int], list[int]]:
    return [s.expected for s in steps], [s.following for s in steps], [s.epoch for s in steps]


def _columns(places: Iterable[Place]) -> tuple[list[str], list[int]]:
    listed = list(places)
    return [topic for topic, _ in listed], [partition for _, partition in listed]
