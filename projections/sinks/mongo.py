"""A server that speaks MongoDB's protocol as a sink: a document a row, a collection a table.

`_id` is the row's key, the other fields are its columns; JSON columns are documents. `_order` is the place in the
table's order, where the table has one. Offsets are in `projection_offsets`, a document a partition.

Where the server has transactions (a replica set, a sharded cluster), rows and offsets are one. Where it has none, the
order of writes does it:
 1. The offsets are read: a worker that has been overtaken stops before it writes.
 2. Rows are written, in ways that may be repeated: a ledger's row is only inserted (`$setOnInsert`), another replaces
    only what is older.
 3. Each offset moves by a compare-and-set on itself and the epoch.
A crash before 3 leaves rows whose offsets have not moved: their events are read again, and change nothing. A zombie
that was overtaken between 1 and 3 writes late what is in the log in any case, so its successor writes or has written
the same: none of it is doubled or goes back, and in 3 it is told to stop. So each event counts exactly once; what
differs is that a batch may be seen in part, and that the good rows of a refused batch are there before its halves are.

What is acknowledged is on disk on most members (`w=majority`, journalled). The driver repeats nothing by itself.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from decimal import Decimal
from typing import Any

from bson import Decimal128
from bson.errors import BSONError
from pymongo import MongoClient, ReturnDocument, UpdateOne, errors
from pymongo.client_session import ClientSession
from pymongo.collection import Collection

from projections.error import FencedError, ProjectionError, RefusedError, TooLargeError, UnavailableError
from projections.reduction import rank, reduced
from projections.sink import NO_IDS, Claim, Rows, Step
from projections.table import Mode, Table
from schemas import metric
from schemas.message_block import Place

DATABASE = "mara_hcp"
OFFSETS = "projection_offsets"
ORDER = "_order"
SELECT_MS = 5_000
_ANSWER_MS = 30_000
_CLAIM_MS = 20_000
"""A predecessor that sleeps in a transaction makes a claim wait; the server ends that transaction after a minute."""
_NOT_ALLOWED = frozenset({13, 18, 8000})  # Unauthorized, AuthenticationFailed, and Atlas's own
_TOO_LARGE = 388  # TransactionTooLargeForCache
_WAITING = frozenset({24, 50, 91, 112, 246, 251, _TOO_LARGE})
"""LockTimeout, MaxTimeMSExpired, ShutdownInProgress, WriteConflict, SnapshotUnavailable, NoSuchTransaction."""
_REFUSALS = {121: "DocumentValidationFailure", 11000: "DuplicateKey", 10334: "BSONObjectTooLarge"}

Document = dict[str, Any]


class MongoSink:
    """See `projections.sink.Sink`. Connects at once and raises UnavailableError where it can't.

    `has_transactions` overrides what the server says of itself; `select_ms` is how long to look for a server that takes
    writes.
    """

    dependency = "mongo"
    fresh_start = "drop its database to fill it from this log"

    def __init__(
        self, url: str, worker: str, *, has_transactions: bool | None = None, select_ms: int = SELECT_MS
    ) -> None:
        self._worker = worker
        with _translated(worker):
            self._client: MongoClient[Document] = MongoClient(
                url,
                appname=worker[:128],
                serverSelectionTimeoutMS=select_ms,
                connectTimeoutMS=select_ms,
                socketTimeoutMS=_ANSWER_MS,
                retryWrites=False,
                retryReads=False,
                w="majority",
                journal=True,
            )
            try:
                hello = self._client.admin.command("hello")
                self._database = self._client.get_default_database(DATABASE)
            except BaseException:
                self._client.close()
                raise
        supported = "setName" in hello or hello.get("msg") == "isdbgrid"
        self._has_transactions = supported if has_transactions is None else has_transactions
        self._offsets: Collection[Document] = self._database[OFFSETS]

    def claim(self, oldest: Mapping[Place, int], topic_ids: Mapping[str, str] = NO_IDS) -> dict[Place, Claim]:
        """See Sink. Each partition is claimed by itself: one that fails leaves the others with a new epoch, no harm."""
        claims = {}
        with _translated(self._worker):
            for place, offset in oldest.items():
                held = self._offsets.find_one_and_update(
                    {"_id": self._id(place)},
                    {"$inc": {"epoch": 1}, "$setOnInsert": {"next_offset": offset}},
                    upsert=True,
                    return_document=ReturnDocument.AFTER,
                    maxTimeMS=_CLAIM_MS,
                )
                assert held is not None, "an upsert returns its document"
                topic_id = held.get("topic_id") or topic_ids.get(place[0], "")
                if topic_id and "topic_id" not in held:
                    self._offsets.update_one({"_id": self._id(place)}, {"$set": {"topic_id": topic_id}})
                claims[place] = Claim(int(held["next_offset"]), int(held["epoch"]), topic_id)
        return claims

    def release(self, places: Sequence[Place]) -> None:
        """See Sink. There is nothing to give back: nothing is held between two batches."""

    def encode(self, rows: Rows) -> Rows:
        """See Sink."""
        return rows

    def apply(self, rows: Sequence[Rows], steps: Mapping[Place, Step]) -> dict[str, int]:
        """See Sink; the module's docstring has the order of writes."""
        batches = [(part.table, [_update(part.table, row) for row in _rows(part)]) for part in rows]
        count = sum(len(updates) for _, updates in batches)
        with metric.WRITE_SECONDS.labels(self._worker).time(), _translated(self._worker, count):
            if not self._has_transactions:
                self._require_current(steps)
                written = self._write(batches, None)
                self._advance(steps, None)
                return written
            with self._client.start_session() as session, session.start_transaction():
                self._advance(steps, session)
                return self._write(batches, session)

    def close(self) -> None:
        """See Sink."""
        with suppress(errors.PyMongoError):
            self._client.close()

    def _write(self, batches: Sequence[tuple[Table, list[UpdateOne]]], session: ClientSession | None) -> dict[str, int]:
        written: dict[str, int] = {}
        for table, updates in batches:
            taken = 0
            if updates:
                done = self._database[table.name].bulk_write(updates, ordered=False, session=session)
                taken = done.upserted_count + done.modified_count
            written[table.name] = written.get(table.name, 0) + taken
        return written

    def _require_current(self, steps: Mapping[Place, Step]) -> None:
        current = self._offsets.count_documents({"$or": [self._as_left(*item) for item in steps.items()]})
        self._fence(steps, current)

    def _advance(self, steps: Mapping[Place, Step], session: ClientSession | None) -> None:
        moves = [
            UpdateOne(self._as_left(place, step), {"$set": {"next_offset": step.following}})
            for place, step in steps.items()
        ]
        self._fence(steps, self._offsets.bulk_write(moves, session=session).matched_count)

    def _fence(self, steps: Mapping[Place, Step], current: int) -> None:
        if current != len(steps):
            raise FencedError(
                f"{self._worker}: {len(steps) - current} of the partitions {sorted(steps)} are not as this worker left "
                "them: another worker has claimed them; this one stops"
            )

    def _as_left(self, place: Place, step: Step) -> Document:
        return {"_id": self._id(place), "next_offset": step.expected, "epoch": step.epoch}

    def _id(self, place: Place) -> str:
        return f"{self._worker}/{place[0]}/{place[1]}"


