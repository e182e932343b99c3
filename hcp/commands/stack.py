"""`hcp up|down|status|logs`: the embedded stack, for machines without a container engine.

Exit codes: 0 done, 1 failed (the line says what to do), 3 `status`: not everything is up, 130 interrupted.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from deploy.local.process import last_lines
from deploy.local.progress import ConsoleProgress
from deploy.local.stack import Stack
from deploy.local.state import ServiceState, State
from hcp import console, settings

NOT_UP = 3
FOLLOW_S = 0.3
COLUMNS = ("SERVICE", "STATE", "PORT", "PID", "MEMORY", "UPTIME", "URL")
STYLES = {State.UP: "", State.BUSY: "yellow", State.SKIPPED: "dim"}


def up(
    only: Annotated[list[str] | None, typer.Option(help="Start this service only; repeat for more.")] = None,
) -> None:
    """Start the services that do not run yet; mends what was killed, keeps the data. The first start fetches them."""
    config = settings.load()
    with ConsoleProgress(console.err) as progress:
        state = Stack(config.home, config.parts, progress).up(only)
    rows = [(service.title, service.url or "-") for service in state.services if service.state is State.UP]
    _print_columns([("SERVICE", "WHERE"), *rows], ["bold", *[""] * len(rows)])
    console.say(f"settings for other programs: {config.home / 'stack.env'}")


def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Delete data, logs and parts as well.")] = False,
) -> None:
    """Stop the services; the data stay unless --wipe is given."""
    config = settings.load()
    with ConsoleProgress(console.err) as progress:
        stopped = Stack(config.home, config.parts, progress).down(wipe=wipe)
    if wipe:
        console.say(f"{config.home} is deleted")
    elif not stopped:
        console.say("nothing was running")


def status(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object, no table.")] = False,
) -> None:
    """Ask every service for an answer; exit code 3 unless all give one."""
    config = settings.load()
    state = Stack(config.home, config.parts).status()
    if as_json:
        typer.echo(json.dumps(asdict(state), default=str))
    else:
        styles = [STYLES.get(service.state, "red") for service in state.services]
        _print_columns([COLUMNS, *map(_row, state.services)], ["bold", *styles])
    if not state.is_up:
        raise typer.Exit(NOT_UP)


def logs(
    service: Annotated[str | None, typer.Argument(help="A service; all of them by default.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with what is written from now on.")] = False,
    lines: Annotated[int, typer.Option("-n", "--lines", min=0, help="How many of the newest lines.")] = 50,
) -> None:
    """Show the newest lines of a service's log, or of all."""
    config = settings.load()
    stack = Stack(config.home, config.parts)
    names = [service] if service else stack.names
    files = {name: stack.log(name) for name in names}
    offsets = {name: _size(path) for name, path in files.items()}
    for name, path in files.items():
        for line in last_lines(path, lines):
            _print(name, line, label=len(files) > 1)
    while follow:
        time.sleep(FOLLOW_S)
        for name, path in files.items():
            size = _size(path)
            # A file that shrank was turned over: its new content starts at the beginning.
            start = offsets[name] if offsets[name] <= size else 0
            if size > start:
                with path.open("rb") as file:
                    file.seek(start)
                    text = file.read(size - start)
                whole = text[: text.rfind(b"\n") + 1]
                for line in whole.decode(errors="replace").splitlines():
                    _print(name, line, label=len(files) > 1)
                start += len(whole)
            offsets[name] = start


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _print(name: str, line: str, *, label: bool) -> None:
    typer.echo(f"{name:<10} {line}" if label else line)


def _row(service: ServiceState) -> tuple[str, ...]:
    return (
        service.name,
        service.state,
        str(service.port or "-"),
        str(service.pid or "-"),
        f"{service.memory_bytes / 1e6:.0f} MB" if service.pid else "-",
        str(timedelta(seconds=int(service.uptime_s))) if service.uptime_s is not None else "-",
        service.url or "-",
    )


def _print_columns(rows: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
    """Prints rows below each other, never cutting an address short as a table on 80 columns would."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row, style in zip(rows, styles, strict=True):
        line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        console.out.print(line.rstrip(), style=style, markup=False, soft_wrap=True)
