"""What a table holds, in a count and a sum that do not depend on the order of its rows, computed in the database.

Only declared columns count: those that the database fills (`created_at`, `updated_at`) differ between two tables of the
same events. A row is its text; its hash has 64 bits. The sum of the hashes (and not their exclusive or) tells a row
that is there twice from one that is not there.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from psycopg import sql

from projections.offset_store import Connection

DIFFERENCES = 10


@dataclass(frozen=True, slots=True)
class Checksum:
    """Rows, and the sum of their hashes; equal tables have equal checksums."""

    rows: int
    hash_sum: int

    def __str__(self) -> str:
        """As people compare it."""
        return f"{self.rows} rows, checksum {self.hash_sum % 2**64:016x}"


@dataclass(frozen=True, slots=True)
class Since:
    """Only rows with `column` at or after `moment` are looked at: older ones may be gone by a retention policy."""

    column: str
    moment: datetime


def checksum(connection: Connection, name: str, columns: Collection[str], since: Since | None = None) -> Checksum:
    """Returns the checksum of a table as the caller's transaction sees it. Raises psycopg.Error."""
    statement = sql.SQL(
        "SELECT count(*), coalesce(sum(hashtextextended(ROW({columns})::text, 0)), 0)::text FROM {table} {where}"
    )
    rows, total = _one(connection, statement.format(columns=_listed(columns), **_source(name, since)))
    return Checksum(int(rows), int(total))


def count(connection: Connection, name: str, since: Since | None = None) -> int:
    """Returns the rows of a table. Raises psycopg.Error."""
    statement = sql.SQL("SELECT count(*), '' FROM {table} {where}").format(**_source(name, since))
    return int(_one(connection, statement)[0])


def differences(
    connection: Connection, one: str, other: str, columns: Collection[str], since: Since | None = None
) -> tuple[list[str], list[str]]:
    """Returns rows, as text, that only `one` has, and those that only `other` has; up to ten of each."""
    return _only(connection, one, other, columns, since), _only(connection, other, one, columns, since)


def _only(connection: Connection, one: str, other: str, columns: Collection[str], since: Since | None) -> list[str]:
    # ALL: a row that is there once more than in the other is a difference too.
    statement = sql.SQL(
        "SELECT line FROM (SELECT ROW({columns})::text AS line FROM {one} {where}"
        " EXCEPT ALL SELECT ROW({columns})::text FROM {other} {where}) AS found ORDER BY line LIMIT {limit}"
    ).format(
        columns=_listed(columns),
        one=_source(one, since)["table"],
        other=_source(other, since)["table"],
        where=_source(one, since)["where"],
        limit=DIFFERENCES,
    )
    return [line for (line,) in connection.execute(statement).fetchall()]


def _one(connection: Connection, statement: sql.Composed) -> tuple[int, str]:
    row = connection.execute(statement).fetchone()
    assert row is not None
    return row[0], row[1]


def _listed(columns: Collection[str]) -> sql.Composed:
    return sql.SQL(", ").join(map(sql.Identifier, columns))


def _source(name: str, since: Since | None) -> dict[str, sql.Composable]:
    where: sql.Composable = sql.SQL("")
    if since is not None:
        where = sql.SQL("WHERE {} >= {}").format(sql.Identifier(since.column), sql.Literal(since.moment))
    return {"table": sql.Identifier(name), "where": where}
