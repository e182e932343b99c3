"""`hcp projections` where it needs no database."""

import json

from typer.testing import CliRunner

from hcp.commands.projection import app
from projections.tables import TABLES


def test_list_names_every_table_once() -> None:
    listed = CliRunner().invoke(app, ["list", "--json"])
    rows = [json.loads(line) for line in listed.stdout.splitlines()]
    assert sorted(row["table"] for row in rows) == sorted(table.name for table in TABLES)
    (metrics,) = [row for row in rows if row["table"] == "metrics"]
    assert metrics == {
        "table": "metrics",
        "database": "metrics",
        "mode": "append",
        "key": [],
        "topics": ["telemetry.asic", "telemetry.gpu"],
        "retention": "30 days",
        "aggregates": ["metrics_10s", "metrics_1m", "metrics_5m", "metrics_1h"],
    }


def test_a_migration_gets_a_name_that_is_one() -> None:
    refused = CliRunner().invoke(app, ["plan", "--write", "../x"])
    assert refused.exit_code == 2
    assert "not a name" in refused.stderr
