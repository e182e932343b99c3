"""Brings a database to its declarations: numbered migrations first, then the difference that remains, generated.

Protocol of `apply`, one transaction:
 1. The advisory lock of migrations is taken: deployments take turns.
 2. The difference is taken; drift, or a numbered migration that is missing, is refused.
 3. The statements run; one that would wait long for a lock fails instead of making every writer wait behind it.
 4. The difference is taken again: anything but none rolls everything back.
 5. The text is recorded with its checksum.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg import errors

from projections import catalog_reader, migration
from projections.error import DriftError, MigrationError
from projections.migration import Migration
from projections.offset_store import Connection
from projections.plan import Change, Plan, plan
from projections.table import Table

LOCK_WAIT_S = 5.0
"""A change that waits for a lock makes every writer wait behind it."""
_LIMIT = "SELECT set_config('lock_timeout', %s, true)"
_RECORD = "INSERT INTO generated_changes (name, checksum, statements) VALUES (%s, %s, %s)"


@dataclass(frozen=True, slots=True)
class Applied:
    """What was done: the name in the ledger (None: nothing was to be done) and the changes."""

    name: str | None
    changes: tuple[Change, ...]


def difference(connection: Connection, tables: Sequence[Table]) -> Plan:
    """Returns the way from the database to the declarations. Changes nothing."""
    return plan(tables, catalog_reader.declared(connection, tables), catalog_reader.live(connection, tables))


def apply(
    connection: Connection,
    tables: Sequence[Table],
    wanted: Sequence[Migration],
    progress: Callable[[Change], None],
    lock_wait_s: float = LOCK_WAIT_S,
) -> Applied:
    """Makes the database as declared; `progress` hears of each change before it is made. Repeating changes nothing.

    `connection` is in autocommit mode. Raises DriftError, and MigrationError where numbered migrations are missing, a
    lock can't be had, or the database refuses a change; nothing has changed then.
    """
    with connection.transaction():
        # 1.
        connection.execute("SELECT pg_advisory_xact_lock(%s)", (migration.LOCK,))
        # 2.
        missing = migration.pending(connection, wanted)
        if missing:
            raise MigrationError(f"the numbered migrations come first: {', '.join(missing)} is not applied yet")
        found = difference(connection, tables)
        if found.drifts:
            raise DriftError(found.drifts)
        if not found.changes:
            return Applied(None, ())
        # 3.
        connection.execute(_LIMIT, (f"{lock_wait_s * 1000:.0f}ms",))
        for change in found.changes:
            progress(change)
            _execute(connection, change)
        # 4.
        rest = difference(connection, tables)
        if not rest.is_empty:
            left = [*map(str, rest.drifts), *(f"{change.relation}: {change.reason}" for change in rest.changes)]
            raise MigrationError(f"the generated changes don't lead to the declaration: {'; '.join(left)}")
        # 5.
        checksum = hashlib.sha256(found.text.encode()).hexdigest()
        name = f"generated-{checksum[:12]}"
        connection.execute(_RECORD, (name, checksum, found.text))
    return Applied(name, found.changes)


def _execute(connection: Connection, change: Change) -> None:
    try:
        connection.execute(change.statement.encode())
    except (errors.LockNotAvailable, errors.DeadlockDetected) as error:
        raise MigrationError(
            f"{change.relation}: {change.reason}: others hold the table, nothing has changed: run it again later"
        ) from error
    except psycopg.OperationalError:
        raise
    except psycopg.Error as error:
        raise MigrationError(f"{change.relation}: {change.reason}: the database refuses it; nothing changed") from error
