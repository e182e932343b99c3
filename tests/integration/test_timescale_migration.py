"""Migrations of TimescaleDB that make aggregates anew, on the wire server: what was served is served."""

from typing import Any

import pytest

from projections import migration
from projections.table import Database
from tests.wire_server import Connection, composed, value

pytestmark = pytest.mark.integration
AGGREGATES = ("metrics_1m", "metrics_5m", "metrics_1h")
KEPT = {"metrics": "30 days", "metrics_1m": "60 days", "metrics_5m": "90 days"}
READINGS = """
    INSERT INTO metrics (observed_at, device_id, facility_id, resource_group_id, kind, power_w, hashrate_ths, temp_c)
    SELECT now() - %s::interval + number * INTERVAL '7 seconds', 'd', 'f', 'g' || mod(number, 2), 'ASIC', number, 9, 60
    FROM generate_series(1, 100) AS number
"""


def served(connection: Connection) -> list[list[tuple[Any, ...]]]:
    return [connection.execute(composed("SELECT * FROM {} ORDER BY 1, 3", name)).fetchall() for name in AGGREGATES]


def totals(buckets: list[list[tuple[Any, ...]]]) -> list[int]:
    return [sum(row[4] for row in rows) for rows in buckets]


def refresh(connection: Connection, *names: str) -> None:
    for name in names:
        connection.execute("CALL refresh_continuous_aggregate(%s, now() - INTERVAL '2 days', now())", (name,))


def test_ten_seconds_come_under_the_minutes_and_no_bucket_is_lost(conn: Connection) -> None:
    files = migration.migrations(Database.TIMESCALE)
    (place,) = (number for number, file in enumerate(files) if file.name.endswith("_ten_seconds"))
    migration.migrate(conn, files[:place])
    for age in ("100 days", "70 days", "40 days", "3 hours"):
        conn.execute(READINGS, (age,))
    for name in AGGREGATES:
        conn.execute("CALL refresh_continuous_aggregate(%s, NULL, now() - INTERVAL '1 hour')", (name,))
    for name, age in KEPT.items():
        conn.execute("SELECT drop_chunks(%s::regclass, older_than => %s::interval)", (name, age))
    conn.execute(READINGS, ("20 minutes",))  # not materialised
    before = served(conn)
    # Of each 100, and each aggregate reaches further back than what it is made from.
    assert [value(conn, "SELECT count(*) FROM metrics"), *totals(before)] == [200, 300, 400, 500]

    assert migration.migrate(conn, files[: place + 1]) == [files[place].name]
    assert served(conn) == before
    refresh(conn, "metrics_10s", *AGGREGATES)
    assert served(conn) == before

    # A late reading goes all the way up.
    conn.execute(READINGS.replace("100)", "1)"), ("3 hours",))
    refresh(conn, "metrics_10s", *AGGREGATES)
    assert totals(served(conn)) == [301, 401, 501]
    assert value(conn, "SELECT sum(readings) FROM metrics_10s") == 201
