"""`hcp produce` and `hcp tail`: a user's own events onto a topic, and a topic's events as lines of JSON."""

import os
import socket
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import typer
from confluent_kafka import KafkaException

from hcp import console, event_log, settings
from hcp.event_log import EventLog
from hcp.outbox import FLUSH_S, Outbox, ProduceError
from schemas.catalog import Topic, topic
from schemas.codec import Codec
from schemas.event_line import EncodedEvent, EventLines, RefusedLine
from schemas.registry import Registry


def produce(
    topic_name: str = typer.Argument(metavar="TOPIC", help="Topic of the catalog, e.g. grid.prices."),
    file: Path | None = typer.Option(None, exists=True, dir_okay=False, help="Lines of JSON.  [default: stdin]"),  # noqa: B008
    all_or_nothing: bool = typer.Option(False, "--all-or-nothing", help="Where one line is refused, none goes."),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only check."),
) -> None:
    """Put your own events on a topic, one JSON object a line, each checked against schema and rules.

    Times are ISO 8601. A refused line is named with its field and reason, the others go; exit code 1 where any was
    refused. An event without an event_id gets one made of its content: the same line twice is the same event.
    """
    entry = topic(topic_name)
    config = settings.load()
    lines = EventLines(entry, Registry(config.schema_registry_url))
    with file.open(encoding="utf-8") if file is not None else sys.stdin as source:
        verdicts = lines.checked(source)
        if dry_run:
            sent, refused = _counted(verdicts)
        elif all_or_nothing:
            sent, refused = _produce_together(config.kafka_client_config(), entry, verdicts)
        else:
            sent, refused = _produce_each(config.kafka_client_config(), entry, verdicts)
    done = "could be produced" if dry_run else "produced"
    console.say(f"{sent} events {done} to {entry.name}, {refused} lines refused")
    if refused:
        raise typer.Exit(1)


def tail(
    topic_name: str = typer.Argument(metavar="TOPIC", help="Topic of the catalog; dead.TOPIC is its dead letters."),
    count: int = typer.Option(10, "-n", min=0, help="How many of the newest events to show."),
    follow: bool = typer.Option(False, "-f", help="Go on with what comes, until Ctrl-C."),
    key: str | None = typer.Option(None, help="Only events of this key; reads the whole topic."),
    dead: bool = typer.Option(False, "--dead", help="The topic's dead letters, with their headers."),
) -> None:
    """Print a topic's newest events as lines of JSON, the oldest of them first."""
    dead = dead or topic_name.startswith("dead.")
    entry = topic(topic_name.removeprefix("dead."))
    config = settings.load()
    codec = Codec(Registry(config.schema_registry_url))
    log = EventLog(config.kafka_client_config(), entry.dead_letter_topic if dead else entry.name)
    shown = event_log.dead_letter_line if dead else event_log.line
    try:
        for message in log.newest(count, key):
            _print(shown(message, entry, codec))
        if follow:
            for found in log.following(key):
                if found is not None:
                    _print(shown(found, entry, codec))
    finally:
        log.close()


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _counted(verdicts: Iterable[EncodedEvent | RefusedLine]) -> tuple[int, int]:
    good, refused = _separated(verdicts)
    return len(good), refused


def _separated(verdicts: Iterable[EncodedEvent | RefusedLine]) -> tuple[list[EncodedEvent], int]:
    good: list[EncodedEvent] = []
    refused = 0
    for verdict in verdicts:
        match verdict:
            case EncodedEvent():
                good.append(verdict)
            case RefusedLine():
                refused += 1
                console.fail(str(verdict))
    return good, refused


def _produce_each(
    kafka: dict[str, Any], entry: Topic, verdicts: Iterable[EncodedEvent | RefusedLine]
) -> tuple[int, int]:
    outbox = Outbox(kafka, {})
    sent = refused = 0
    for verdict in verdicts:
        match verdict:
            case EncodedEvent():
                outbox.put(entry, verdict)
                sent += 1
            case RefusedLine():
                refused += 1
                console.fail(str(verdict))
    outbox.flush()
    return sent, refused


def _produce_together(
    kafka: dict[str, Any], entry: Topic, verdicts: Iterable[EncodedEvent | RefusedLine]
) -> tuple[int, int]:
    good, refused = _separated(verdicts)
    if refused or not good:
        return 0, refused
    outbox = Outbox(kafka, {"transactional.id": f"hcp-produce-{socket.gethostname()}-{os.getpid()}"})
    try:
        outbox.producer.init_transactions(FLUSH_S)
        outbox.producer.begin_transaction()
        try:
            for event in good:
                outbox.put(entry, event)
            outbox.flush()
        except ProduceError:
            outbox.producer.abort_transaction(FLUSH_S)
            raise
        outbox.producer.commit_transaction(FLUSH_S)
    except KafkaException as error:
        raise ProduceError(f"none of {len(good)} events is produced: {error}") from error
    return len(good), 0
