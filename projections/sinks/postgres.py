"""PostgreSQL and TimescaleDB as a sink: rows and offsets are one database transaction."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

import polars as pl
import psycopg
from psycopg import errors

from projections import offset_store, replay_ledger
from projections.error import FencedError, ProjectionError, RefusedError, UnavailableError
from projections.offset_store import Connection
from projections.sink import NO_IDS, Claim, Rows, Step
from projections.writer import encoded, reduced, write
from schemas import metric
from schemas.dead_letter import LetterId
from schemas.message_block import Place
from schemas.reject import ROW

_CONNECT_S = 10
_SESSION = "-c idle_in_transaction_session_timeout=60s"
"""A worker that sleeps in a transaction must not hold its locks for ever."""


class PostgresSink:
    """See `projections.sink.Sink`. One connection; opens it at once and raises UnavailableError where it can't."""

    dependency = "database"
    fresh_start = "`hcp rebuild --all --allow-shrink` makes its tables of what the log has"

    def __init__(self, dsn: str, worker: str) -> None:
        self._dsn = dsn
        self._worker = worker
        self._epochs: dict[Place, int] = {}
        with translated():
            self._connection: Connection = psycopg.connect(
                dsn, autocommit=True, connect_timeout=_CONNECT_S, application_name=worker, options=_SESSION
            )

    def claim(self, oldest: Mapping[Place, int], topic_ids: Mapping[str, str] = NO_IDS) -> dict[Place, Claim]:
        """See Sink."""
        with translated():
            claims = offset_store.claim(self._connection, self._worker, oldest, topic_ids)
        self._epochs |= {place: claim.epoch for place, claim in claims.items()}
        return claims

    def release(self, places: Sequence[Place]) -> None:
        """See Sink."""
        epochs = {place: self._epochs.pop(place) for place in places if place in self._epochs}
        with translated():
            offset_store.release(self._connection, self._worker, epochs)

    def encode(self, rows: Rows) -> Rows:
        """See Sink. Half of the work on rows that are copied is their binary form; of others, few of a key are sent."""
        with suppress(pl.exceptions.PolarsError):
            frame = reduced(rows.table, rows.frame)
            return replace(rows, frame=frame, encoded=encoded(rows.table, frame))
        return rows

    def apply(self, rows: Sequence[Rows], steps: Mapping[Place, Step]) -> dict[str, int]:
        """See Sink. The offsets go first: a worker that has been overtaken stops before it writes."""
        try:
            return self._applied(rows, steps)
        except UnavailableError as error:
            # A successor ends the session of a sleeper, which on waking can't tell that from an outage.
            if self._is_overtaken(steps):
                raise FencedError(
                    f"{self._worker}: another worker has claimed partitions of {sorted(steps)}; this one stops"
                ) from error
            raise

    def _is_overtaken(self, steps: Mapping[Place, Step]) -> bool:
        with suppress(UnavailableError), translated(), psycopg.connect(self._dsn, connect_timeout=_CONNECT_S) as now:
            epochs = offset_store.read_epochs(now, self._worker, steps)
            return any(epochs.get(place, 0) > step.epoch for place, step in steps.items())
        return False

    def _applied(self, rows: Sequence[Rows], steps: Mapping[Place, Step]) -> dict[str, int]:
        written: dict[str, int] = {}
        started = time.monotonic()
        with translated():
            with self._connection.transaction():
                offset_store.advance(self._connection, self._worker, steps)
                for part in rows:
                    taken = write(self._connection, part.table, part.frame, made=part.encoded)
                    written[part.table.name] = written.get(part.table.name, 0) + taken
                wrote = time.monotonic()
            metric.WRITE_SECONDS.labels(self._worker).observe(wrote - started)
            metric.COMMIT_SECONDS.labels(self._worker).observe(time.monotonic() - wrote)
        return written

    def next_offsets(self, places: Sequence[Place]) -> dict[Place, int]:
        """See ReplaySink."""
        with translated():
            return offset_store.read(self._connection, self._worker, places)

    def replay(self, rows: Sequence[Rows], letters: Mapping[int, LetterId], *, is_trial: bool) -> set[LetterId]:
        """See ReplaySink. The ledger goes first: a letter that is in it adds no row."""
        with translated(), self._connection.transaction():
            taken = replay_ledger.take(self._connection, list(letters.values()))
            fresh = [row for row, letter in letters.items() if letter in taken]
            for part in rows:
                write(self._connection, part.table, part.frame.filter(pl.col(ROW).is_in(fresh)))
            if is_trial:
                raise psycopg.Rollback
        return taken

    def close(self) -> None:
        """See Sink."""
        with suppress(psycopg.Error):
            self._connection.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turns the driver's errors into those of projections, by what can be done about them."""
    try:
        yield
    except (errors.UndefinedTable, errors.UndefinedColumn, errors.DatatypeMismatch) as error:
        raise ProjectionError(
            f"{_first_line(error)}: the database is behind the code: run `hcp projections apply`"
        ) from error
    except (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded) as error:
        # The last is a value that no index can hold; the driver has it among the operational errors.
        raise RefusedError(type(error).__name__, _first_line(error)) from error
    except pl.exceptions.PolarsError as error:
        # A value that its column can't hold, such as a long in an integer column.
        raise RefusedError(type(error).__name__, str(error)) from error
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise UnavailableError(_first_line(error)) from error


def _first_line(error: psycopg.Error) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
