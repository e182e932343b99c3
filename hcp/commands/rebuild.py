"""`hcp rebuild`: a projected table made again from the log while the old one serves, or compared with it."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from hcp import archive_setting, console, settings
from hcp.commands.worker import WorkerName
from projections.archive_reader import ArchivedLog
from projections.rebuild import run
from projections.rebuild.archive_source import NoArchive
from projections.rebuild.config import RebuildConfig, Verdict
from projections.rebuild.filling import StoppedError
from projections.rebuild.run import ShrinkError
from projections.table import Database, Table
from projections.tables import TABLES, tables_of

_LINE_EVERY_S = 5.0
_INTERRUPTED = 130


def rebuild(
    table: str | None = typer.Argument(None, metavar="[TABLE]", help="The table.", show_default=False),
    every: bool = typer.Option(False, "--all", help="Every table, one after the other."),
    verify: bool = typer.Option(
        False, "--verify", help="Only compare: exit code 1 where a table is not what the log says."
    ),
    from_scratch: bool = typer.Option(False, "--from-scratch", help="Do not go on with what an earlier call has done."),
    allow_shrink: bool = typer.Option(False, "--allow-shrink", help="Swap even where the new table has fewer rows."),
) -> None:
    """Rebuild a table from the log while the old one serves, then swap the two in one transaction.

    The worker that writes the table goes on meanwhile. Ctrl-C and a crash leave the served table as it was, and the
    next call goes on from there; where a projection's code has changed since, use --from-scratch. A table that would
    lose rows, as Kafka no longer has the beginning of its topics, is not swapped without --allow-shrink.
    """
    chosen = TABLES if every else tuple(entry for entry in TABLES if entry.name == table)
    if every == (table is not None) or not chosen:
        raise typer.BadParameter(f"name one table, or --all; tables: {', '.join(entry.name for entry in TABLES)}")
    config = settings.load()
    has_failed = False
    with _stopping() as stop, _Shown() as shown:
        for entry in chosen:
            wanted = _config(config, entry, from_scratch=from_scratch, allow_shrink=allow_shrink)
            try:
                if verify:
                    has_failed |= not _told(entry, run.verify(wanted, stop, shown))
                else:
                    done = run.rebuild(wanted, stop, shown)
                    resumed = ", gone on from an earlier call" if done.is_resumed else ""
                    console.say(
                        f"{entry.name}: swapped, {done.rows} rows (there were {done.rows_before}); "
                        f"{done.events} events read, {done.refused} refused{resumed}; "
                        f"the worker was held for {done.held_s:.2f} s"
                    )
            except StoppedError as error:
                console.say(str(error))
                raise typer.Exit(_INTERRUPTED) from error
            except ShrinkError as error:
                # The others can be rebuilt all the same.
                console.fail(str(error))
                has_failed = True
    if has_failed:
        raise typer.Exit(1)


def _config(config: settings.Settings, table: Table, *, from_scratch: bool, allow_shrink: bool) -> RebuildConfig:
    is_postgres = table.database is Database.POSTGRES
    return RebuildConfig(
        kafka=config.kafka_client_config(),
        registry_url=config.schema_registry_url,
        dsn=(config.postgres_dsn if is_postgres else config.metrics_dsn).get_secret_value(),
        table=table,
        live_worker=WorkerName.PROJECT_POSTGRES if is_postgres else WorkerName.PROJECT_TIMESCALE,
        neighbours=tables_of(table.database),
        archive=NoArchive() if config.archive_url is None else ArchivedLog(archive_setting.archive(config)),
        from_scratch=from_scratch,
        allow_shrink=allow_shrink,
    )


def _told(table: Table, verdict: Verdict) -> bool:
    """Prints what was found, as data, and returns whether the tables are equal."""
    word = "equal" if verdict.is_equal else "DIFFERENT"
    lines = [f"{table.name}: {word}", f"  served:  {verdict.served}", f"  rebuilt: {verdict.rebuilt}"]
    lines += [f"  only served:  {row}" for row in verdict.only_served]
    lines += [f"  only rebuilt: {row}" for row in verdict.only_rebuilt]
    for line in lines:
        console.out.print(line, markup=False, soft_wrap=True)
    if not verdict.is_equal and table.key:
        console.say(f"  (the columns are {', '.join(table.columns)}; the key is {', '.join(table.key)})")
    return verdict.is_equal


@contextmanager
def _stopping() -> Iterator[threading.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; a second one ends the process as it would without."""
    stop = threading.Event()

    def request(number: int, _frame: FrameType | None) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)

    before = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Shown:
    """Progress on stderr: a bar on a terminal, else a line every few seconds."""

    def __init__(self) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(), console=console.err, transient=True, disable=not console.err.is_terminal,
        )  # fmt: skip
        self._task: TaskID | None = None
        self._step = ""
        self._since = 0.0
        self._said_at = 0.0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bar.stop()

    def __call__(self, step: str, done: int, total: int) -> None:
        now = time.monotonic()
        if step != self._step:
            self._step, self._since, self._said_at = step, now, now
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task(step, total=total or None, rate="")
        rate = f"{done / (now - self._since):,.0f} records/s" if done and now > self._since else ""
        if self._task is not None:
            self._bar.update(self._task, completed=done, total=total or None, rate=rate)
        if not console.err.is_terminal and total and now - self._said_at >= _LINE_EVERY_S:
            self._said_at = now
            console.say(f"{step}: {done} of {total} records, {rate}")
