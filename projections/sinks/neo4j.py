"""Neo4j as a sink: the rows of a table as nodes and relationships, by a statement that is declared for the table
(`projections.graph_table`). JSON and decimals are text.

Rows and offsets are one transaction. Reads in Neo4j take no locks, so a worker could read an epoch, another claim, and
the first write behind it: the offset's node is written before it is read, which locks it until the end (Neo4j
Operations Manual, "Concurrent data access", lost updates). The server ends a transaction that lasts longer than a
minute, so that a worker that sleeps in one does not hold its locks for ever.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

from neo4j import Driver, GraphDatabase, Transaction, exceptions

from projections.error import FencedError, ProjectionError, RefusedError, TooLargeError, UnavailableError
from projections.graph_table import GraphTable
from projections.reduction import reduced
from projections.sink import NO_IDS, Claim, Rows, Step
from schemas import metric
from schemas.message_block import Place

_CONNECT_S = 5.0
_TRANSACTION_S = 60.0
_REFUSALS = ("Neo.ClientError.Schema.", "Neo.ClientError.Statement.")
_TOO_LARGE = frozenset(
    f"Neo.TransientError.General.{name}"
    for name in ("MemoryPoolOutOfMemoryError", "TransactionMemoryLimit", "OutOfMemoryError")
)
_TIMED_OUT = "Neo.ClientError.Transaction.TransactionTimedOut"
_STATEMENT_FAULTS = frozenset({"Neo.ClientError.Statement.SyntaxError", "Neo.ClientError.Statement.ParameterMissing"})

_OFFSETS = "CREATE CONSTRAINT hcp_offset IF NOT EXISTS FOR (o:ProjectionOffset) REQUIRE o.id IS UNIQUE"
_CLAIM = """
UNWIND $places AS place
MERGE (o:ProjectionOffset {id: place.id})
ON CREATE SET o.next_offset = place.oldest, o.epoch = 0
SET o.epoch = o.epoch + 1, o.topic_id = coalesce(o.topic_id, place.topic_id)
RETURN o.id AS id, o.next_offset AS next_offset, o.epoch AS epoch, coalesce(o.topic_id, '') AS topic_id
"""
_LOCK = "UNWIND $ids AS id MATCH (o:ProjectionOffset {id: id}) SET o.locked = true"
_ADVANCE = """
UNWIND $steps AS step
MATCH (o:ProjectionOffset {id: step.id})
WHERE o.next_offset = step.expected AND o.epoch = step.epoch
SET o.next_offset = step.following
REMOVE o.locked
RETURN count(o) AS moved
"""


class Neo4jSink:
    """See `projections.sink.Sink`. Connects at once, for the constraints; raises UnavailableError where it can't."""

    dependency = "neo4j"
    fresh_start = "delete its nodes to fill it from this log"

    def __init__(self, url: str, user: str, password: str, worker: str, tables: Sequence[GraphTable]) -> None:
        self._worker = worker
        self._statements = {entry.table.name: entry.statement for entry in tables}
        with _translated(worker):
            self._driver: Driver = GraphDatabase.driver(
                url,
                auth=(user, password),
                user_agent=f"mara-hcp/{worker}",
                connection_timeout=_CONNECT_S,
                connection_acquisition_timeout=2 * _CONNECT_S,
                max_connection_pool_size=2,
                warn_notification_severity="OFF",
            )
        try:
            with _translated(worker), self._driver.session() as session:
                for constraint in (_OFFSETS, *(entry.constraint for entry in tables)):
                    session.run(constraint).consume()
        except BaseException:
            self.close()
            raise

    def claim(self, oldest: Mapping[Place, int], topic_ids: Mapping[str, str] = NO_IDS) -> dict[Place, Claim]:
        """See Sink. Waits for a predecessor's transaction, at most as long as the server lets it live."""
        with _translated(self._worker), self._transaction() as transaction:
            return self._claim_in(transaction, oldest, topic_ids)

    def release(self, places: Sequence[Place]) -> None:
        """See Sink. There is nothing to give back: nothing is held between two transactions."""

    def encode(self, rows: Rows) -> Rows:
        """See Sink."""
        return rows

    def apply(self, rows: Sequence[Rows], steps: Mapping[Place, Step]) -> dict[str, int]:
        """See Sink. The offsets go first: a worker that has been overtaken stops before it writes."""
        written: dict[str, int] = {}
        started = time.monotonic()
        with _translated(self._worker, sum(len(part.frame) for part in rows)):
            with self._transaction() as transaction:
                self._advance(transaction, steps)
                for part in rows:
                    maps = [_map(row) for row in reduced(part.table, part.frame).iter_rows(named=True)]
                    record = transaction.run(self._statements[part.table.name], rows=maps).single(strict=True)
                    written[part.table.name] = written.get(part.table.name, 0) + record["written"]
                wrote = time.monotonic()
            metric.WRITE_SECONDS.labels(self._worker).observe(wrote - started)
            metric.COMMIT_SECONDS.labels(self._worker).observe(time.monotonic() - wrote)
        return written

    def close(self) -> None:
        """See Sink."""
        with suppress(exceptions.Neo4jError, exceptions.DriverError):
            self._driver.close()

    @contextmanager
    def _transaction(self) -> Iterator[Transaction]:
        """One transaction, tried once: the driver's own retries would repeat a commit whose answer was lost."""
        with self._driver.session() as session, session.begin_transaction(timeout=_TRANSACTION_S) as transaction:
            yield transaction
            transaction.commit()

    def _claim_in(
        self, transaction: Transaction, oldest: Mapping[Place, int], topic_ids: Mapping[str, str]
    ) -> dict[Place, Claim]:
        # Sorted, as two claims that lock in different orders would wait for each other.
        places = [
            {"id": self._id(place), "oldest": offset, "topic_id": topic_ids.get(place[0])}
            for place, offset in sorted(oldest.items())
        ]
        transaction.run(_LOCK, ids=[place["id"] for place in places]).consume()
        found = {record["id"]: record for record in transaction.run(_CLAIM, places=places)}
        held = {place: found[self._id(place)] for place in oldest}
        return {
            place: Claim(record["next_offset"], record["epoch"], record["topic_id"]) for place, record in held.items()
        }

    def _advance(self, transaction: Transaction, steps: Mapping[Place, Step]) -> None:
        moves = [
            {"id": self._id(place), "expected": step.expected, "following": step.following, "epoch": step.epoch}
            for place, step in sorted(steps.items())
        ]
        transaction.run(_LOCK, ids=[move["id"] for move in moves]).consume()
        record = transaction.run(_ADVANCE, steps=moves).single(strict=True)
        if record["moved"] != len(moves):
            raise FencedError(
                f"{self._worker}: {len(moves) - record['moved']} of the partitions {sorted(steps)} are not as this "
                "worker left them: another worker has claimed them; this one stops"
            )

    def _id(self, place: Place) -> str:
        return f"{self._worker}/{place[0]}/{place[1]}"


