"""`hcp state TABLE`: a table as it was, from the log."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import polars as pl
import typer

from hcp import archive_setting, console, row_output, settings
from hcp.event_time import parse_time
from projections import time_travel
from projections.log_reader import LogReader
from projections.state import FOLDED, AtOffsets, AtTime, Moment
from projections.table import Database, Table
from projections.tables import TABLES
from schemas.message_block import Place
from schemas.registry import Registry


def state(
    table: str = typer.Argument(help="A latest or ledger table, such as workloads."),
    *,
    at: str | None = typer.Option(
        None, metavar="TIME", help="Event time: all that had happened by then, whenever it was written (ISO 8601)."
    ),
    offset: list[str] | None = typer.Option(  # noqa: B008
        None, metavar="TOPIC:PARTITION:OFFSET", help="All records before that offset; one option for each partition."
    ),
    keep: bool = typer.Option(False, "--keep", help="Put the rows into a schema of the table's database and name it."),
    schema: str | None = typer.Option(None, help="The schema to put them into, state_…; default after the moment."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object a row."),
    as_csv: bool = typer.Option(False, "--csv", help="CSV with a header."),
) -> None:
    """Show a table as it was at a time or at offsets, folded from the log: the archive first, where one is set.

    With --keep or --schema the rows go to a schema state_…, whose name is printed, for `hcp query` and joins; repeating
    replaces the table in it.
    """
    entry, moment = _table(table), _moment(at, offset or [])
    config = settings.load()
    archive = archive_setting.archive(config) if config.archive_url else None
    with (
        closing(Registry(config.schema_registry_url)) as registry,
        closing(LogReader(config.kafka_client_config(), registry, archive)) as reader,
        _progress() as progress,
    ):
        found = time_travel.past(reader, entry, moment, progress)
    for sentence in found.losses:
        console.say(f"warning: {sentence}; the state may lack what came of them")
    if schema is None and not keep:
        _show(entry, found.rows, as_json=as_json, as_csv=as_csv)
        return
    name = schema or time_travel.schema_name(moment)
    dsn = config.postgres_dsn if entry.database is Database.POSTGRES else config.metrics_dsn
    time_travel.keep(dsn.get_secret_value(), entry, found.rows, name)
    console.say(f"{0 if found.rows is None else len(found.rows)} rows in {name}.{entry.name}")
    console.out.print(name, markup=False)


def _table(name: str) -> Table:
    known = {table.name: table for table in TABLES if table.mode in FOLDED}
    if name not in known:
        raise typer.BadParameter(f"{name!r} has no state; the tables that have one: {', '.join(sorted(known))}")
    return known[name]


def _moment(at: str | None, offsets: Sequence[str]) -> Moment:
    if (at is None) == (not offsets):
        raise typer.BadParameter("give --at TIME or --offset TOPIC:PARTITION:OFFSET, one of the two")
    if at is None:
        return AtOffsets(dict(map(_offset, offsets)))
    return AtTime(parse_time(at, "--at"))


def _offset(text: str) -> tuple[Place, int]:
    try:
        name, partition, offset = text.split(":")
        return (name, int(partition)), int(offset)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is not TOPIC:PARTITION:OFFSET") from None


def _show(table: Table, rows: pl.DataFrame | None, *, as_json: bool, as_csv: bool) -> None:
    columns = list(table.columns)
    values: list[list[Any]] = [] if rows is None else [list(row) for row in rows.rows()]
    if as_json:
        # Their text is JSON already.
        for number, kind in enumerate(table.columns.values()):
            if kind == "jsonb":
                for row in values:
                    row[number] = None if row[number] is None else json.loads(row[number])
    row_output.show(columns, values, as_json=as_json, as_csv=as_csv)


@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    """Gives a function that shows how far reading is, on a terminal."""
    with console.err.status("reading the log") as status:
        if not sys.stderr.isatty():
            status.stop()
        yield lambda what, done, of: status.update(f"{what}: {done} of {of}")
