"""How far the worker is that writes the served table: a rebuild follows it, never overtakes it, holds it to swap.

A worker that stands behind the end of the log, which has lost its end or was made anew, is set back there. One whose
topic was made anew and has grown past where it stood stays where it is in the new one, of which the table then is.
"""

from collections.abc import Callable, Mapping

from projections import offset_store
from projections.error import ProjectionError
from projections.offset_store import Connection
from projections.rebuild.config import RebuildConfig
from projections.rebuild.log_range import Bounds
from schemas.message_block import Place

_LOCK = """
    SELECT topic, partition, next_offset FROM projection_offsets
    JOIN unnest(%s::text[], %s::int[]) AS wanted (topic, partition) USING (topic, partition)
    WHERE worker = %s ORDER BY topic, partition FOR UPDATE OF projection_offsets
"""
_SET_BACK = """
    UPDATE projection_offsets AS held
    SET next_offset = least(held.next_offset, log.next_offset), topic_id = log.topic_id
    FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::text[]) AS log (topic, partition, next_offset, topic_id)
    WHERE held.worker = %s AND held.topic = log.topic AND held.partition = log.partition
      AND (held.next_offset > log.next_offset OR held.topic_id IS DISTINCT FROM log.topic_id)
"""
_START = """
    INSERT INTO projection_offsets (worker, topic, partition, next_offset, topic_id)
    SELECT %s, * FROM unnest(%s::text[], %s::int[], %s::bigint[], %s::text[]) ON CONFLICT DO NOTHING
"""


class LiveWorker:
    """The offsets that the worker has stored in the database of the table; `read_bounds` asks for those of the log."""

    def __init__(
        self, connection: Connection, config: RebuildConfig, read_bounds: Callable[[], Bounds],
        topic_ids: Mapping[str, str],
    ) -> None:  # fmt: skip
        self._connection = connection
        self._topic_ids = topic_ids
        self._config = config
        self._read_bounds = read_bounds
        self.bounds = read_bounds()
        """Of the log: read again where the worker is beyond them."""

    def offsets(self) -> dict[Place, int]:
        """Returns the next offset of each partition that the worker knows; none where it has never run."""
        return offset_store.read(self._connection, self._config.live_worker, self.bounds)

    def made_anew(self) -> list[str]:
        """Returns the topics that are not those which the worker has handled under their names, sorted."""
        known = offset_store.held(self._connection, self._config.live_worker, self.bounds)
        other = {
            topic for (topic, _), held in known.items() if held.topic_id and held.topic_id != self._topic_ids.get(topic)
        }
        return sorted(other)

    def ends(self) -> dict[Place, int]:
        """Returns up to where each partition may be applied: as the worker has it, or all where it has never run."""
        return self._ends(self.offsets())

    def locked_ends(self, applied: Mapping[Place, int]) -> dict[Place, int]:
        """Returns the same, and lets the worker commit nothing before the caller's transaction has ended.

        One that has never run will begin there, as will one that stands behind the end of the log. Raises
        ProjectionError where `applied` is beyond.
        """
        worker = self._config.live_worker
        places = list(self.bounds)
        topics, partitions = [topic for topic, _ in places], [partition for _, partition in places]
        ids = [self._topic_ids.get(topic) for topic in topics]
        rows = self._connection.execute(_LOCK, (topics, partitions, worker)).fetchall()
        live = {(topic, partition): next_offset for topic, partition, next_offset in rows}
        ends = self._ends(live)
        started = len(ends)
        if not live:
            values = (worker, topics, partitions, list(ends.values()), ids)
            started = self._connection.execute(_START, values).rowcount
        self._connection.execute(_SET_BACK, (topics, partitions, [ends[place] for place in places], ids, worker))
        if started < len(ends) or any(applied[place] > end for place, end in ends.items()):
            raise ProjectionError(
                f"{self._config.table.name}: {worker} has begun, or was set back, meanwhile; the next call starts over"
            )
        return ends

    def require_offsets_of_its_own(self) -> None:
        """Raises ProjectionError where a worker that has never run would miss rows of its other tables."""
        if self.offsets():
            return
        table = self._config.table
        others = sorted(
            other.name
            for other in self._config.neighbours
            if other.name != table.name and set(other.sources) & set(table.sources)
        )
        if others:
            raise ProjectionError(
                f"{self._config.live_worker} has never run, and {', '.join(others)} come from the topics of "
                f"{table.name} too: run the worker, it fills all of them"
            )

    def _ends(self, live: Mapping[Place, int]) -> dict[Place, int]:
        if not live:
            return {place: end for place, (_, end) in self.bounds.items()}
        # The log has grown since its ends were read, or it ends there.
        if any(offset > self.bounds[place][1] for place, offset in live.items()):
            self.bounds = self._read_bounds()
        # A partition that only this one is unknown of is one that the worker has not come to yet.
        return {place: min(live.get(place, 0), end) for place, (_, end) in self.bounds.items()}