def _map(row: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a row as the driver can send it: it knows no decimals."""
    return {column: str(value) if isinstance(value, Decimal) else value for column, value in row.items()}


@contextmanager
def _translated(worker: str, row_count: int = 0) -> Iterator[None]:
    """Turns the driver's errors into those of projections, by what can be done about them.

    A single row that is too large for the memory of the moment waits; more of them can be written in halves.
    """
    try:
        yield
    except (exceptions.AuthError, exceptions.Forbidden) as error:
        raise ProjectionError(f"Neo4j does not let {worker} in: {error}") from error
    except exceptions.TransientError as error:
        if row_count > 1 and error.code in _TOO_LARGE:
            raise TooLargeError("TransactionTooLarge", str(error.message)) from error
        raise UnavailableError(f"Neo4j: {error}", Neo4jSink.dependency) from error
    except (exceptions.ServiceUnavailable, exceptions.SessionExpired) as error:
        raise UnavailableError(f"Neo4j: {error}", Neo4jSink.dependency) from error
    except exceptions.ClientError as error:
        code = error.code or ""
        if code.startswith(_REFUSALS) and code not in _STATEMENT_FAULTS:
            raise RefusedError(code.rpartition(".")[2], str(error.message)) from error
        if error.is_retryable() or code.startswith(_TIMED_OUT):
            raise UnavailableError(f"Neo4j: {error}", Neo4jSink.dependency) from error
        raise ProjectionError(f"Neo4j: {error}") from error
    except exceptions.ConfigurationError as error:
        raise ProjectionError(f"not the address of a Neo4j: {error}") from error
    except (exceptions.Neo4jError, exceptions.DriverError, OSError) as error:
        raise UnavailableError(f"Neo4j: {error}", Neo4jSink.dependency) from error
