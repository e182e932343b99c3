"""Rebuilds a table from the log while the old one serves, or proves that it holds what the log says.

Protocol:
 1. `TABLE__next` is made after the served table, or found again, and claimed: an earlier rebuild of it is shut out.
 2. It is filled from the oldest record on, rows and offsets in one transaction, up to where the live worker is; again,
    until little is left. It never goes beyond the live worker.
 3. What the served table holds is counted, together with the live worker's offsets, in one snapshot. `TABLE__next` is
    brought exactly there and counted too. Fewer rows are refused. (Nothing waits for any of this.)
 4. One transaction: the live worker's offsets are locked, so that it can't commit; the small rest up to them is
    applied; the tables are swapped. The offsets come first, as they do in the worker, so neither waits for the other in
    a circle; and they come before any lock on the table, so that readers wait for the swap alone.
 5. Continuous aggregates are refreshed; a crash before that leaves the parts that they had marked as out of
    date.
To verify, 3 compares checksums and 4 is left out; where they differ, the differing rows are looked for with the offsets
locked as in 4. A crash before 4 is done leaves the served table as it was, and the next call goes on with
`TABLE__next`; `--from-scratch` is for code of a projection that has changed since.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from datetime import datetime
from typing import TypeVar

import psycopg
from confluent_kafka import KafkaException
from psycopg import errors, sql

from projections.error import FencedError, ProjectionError, UnavailableError
from projections.offset_store import Connection
from projections.rebuild import chunk_swap, form, table_swap
from projections.rebuild.checksum import Since, checksum, count, differences
from projections.rebuild.config import RebuildConfig, Rebuilt, Verdict
from projections.rebuild.filling import Filling, Progress
from projections.rebuild.live_worker import LiveWorker
from projections.rebuild.log_range import LogRange
from projections.sinks.postgres import translated
from schemas.message_block import Place
from schemas.registry import Registry

log = logging.getLogger(__name__)

T = TypeVar("T")

_CONNECT_S = 10
_SMALL = 10_000
"""Offsets that may be left for the transaction that swaps: at 50 to 100 thousand a second (`hcp rebuild metrics` on two
busy cores) the live worker waits for a tenth of a second or two."""
_TRIES = 10
_PAUSE_S = 0.5
_LOCK = "SET LOCAL lock_timeout = '3s'"
"""Readers queue behind a lock that is waited for: better to give up and try again."""

_EPOCHS = "SELECT topic, partition, epoch FROM projection_offsets WHERE worker = %s"


class ShrinkError(ProjectionError):
    """The rebuilt table would have fewer rows than the served one; nothing was swapped."""


def rebuild(config: RebuildConfig, stop: threading.Event, progress: Progress) -> Rebuilt:
    """Replaces the table by a rebuilt one.

    Raises StoppedError once `stop` is set, ShrinkError, FencedError where another rebuild of this table has begun,
    UnavailableError where a service is away, and ProjectionError for what can't be rebuilt.
    """
    with _rebuild(config, stop, progress) as work:
        return work.replace()


def verify(config: RebuildConfig, stop: threading.Event, progress: Progress) -> Verdict:
    """Compares the table with a rebuilt one, which is dropped afterwards. Raises as `rebuild` does."""
    with _rebuild(config, stop, progress) as work:
        return work.compare()


@contextmanager
def _rebuild(config: RebuildConfig, stop: threading.Event, progress: Progress) -> Iterator["_Rebuild"]:
    with (
        _connected(config) as connection,
        LogRange(config.kafka, f"rebuild:{config.table.name}", config.sources) as log_range,
        closing(Registry(config.registry_url)) as registry,
        Filling(config, connection, log_range, registry=registry, stop=stop, progress=progress) as filling,
    ):
        try:
            with translated():
                yield _Rebuild(config, connection, log_range, filling, stop=stop, progress=progress)
        except FencedError as error:
            raise _overtaken(config) from error
        except UnavailableError as error:
            if _is_overtaken(config, filling):
                raise _overtaken(config) from error
            raise
        except KafkaException as error:
            raise UnavailableError(f"Kafka: {error}; is the stack up (`hcp status`)?") from error


class _Rebuild:
    def __init__(
        self, config: RebuildConfig, connection: Connection, log_range: LogRange, filling: Filling, *,
        stop: threading.Event, progress: Progress,
    ) -> None:  # fmt: skip
        self._config = config
        self._table = config.table
        self._next = form.next_name(config.table)
        self._connection = connection
        self._live = LiveWorker(connection, config, log_range.bounds, log_range.topic_ids())
        self._filling = filling
        self._held_since = 0.0
        self._stop = stop
        self._progress = progress
        self._dimensions = chunk_swap.dimensions(connection, config.table)
        self._since = chunk_swap.kept_since(connection, config.table, self._dimensions)

    def replace(self) -> Rebuilt:
        if self._dimensions:
            chunk_swap.require_attachable(self._connection, self._table)
        else:
            form.require_replaceable(self._connection, self._table)
        is_resumed = self._fill()
        # 3.
        before, after = self._measured(count)
        if after < before and not self._config.allow_shrink:
            raise self._shrunk(before, after)
        # 4.
        aggregates = chunk_swap.aggregates(self._connection, self._table) if self._dimensions else []
        self._aligned(self._swap)
        held_s = time.monotonic() - self._held_since
        # 5.
        start = self._refresh_start(has_shrunk=after < before)
        for aggregate in aggregates:
            self._progress(f"{self._table.name}: refreshing {aggregate}", 0, 0)
            chunk_swap.refresh_aggregate(self._connection, aggregate, start)
        return Rebuilt(after, before, self._filling.events, self._filling.refused, is_resumed, held_s)

    def compare(self) -> Verdict:
        self._fill()
        columns = tuple(self._table.columns)
        served, rebuilt = self._measured(lambda connection, name, since: checksum(connection, name, columns, since))
        found: tuple[list[str], list[str]] = [], []
        if served != rebuilt:
            found = self._aligned(self._differences)
        with self._connection.transaction():
            self._filling.hold()
            form.drop(self._connection, self._next)
            self._filling.release()
        return Verdict(served, rebuilt, tuple(found[0]), tuple(found[1]), self._filling.events, self._filling.refused)

    def _fill(self) -> bool:
        """Steps 1 and 2."""
        self._require_same_topics()
        self._live.require_offsets_of_its_own()
        ends = self._live.ends()
        is_resumed = self._filling.begin(self._live.bounds, ends, from_scratch=self._config.from_scratch)
        self._filling.take_archived(self._config.archive, ends)
        while self._left(ends) > 0:
            self._filling.fill(ends)
            ends = self._live.ends()
            if self._left(ends) <= _SMALL:
                break
        return is_resumed

    def _measured(self, measure: Callable[[Connection, str, Since | None], T]) -> tuple[T, T]:
        """Step 3: returns what `measure` says of both tables, at the same offsets."""
        with self._connection.transaction():
            self._connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            ends = self._live.ends()
            self._progress(f"{self._table.name}: reading the served table", 0, 0)
            served = measure(self._connection, self._table.name, self._since)
        self._filling.fill(ends)
        self._progress(f"{self._table.name}: reading the rebuilt table", 0, 0)
        with self._connection.transaction():
            self._filling.hold()
            return served, measure(self._connection, self._next, self._since)

    def _swap(self) -> None:
        if self._dimensions:
            name = sql.Identifier(self._table.name)
            self._connection.execute(sql.SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(name))
        else:
            table_swap.lock(self._connection, self._table)
        if not form.is_next_current(self._connection, self._table):
            raise ProjectionError(f"{self._table.name} was altered while it was rebuilt; the next call starts over")
        if self._dimensions:
            chunk_swap.swap_chunks(self._connection, self._table)
        else:
            table_swap.swap(self._connection, self._table)
        self._filling.release()

    def _differences(self) -> tuple[list[str], list[str]]:
        columns = tuple(self._table.columns)
        return differences(self._connection, self._table.name, self._next, columns, self._since)

    def _aligned(self, act: Callable[[], T]) -> T:
        """Step 4: one transaction in which `TABLE__next` is brought exactly to where the live worker is, and `act`."""
        for _ in range(_TRIES):
            before = self._filling.state
            ends: dict[Place, int] = {}
            try:
                with self._connection.transaction():
                    self._connection.execute(_LOCK)
                    ends = self._live.locked_ends(self._filling.offsets)
                    self._held_since = time.monotonic()
                    if self._left(ends) <= _SMALL:
                        self._filling.fill(ends)
                        self._filling.hold()
                        return act()
            except BaseException as error:
                self._filling.state = before
                if isinstance(error, (errors.LockNotAvailable, errors.DeadlockDetected)):
                    log.info("%s: a lock was not to be had, trying again", self._table.name)
                elif isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)):
                    raise UnavailableError(str(error).strip()) from error
                elif isinstance(error, psycopg.Error):
                    raise ProjectionError(f"{self._table.name} stays as it was: {str(error).strip()}") from error
                else:
                    raise
            self._stop.wait(_PAUSE_S)
            self._filling.fill(ends)
        raise UnavailableError(f"{self._table.name}: readers or the live worker hold it all the time; try again")

    def _left(self, ends: Mapping[Place, int]) -> int:
        at = self._filling.offsets
        return sum(max(0, end - at[place]) for place, end in ends.items())

    def _require_same_topics(self) -> None:
        made_anew = self._live.made_anew()
        if made_anew and not self._config.allow_shrink:
            raise ShrinkError(
                f"{self._table.name} holds rows of a former {', '.join(made_anew)}, which was made anew: nothing is "
                "swapped; `--allow-shrink` makes it of what the log has now"
            )

    def _shrunk(self, before: int, after: int) -> ShrinkError:
        gone = [f"{name} [{partition}] before offset {oldest}"
                for (name, partition), (oldest, _) in sorted(self._live.bounds.items()) if oldest > 0]  # fmt: skip
        cause = f"Kafka has nothing any more of {', '.join(gone)}" if gone else "the log has nothing of the others"
        return ShrinkError(
            f"{self._table.name} would have {after} rows and has {before}: {cause}. Nothing is swapped; "
            "`--allow-shrink` swaps all the same, an archive of the topic would fill the gap"
        )

    def _refresh_start(self, *, has_shrunk: bool) -> datetime | None:
        """Returns from when on the table has all that its aggregates were made from; None for all of it."""
        if not self._dimensions or not (has_shrunk or self._since):
            return None
        column = sql.Identifier(self._dimensions[0].column)
        statement = sql.SQL("SELECT min({}) FROM {}").format(column, sql.Identifier(self._table.name))
        row = self._connection.execute(statement).fetchone()
        oldest: datetime | None = row[0] if row else None
        return max((moment for moment in (oldest, self._since and self._since.moment) if moment), default=None)


def _overtaken(config: RebuildConfig) -> FencedError:
    return FencedError(f"{config.table.name}: another rebuild of it has begun; this one stops")


def _is_overtaken(config: RebuildConfig, filling: Filling) -> bool:
    """Returns whether another rebuild has claimed the table: a claim ends the connection of the one before."""
    with suppress(UnavailableError), _connected(config) as connection:
        rows = connection.execute(_EPOCHS, (filling.worker,)).fetchall()
        held = {(topic, partition): epoch for topic, partition, epoch in rows}
        return any(held.get(place) != epoch for place, epoch in filling.epochs.items())
    return False


@contextmanager
def _connected(config: RebuildConfig) -> Iterator[Connection]:
    with translated():
        connection: Connection = psycopg.connect(
            config.dsn, autocommit=True, connect_timeout=_CONNECT_S, application_name=f"rebuild:{config.table.name}"
        )
    try:
        yield connection
    finally:
        with suppress(psycopg.Error):
            connection.close()
