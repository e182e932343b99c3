"""`hcp projections plan|apply|list`: the tables as declared, and the databases made so."""

import json

import typer
from rich.table import Table as Screen

from hcp import console, settings
from hcp.commands.database import DATABASES, Which, connected, migrate_all
from projections import evolution, migration
from projections.error import DriftError, MigrationError
from projections.hypertable import interval
from projections.plan import Change, Drift, Plan
from projections.table import Table
from projections.tables import tables_of

DIFFERS = 4
"""Exit code of `plan --exit-code` where something is to be done; 1, 2 and 3 have a meaning already."""

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Show the declared tables, and bring the databases to them."
)


@app.command()
def plan(
    database: Which | None = typer.Option(None, help="Only this one."),  # noqa: B008
    write: str | None = typer.Option(
        None, metavar="NAME", help="Also write the SQL as the next numbered file of projections/migrations."
    ),
    exit_code: bool = typer.Option(False, "--exit-code", help=f"End with {DIFFERS} where something is to be done."),
) -> None:
    """Print the SQL between the databases and the declared tables. Changes nothing in them.

    Exit code 0, also where something is to be done (but see --exit-code); 1 where a difference is not generated.
    """
    if write is not None and not migration.is_name(write):
        raise typer.BadParameter(f"{write!r} is not a name: small letters, digits and _", param_hint="--write")
    config = settings.load()
    plans = {which: _difference(config, which) for which in ([database] if database else DATABASES)}
    for which, found in plans.items():
        _show(which, found)
    drifts = [drift for found in plans.values() for drift in found.drifts]
    if drifts:
        raise DriftError(drifts)
    for which, found in plans.items():
        if write is not None and found.changes:
            console.say(
                f"{migration.write(DATABASES[which], write, found.text)}: written; read it before you commit it"
            )
    if exit_code and not all(found.is_empty for found in plans.values()):
        raise typer.Exit(DIFFERS)


@app.command()
def apply(
    dry_run: bool = typer.Option(False, "--dry-run", help="Say what would be done, and do nothing."),
) -> None:
    """Apply the missing numbered migrations, then what is declared beyond them; repeating changes nothing.

    The second part is one transaction a database, recorded with its SQL in the table generated_changes. Where a
    difference is not generated: exit code 1, and no change beyond the migrations in that database.
    """
    config = settings.load()
    if dry_run:
        _show_what_apply_does(config)
        return
    for name in migrate_all(config):
        console.say(f"{name}: migrated")
    for which, kind in DATABASES.items():

        def progress(change: Change, which: Which = which) -> None:
            console.say(f"{which}: {change.relation}: {change.reason}")

        with connected(config, which) as connection:
            done = evolution.apply(connection, tables_of(kind), migration.migrations(kind), progress)
        console.say(f"{which}: " + (f"{done.name}: {len(done.changes)} changes" if done.name else "nothing to do"))


@app.command("list")
def list_tables(
    database: Which | None = typer.Option(None, help="Only those of this one."),  # noqa: B008
    as_json: bool = typer.Option(False, "--json", help="One JSON object a table."),
) -> None:
    """Show the declared tables: where each is, how its rows are written, and from which topics."""
    rows = [
        _listed(which, table)
        for which in ([database] if database else DATABASES)
        for table in tables_of(DATABASES[which])
    ]
    if as_json:
        for row in rows:
            console.out.print(json.dumps(row), markup=False, soft_wrap=True)
        return
    screen = Screen("table", "database", "mode", "key", "topics", "retention", "aggregates")
    for row in rows:
        screen.add_row(*(", ".join(value) if isinstance(value, list) else str(value or "") for value in row.values()))
    console.out.print(screen)


def _difference(config: settings.Settings, which: Which) -> Plan:
    kind = DATABASES[which]
    with connected(config, which) as connection:
        missing = migration.pending(connection, migration.migrations(kind))
        if missing:
            raise MigrationError(f"{which}: run `hcp migrate` first, {', '.join(missing)} is not applied yet")
        return evolution.difference(connection, tables_of(kind))


def _show(which: Which, found: Plan) -> None:
    text = found.text.rstrip() or "-- nothing to do"
    console.out.print(f"-- database {which}\n{text}", markup=False, soft_wrap=True)


def _show_what_apply_does(config: settings.Settings) -> None:
    drifts: list[Drift] = []
    for which, kind in DATABASES.items():
        with connected(config, which) as connection:
            missing = migration.pending(connection, migration.migrations(kind))
        for name in missing:
            console.say(f"{which}: {name} would be applied; what remains to be generated is known after it")
        if not missing:
            found = _difference(config, which)
            _show(which, found)
            drifts += found.drifts
    if drifts:
        raise DriftError(drifts)


def _listed(which: Which, table: Table) -> dict[str, str | list[str] | None]:
    return {
        "table": table.name,
        "database": which.value,
        "mode": table.mode.value,
        "key": list(table.key),
        "topics": sorted(table.sources),
        "retention": interval(table.retention) if table.retention else None,
        "aggregates": [aggregate.name for aggregate in table.aggregates],
    }
