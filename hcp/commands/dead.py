"""`hcp dead list|show|replay|drop`: what could not be handled, and what becomes of it."""

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Annotated

import typer
from confluent_kafka import KafkaException
from rich.progress import Progress

from hcp import console, dead_letter_view, settings
from hcp.commands.worker import WorkerName, projection_config
from hcp.dead_letter_filter import DeadLetterFilter, parse_moment, parse_place
from hcp.dead_letter_log import DeadLetterLog, Entry, State
from hcp.event_log import LogError
from schemas.catalog import TOPICS, Topic, topic
from schemas.codec import Codec, UndecodableError, to_json
from schemas.dead_letter import Resolution
from schemas.registry import Registry

_BATCH = 200
"""Letters that are replayed in one transaction: what Ctrl-C waits for."""
_REPLAYABLE = frozenset({WorkerName.PROJECT_POSTGRES, WorkerName.PROJECT_TIMESCALE})

_AGAIN = "run the command again once the stack is up (`hcp status`), what was replayed stays so"
_NOT_REPLAYABLE: dict[str, str] = {
    WorkerName.ROLLUP: "it has no store, and a window that has been closed stays as it is",
    WorkerName.AGENTS: "it has no store, and what it would answer with now is late",
}
_ADVICE = {
    "refused again": ": they stay open, with one try more",
    "not passed by the worker yet": ": it comes to them by itself once it runs",
    "not taken by any table": ": the worker has no table of their topic any more; `hcp dead drop` ends them",
}

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    help="Look at messages that could not be handled, replay them into the store of their worker, or drop them.",
)

