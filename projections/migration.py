"""Numbered SQL files, applied once each in order, with their checksums recorded; a changed file is refused."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from psycopg import sql

from projections.error import MigrationError
from projections.offset_store import Connection
from projections.table import Database

_ROOT = Path(__file__).with_name("migrations")
LOCK = 4_771_206_118
"""Advisory lock that makes concurrent migrations take turns."""
READER = "grafana_reader"
_NAME = re.compile(r"[a-z0-9_]+")

_LEDGER = """
    CREATE TABLE IF NOT EXISTS schema_migrations (
        name       text PRIMARY KEY,
        checksum   text        NOT NULL,
        applied_at timestamptz NOT NULL DEFAULT now()
    )
"""


@dataclass(frozen=True, slots=True)
class Migration:
    """One file; `name` is its name without ending."""

    name: str
    text: str

    @property
    def checksum(self) -> str:
        """SHA-256 of its text."""
        return hashlib.sha256(self.text.encode()).hexdigest()


def migrations(database: Database, root: Path = _ROOT) -> list[Migration]:
    """Returns the migrations of a database in order. Raises MigrationError where two have one number."""
    files = sorted((root / database).glob("*.sql"))
    numbers = [file.name.partition("_")[0] for file in files]
    for number in numbers:
        if numbers.count(number) > 1:
            raise MigrationError(f"{database}: two migrations have the number {number}; give the newer one the next")
    return [Migration(file.stem, file.read_text()) for file in files]


def migrate(connection: Connection, wanted: Sequence[Migration]) -> list[str]:
    """Applies what is missing, each in a transaction of its own; returns the names applied.

    `connection` is in autocommit mode. Safe to run from several places at once. Raises MigrationError where an applied
    file has changed or is gone.
    """
    applied: list[str] = []
    connection.execute(_LEDGER)
    for migration in wanted:
        with connection.transaction():
            connection.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK,))
            recorded = _recorded(connection)
            _check(recorded, wanted)
            if migration.name in recorded:
                continue
            connection.execute(migration.text.encode())
            connection.execute(
                "INSERT INTO schema_migrations (name, checksum) VALUES (%s, %s)", (migration.name, migration.checksum)
            )
            applied.append(migration.name)
    return applied


def pending(connection: Connection, wanted: Sequence[Migration]) -> list[str]:
    """Returns the names of what is missing, in order. Raises MigrationError as `migrate` does."""
    (is_known,) = connection.execute("SELECT to_regclass('schema_migrations') IS NOT NULL").fetchall()[0]
    recorded = _recorded(connection) if is_known else {}
    _check(recorded, wanted)
    return [migration.name for migration in wanted if migration.name not in recorded]


def is_name(name: str) -> bool:
    """Whether a migration can be called that (its number apart)."""
    return _NAME.fullmatch(name) is not None


def write(database: Database, name: str, text: str, root: Path = _ROOT) -> Path:
    """Writes the next numbered migration and returns its path. Raises MigrationError where it can't."""
    if not is_name(name):
        raise MigrationError(f"{name!r} is not a name for a migration: small letters, digits and _")
    numbers = [int(migration.name.partition("_")[0]) for migration in migrations(database, root)]
    path = root / database / f"{max(numbers, default=0) + 1:04}_{name}.sql"
    try:
        path.write_text(text)
    except OSError as error:
        raise MigrationError(f"{path} can't be written: run it from a clone of the repository") from error
    return path


def set_reader_password(connection: Connection, password: str) -> None:
    """Gives the read-only role its password."""
    statement = sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(READER), sql.Literal(password))
    connection.execute(statement)


def _recorded(connection: Connection) -> dict[str, str]:
    return dict(connection.execute("SELECT name, checksum FROM schema_migrations").fetchall())


def _check(recorded: dict[str, str], wanted: Sequence[Migration]) -> None:
    known = {migration.name: migration.checksum for migration in wanted}
    for name, checksum in sorted(recorded.items()):
        if name not in known:
            raise MigrationError(f"{name} was applied to this database but is not among the files: is the code older?")
        if known[name] != checksum:
            raise MigrationError(f"{name} has changed since it was applied: undo the change and add a new migration")
