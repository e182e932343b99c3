"""`hcp archive list` and `hcp archive verify`: what the archive holds, and whether it is whole."""

import json
from typing import Any

import typer
from rich.table import Table

from hcp import archive_setting, console, settings
from projections.archive_check import problems

app = typer.Typer(no_args_is_help=True, add_completion=False, help="The archive of the log, in Parquet files.")

_TOPICS = typer.Option(None, help="Only these topics, comma separated.")


@app.command("list")
def list_(
    topics: str | None = _TOPICS,
    files: bool = typer.Option(False, "--files", help="The address of each file, for `read_parquet` of others."),
    as_json: bool = typer.Option(False, "--json", help="One JSON object a topic, or a file."),
) -> None:
    """Show what is archived of each topic: files, rows, bytes, dates, and the offsets of each partition."""
    archive = archive_setting.archive(settings.load())
    by_topic: dict[str, dict[int, Any]] = {}
    for name, partition in archive.places(_names(topics)):
        by_topic.setdefault(name, {})[partition] = archive.ledger((name, partition))
    lines = []
    for name, ledgers in by_topic.items():
        held = [(partition, file) for partition, ledger in ledgers.items() for file in ledger.files.values()]
        if files:
            lines += [
                {"topic": name, "partition": partition, "file": archive.store.address(file.path), "rows": file.rows}
                for partition, file in held
            ]
            continue
        dates = sorted(file.date for _, file in held)
        lines.append(
            {
                "topic": name,
                "files": len(held),
                "rows": sum(file.rows for _, file in held),
                "bytes": sum(file.size_bytes for _, file in held),
                "from": dates[0] if dates else None,
                "to": dates[-1] if dates else None,
                "offsets": {partition: [ledger.start, ledger.following] for partition, ledger in ledgers.items()},
            }
        )
    if as_json:
        for line in lines:
            console.out.print(json.dumps(line), markup=False, soft_wrap=True)
    elif files:
        for line in lines:
            console.out.print(line["file"], markup=False, soft_wrap=True)
    else:
        names = ("topic", "files", "rows", "bytes", "from", "to")
        table = Table(*names, "offsets by partition")
        for line in lines:
            offsets = ", ".join(f"{partition}: {first}-{to}" for partition, (first, to) in line["offsets"].items())
            table.add_row(*("" if line[name] is None else str(line[name]) for name in names), offsets)
        console.out.print(table)
    console.say(f"{len(by_topic)} topics in {archive.store.address('')}")


@app.command()
def verify(topics: str | None = _TOPICS) -> None:
    """Read every file of the archive and compare it with the log: exit code 1 where a row is missing or there twice."""
    archive = archive_setting.archive(settings.load())
    places = archive.places(_names(topics))
    wrong = rows = 0
    for place in places:
        name = f"{place[0]} [{place[1]}]"
        ledger, found = problems(archive, place)
        rows += sum(file.rows for file in ledger.files.values())
        wrong += len(found)
        console.say(f"{name}: offsets {ledger.start} to {ledger.following}, {len(ledger.files)} files")
        for first, to in ledger.gaps.items():
            console.say(f"{name}: offsets {first} to {to} were gone from Kafka before they were archived")
        for problem in found:
            console.out.print(f"{name}: {problem}", markup=False, soft_wrap=True)
    if not places:
        console.say("nothing is archived")
    console.say(f"{rows} rows of {len(places)} partitions, {wrong} problems")
    if wrong:
        raise typer.Exit(1)


def _names(topics: str | None) -> list[str] | None:
    return None if topics is None else [entry.name for entry in archive_setting.chosen(topics)]