TopicName = Annotated[str | None, typer.Argument(metavar="TOPIC", help="Topic of the catalog.  [default: all]")]
Worker = Annotated[str | None, typer.Option(help="Only letters of this worker.")]
Stage = Annotated[str | None, typer.Option(help="VALUE_CONVERTER, TRANSFORMATION or TASK_PUT.")]
Error = Annotated[str | None, typer.Option(help="Class of the error, e.g. CheckViolation.")]
Reason = Annotated[str | None, typer.Option(help="A part of the reason.")]
Since = Annotated[str | None, typer.Option(metavar="TIME", help="Refused from then on: ISO 8601, or 2h for 2 h ago.")]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Refused before then.")]
Offset = Annotated[
    list[str] | None, typer.Option("--offset", metavar="P:O", help="Partition and offset; may be given more than once.")
]
AtMost = Annotated[int | None, typer.Option("-n", min=1, help="At most so many, the oldest first.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@app.command("list")
def list_letters(
    topic_name: TopicName = None,
    *,
    worker: Worker = None,
    stage: Stage = None,
    error: Error = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    offset: Offset = None,
    everything: Annotated[bool, typer.Option("--all", help="Replayed and dropped ones too.")] = False,
    count: Annotated[int, typer.Option("-n", min=1, help="How many of the newest to show.")] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a letter.")] = False,
) -> None:
    """List open letters, the oldest first; counts by topic, worker, stage and error go to stderr."""
    wanted = _filter(worker=worker, stage=stage, error=error, reason=reason, since=since, until=until, offset=offset)
    found = _chosen(DeadLetterLog(settings.load().kafka_client_config()), topic_name, wanted, everything=everything)
    shown = found[-count:]
    if as_json:
        for entry in shown:
            _print(dead_letter_view.json_line(entry))
    elif shown:
        console.out.print(dead_letter_view.table(shown))
    for line in dead_letter_view.counts(found):
        console.say(line)
    hidden = f", the {len(shown)} newest of them shown (-n shows more)" if len(shown) < len(found) else ""
    console.say(f"{len(found)} letters{hidden}")


@app.command()
def show(
    topic_name: Annotated[str, typer.Argument(metavar="TOPIC", help="Topic of the catalog.")],
    place: Annotated[str, typer.Argument(metavar="PARTITION:OFFSET", help="Of the refused message.")],
    worker: Worker = None,
    only_event: Annotated[bool, typer.Option("--event", help="Only the event, as `hcp produce` takes it.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a letter.")] = False,
) -> None:
    """Show all of a letter: its headers, the event where the bytes are one, and the bytes."""
    config = settings.load()
    wanted = DeadLetterFilter(worker=worker, places=frozenset([parse_place(place)]))
    found = _chosen(DeadLetterLog(config.kafka_client_config()), topic_name, wanted, everything=True)
    if not found:
        console.fail(f"no letter of {place} on dead.{_topics(topic_name)[0].name}: `hcp dead list --all` shows them")
        raise typer.Exit(1)
    codec = Codec(Registry(config.schema_registry_url))
    if only_event:
        # Copies for several workers hold the same bytes.
        event = _event(codec, found[0])
        if event is None:
            console.fail(f"{found[0].letter.id}: the bytes are not an event of this topic")
            raise typer.Exit(1)
        _print(event)
        return
    for entry in found:
        event = _event(codec, entry)
        _print(
            dead_letter_view.json_line(entry, event, whole=True) if as_json else dead_letter_view.whole(entry, event)
        )


@app.command()
def replay(
    topic_name: TopicName = None,
    *,
    worker: Worker = None,
    stage: Stage = None,
    error: Error = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    offset: Offset = None,
    count: AtMost = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Try it and say what would come of it.")] = False,
    yes: Yes = False,
) -> None:
    """Write the events of open letters into the store of their worker, each exactly once.

    Nothing goes back on a topic. A letter that fails again stays open with one try more. Exit code 1 where a letter
    was not replayed.
    """
    wanted = _filter(worker=worker, stage=stage, error=error, reason=reason, since=since, until=until, offset=offset)
    config = settings.load()
    log = DeadLetterLog(config.kafka_client_config())
    found = _chosen(log, topic_name, wanted)[:count]
    ours = [entry for entry in found if entry.letter.worker in _REPLAYABLE]
    if not dry_run:
        _confirm(ours, "replay", yes)
    left = _say_why_not([entry for entry in found if entry.letter.worker not in _REPLAYABLE])
    left += _replay(config, log, ours, dry_run=dry_run)
    if left:
        raise typer.Exit(1)


@app.command()
def drop(
    topic_name: TopicName = None,
    *,
    worker: Worker = None,
    stage: Stage = None,
    error: Error = None,
    reason: Reason = None,
    since: Since = None,
    until: Until = None,
    offset: Offset = None,
    count: AtMost = None,
    yes: Yes = False,
) -> None:
    """Say that nobody wants the events of open letters; `hcp dead list --all` still shows them."""
    wanted = _filter(worker=worker, stage=stage, error=error, reason=reason, since=since, until=until, offset=offset)
    log = DeadLetterLog(settings.load().kafka_client_config())
    found = _chosen(log, topic_name, wanted)[:count]
    _confirm(found, "drop", yes)
    log.write([(entry, Resolution.DROPPED) for entry in found], [])
    console.say(f"{len(found)} letters dropped")


def _replay(config: settings.Settings, log: DeadLetterLog, entries: Sequence[Entry], *, dry_run: bool) -> int:
    """Replays in batches, each said on the log before the next; returns how many letters are open still."""
    # polars, which the other commands can do without, takes a quarter of a second to import.
    from projections.dead_letter_replay import DeadLetterReplay, Outcome  # noqa: PLC0415

    outcomes: Counter[Outcome] = Counter()
    registry = Registry(config.schema_registry_url)
    with Progress(console=console.err, transient=True, disable=not console.err.is_terminal) as progress:
        task = progress.add_task("replaying", total=len(entries))
        for name in sorted({entry.letter.worker for entry in entries}):
            of_worker = {entry.letter.id: entry for entry in entries if entry.letter.worker == name}
            with DeadLetterReplay(projection_config(WorkerName(name), config), registry) as replaying:
                for batch in _batches(list(of_worker.values())):
                    try:
                        verdicts = replaying.replay([entry.letter for entry in batch], is_trial=dry_run)
                    except KafkaException as error:
                        raise LogError(f"the registered facilities cannot be read: {error}; {_AGAIN}") from error
                    outcomes.update(verdict.outcome for verdict in verdicts)
                    refused = [v.letter for v in verdicts if v.outcome is Outcome.REFUSED]
                    done = [v.letter.id for v in verdicts if v.outcome in {Outcome.REPLAYED, Outcome.ALREADY}]
                    for letter in refused:
                        console.fail(f"{letter.id}: {letter.stage} {letter.error}: {letter.reason}")
                    if not dry_run:
                        log.write(
                            [(of_worker[letter_id], Resolution.REPLAYED) for letter_id in done],
                            [(of_worker[letter.id], letter) for letter in refused],
                        )
                    progress.advance(task, len(batch))
    for outcome, count in sorted(outcomes.items()):
        console.say(f"{count} letters {outcome}{_ADVICE.get(outcome, '')}")
    if not entries:
        console.say("no open letters to replay")
    if dry_run:
        console.say("a dry run: nothing was changed")
    return sum(count for outcome, count in outcomes.items() if outcome not in {Outcome.REPLAYED, Outcome.ALREADY})


def _say_why_not(entries: Sequence[Entry]) -> int:
    for name, count in sorted(Counter(entry.letter.worker for entry in entries).items()):
        example = next(entry.letter for entry in entries if entry.letter.worker == name)
        if name not in _NOT_REPLAYABLE:
            console.fail(
                f"{count} letters of {name} are not replayed: only Postgres and TimescaleDB can take them once"
            )
            continue
        console.fail(
            f"{count} letters of {name} are not replayed: {_NOT_REPLAYABLE[name]}. To send an event to all consumers "
            f"of its topic anew: `hcp dead show {example.topic} {example.partition}:{example.offset} --event | "
            f"hcp produce {example.topic}`, then `hcp dead drop`"
        )
    return len(entries)


def _filter(
    *,
    worker: str | None,
    stage: str | None,
    error: str | None,
    reason: str | None,
    since: str | None,
    until: str | None,
    offset: Sequence[str] | None,
) -> DeadLetterFilter:
    now = datetime.now(UTC)
    return DeadLetterFilter(
        worker=worker,
        stage=stage,
        error=error,
        reason=reason,
        since=None if since is None else parse_moment(since, "--since", now),
        until=None if until is None else parse_moment(until, "--until", now),
        places=frozenset(map(parse_place, offset or ())),
    )


def _chosen(
    log: DeadLetterLog, topic_name: str | None, wanted: DeadLetterFilter, *, everything: bool = False
) -> list[Entry]:
    fold = log.read(entry.dead_letter_topic for entry in _topics(topic_name))
    if fold.strays:
        console.say(f"{fold.strays} records are no letters: `hcp tail dead.TOPIC` shows them")
    states = set(State) if everything else {State.OPEN}
    return wanted.chosen(entry for entry in fold.entries.values() if entry.state in states)


def _topics(topic_name: str | None) -> tuple[Topic, ...]:
    return TOPICS if topic_name is None else (topic(topic_name.removeprefix("dead.")),)


def _confirm(entries: Sequence[Entry], verb: str, yes: bool) -> None:
    if yes or not entries:
        return
    for line in dead_letter_view.counts(entries):
        console.say(line)
    if not sys.stdin.isatty():
        console.fail(f"nobody to ask whether to {verb} {len(entries)} letters: add --yes")
        raise typer.Exit(2)
    typer.confirm(f"{verb} {len(entries)} letters?", abort=True, err=True)


def _event(codec: Codec, entry: Entry) -> str | None:
    try:
        return to_json(codec.decode(topic(entry.letter.topic), entry.letter.value))
    except UndecodableError:
        return None


def _batches(entries: Sequence[Entry]) -> Iterator[Sequence[Entry]]:
    for start in range(0, len(entries), _BATCH):
        yield entries[start : start + _BATCH]


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