def _rows(part: Rows) -> Iterator[Document]:
    return reduced(part.table, part.frame).iter_rows(named=True)


def _update(table: Table, row: Document) -> UpdateOne:
    """Returns the write of a row that changes nothing where it was done before or came too late."""
    key = {column: row[column] for column in table.key}
    wanted = {"_id": next(iter(key.values())) if len(key) == 1 else key}
    document = {column: _value(value, table.columns[column]) for column, value in row.items()}
    if table.mode is Mode.LEDGER:
        return UpdateOne(wanted, {"$setOnInsert": document}, upsert=True)
    place = list(rank(table, row))
    comparison = "$gte" if table.mode is Mode.LATEST else "$gt"
    is_new = {"$eq": [{"$type": f"${ORDER}"}, "missing"]}
    is_newer = {comparison: [{"$literal": place}, f"${ORDER}"]}
    # `$literal`, as a text that begins with $ would be an expression.
    replacement = {"$literal": wanted | document | {ORDER: place}}
    chosen = {"$cond": [{"$or": [is_new, is_newer]}, replacement, "$$ROOT"]}
    return UpdateOne(wanted, [{"$replaceWith": chosen}], upsert=True)


def _value(value: object, sql_type: str) -> object:
    match value:
        case str() if sql_type == "jsonb":
            return json.loads(value)
        case Decimal():
            return Decimal128(value)
        case _:
            return value


@contextmanager
def _translated(worker: str, row_count: int = 0) -> Iterator[None]:
    """Turns the driver's errors into those of projections, by what can be done about them.

    A single row that is too large for the cache of the moment waits; more of them can be written in halves.
    """
    try:
        yield
    except (errors.ConfigurationError, errors.InvalidURI) as error:
        raise ProjectionError(f"not the address of a MongoDB: {error}") from error
    except (errors.ConnectionFailure, errors.WTimeoutError) as error:
        raise UnavailableError(f"MongoDB: {error}", MongoSink.dependency) from error
    except errors.OperationFailure as error:
        if row_count > 1 and error.code == _TOO_LARGE:
            raise TooLargeError("TransactionTooLargeForCache", str(error)) from error
        if isinstance(error, errors.BulkWriteError):
            raise _of_bulk(error) from error
        raise _of_operation(worker, error) from error
    except (BSONError, OverflowError) as error:
        raise RefusedError(type(error).__name__, str(error)) from error
    except errors.PyMongoError as error:
        raise ProjectionError(f"MongoDB: {error}") from error


def _of_bulk(error: errors.BulkWriteError) -> ProjectionError:
    refusals = error.details.get("writeErrors", []) if error.details else []
    if not refusals or error.has_error_label("TransientTransactionError") or refusals[0]["code"] in _WAITING:
        return UnavailableError(f"MongoDB: {error}", MongoSink.dependency)
    first = refusals[0]
    return RefusedError(_REFUSALS.get(first["code"], f"WriteError{first['code']}"), first["errmsg"])


def _of_operation(worker: str, error: errors.OperationFailure) -> ProjectionError:
    if error.code in _NOT_ALLOWED:
        return ProjectionError(f"MongoDB does not let {worker} in: {error}")
    if error.code in _WAITING or error.has_error_label("TransientTransactionError"):
        return UnavailableError(f"MongoDB: {error}", MongoSink.dependency)
    return ProjectionError(f"MongoDB: {error}")
