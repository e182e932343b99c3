"""The tables: adding one is an entry in `postgres` or `timescale`; `hcp projections plan` writes its migration."""

from projections.table import Database, Table
from projections.tables.postgres import ALLOCATIONS, AUDIT_LOGS, CUSTOMERS, FACILITIES, RESOURCES, WORKLOADS
from projections.tables.rows import columns
from projections.tables.timescale import (
    ALLOCATION_HISTORY,
    FLEET_WINDOWS,
    METRICS,
    POWER_USES,
    PRICE_DATA,
    PRICE_FORECASTS,
    PROFITABILITY_SCORES,
)

__all__ = [
    "ALLOCATIONS",
    "ALLOCATION_HISTORY",
    "AUDIT_LOGS",
    "CUSTOMERS",
    "FACILITIES",
    "FLEET_WINDOWS",
    "METRICS",
    "POWER_USES",
    "PRICE_DATA",
    "PRICE_FORECASTS",
    "PROFITABILITY_SCORES",
    "RESOURCES",
    "TABLES",
    "WORKLOADS",
    "columns",
    "tables_of",
]

TABLES: tuple[Table, ...] = (
    FACILITIES,
    RESOURCES,
    CUSTOMERS,
    WORKLOADS,
    ALLOCATIONS,
    AUDIT_LOGS,
    METRICS,
    PRICE_DATA,
    PRICE_FORECASTS,
    FLEET_WINDOWS,
    PROFITABILITY_SCORES,
    POWER_USES,
    ALLOCATION_HISTORY,
)


def tables_of(database: Database) -> tuple[Table, ...]:
    """Returns the tables of a database."""
    return tuple(table for table in TABLES if table.database is database)
