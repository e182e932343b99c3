"""Which tables go to the stores beside PostgreSQL. The rows are those of `projections.tables`."""

from projections.table import Database, Mode, Table
from projections.tables import AUDIT_LOGS, tables_of

CACHED_TABLES: tuple[Table, ...] = tuple(table for table in tables_of(Database.POSTGRES) if table.mode is Mode.LATEST)
"""For Redis: all that is current state."""

AUDIT_TABLES: tuple[Table, ...] = (AUDIT_LOGS,)
"""For MongoDB: who did what."""
