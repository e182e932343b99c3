"""`hcp replay`: a user's own history, from CSV, Parquet or Avro files onto a topic, in order of event time."""

import threading
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import typer

from hcp import console, settings
from hcp.event_time import parse_bound
from hcp.history import Due, History
from hcp.history_file import files
from hcp.history_mapping import HistoryError, HistoryMapping, TimeForm
from hcp.outbox import Outbox
from hcp.stop_signal import stop_event
from schemas.catalog import Topic, topic
from schemas.event_line import EventLines
from schemas.registry import Registry
from simulators.clock import Clock, Pace, SystemWall
from simulators.timeline import to_datetime

_POLL_S = 0.25
_TELL_EVERY_S = 10.0


def replay(  # noqa: PLR0917 - typer reads options from the parameters
    path: Path = typer.Argument(exists=True, help="A .csv, .parquet or .avro file, or a folder of them."),  # noqa: B008
    topic_name: str = typer.Option(..., "--topic", help="Topic of the catalog, e.g. grid.prices."),
    maps: list[str] = typer.Option(  # noqa: B008
        [], "--map", help="Fields and their columns: price_usd=close,power_w=kw*1000. Else a field's own name is taken."
    ),
    sets: list[str] = typer.Option([], "--set", help="A field that is the same in every row: source=my-exchange."),  # noqa: B008
    speed: float = typer.Option(0.0, min=0, help="Event time over wall time; 0 is as fast as it goes."),
    timezone: str = typer.Option("UTC", help="Zone of times that have none, e.g. America/Chicago."),
    time_format: str | None = typer.Option(
        None, help="How times are written, e.g. %m/%d/%Y %H:%M.  [default: ISO 8601]"
    ),
    since: str | None = typer.Option(None, "--from", help="First event time, ISO 8601: where a replay was stopped."),
    until: str | None = typer.Option(None, help="Event time to stop before, ISO 8601."),
    skip_bad: bool = typer.Option(False, "--skip-bad", help="Exit code 0 although rows were refused."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only check."),
) -> None:
    """Put your own history on a topic, in order of event time, each row checked against schema and rules.

    A refused row is named with its file and line, the others go; exit code 1 where any was refused. Event ids are made
    of what a row says: to replay it twice gives the same events. Ctrl-C stops it, and says from where to go on.
    """
    entry = topic(topic_name)
    config = settings.load()
    mapping = HistoryMapping.parse(entry, maps, sets, TimeForm(_zone(timezone), time_format))
    first, last = parse_bound(since, "--from"), parse_bound(until, "--until")
    history = History(files(path), mapping, console.fail, first, last)
    registry = Registry(config.schema_registry_url)
    stop = stop_event()
    player = _Player(entry, None if dry_run else Outbox(config.kafka_client_config()), speed, stop)
    for due in history.events(EventLines(entry, registry)):
        if not player.play(due):
            break
    player.finish()
    done = "could be produced" if dry_run else "produced"
    console.say(f"{player.sent} events {done} to {entry.name}, {history.refused} rows refused")
    if player.next_ms is not None:
        console.say(f"stopped: --from {to_datetime(player.next_ms).isoformat(timespec='milliseconds')} goes on")
        raise typer.Exit(130)
    if history.refused and not skip_bad:
        raise typer.Exit(1)


class _Player:
    """Sends events when they are due; without an outbox it counts them."""

    def __init__(self, entry: Topic, outbox: Outbox | None, speed: float, stop: threading.Event) -> None:
        self._entry = entry
        self._outbox = outbox
        self._pace = Pace(0.0 if outbox is None else speed, may_lead=True)
        self._stop = stop
        self._wall = SystemWall()
        self._clock: Clock | None = None
        self._told_s = self._wall.monotonic_s()
        self.sent = 0
        """Events that went."""
        self.next_ms: int | None = None
        """Time of the first event that did not go, where it was stopped."""

    def play(self, due: Due) -> bool:
        """Sends an event once it is due; returns whether it did: not where it was stopped before."""
        clock = self._clock = self._clock or Clock(self._pace, due.at_ms, self._wall)
        while not self._stop.is_set() and not clock.is_due(due.at_ms):
            clock.wait_until(due.at_ms, self._stop, _POLL_S)
            self._tell(due.at_ms)
        if self._stop.is_set():
            self.next_ms = due.at_ms
            return False
        if self._outbox is not None:
            self._outbox.put(self._entry, due.event)
        self.sent += 1
        clock.advanced(due.at_ms)
        self._tell(due.at_ms)
        return True

    def finish(self) -> None:
        """Waits until all is delivered. Raises ProduceError."""
        if self._outbox is not None:
            self._outbox.flush()

    def _tell(self, at_ms: int) -> None:
        now_s = self._wall.monotonic_s()
        if now_s - self._told_s >= _TELL_EVERY_S:
            self._told_s = now_s
            console.say(f"{to_datetime(at_ms):%Y-%m-%d %H:%M:%S} UTC  {self.sent:,} events")


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise HistoryError(f"there is no time zone {name!r}; expected one such as America/Chicago") from error
