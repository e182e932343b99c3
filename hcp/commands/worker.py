"""`hcp worker NAME`: one worker in the foreground, with its metrics served; SIGTERM and Ctrl-C stop it cleanly."""

import signal
import threading
from enum import StrEnum
from types import FrameType

import typer

from hcp import console, settings
from schemas import metric


class WorkerName(StrEnum):
    """The workers that can be run."""

    ROLLUP = "rollup"
    AGENTS = "agents"
    PROJECT_POSTGRES = "project-postgres"
    PROJECT_TIMESCALE = "project-timescale"


def worker(name: WorkerName = typer.Argument(help="Which worker to run.")) -> None:  # noqa: B008
    """Run one worker; start as many of a kind as you like, Kafka shares the partitions out."""
    config = settings.load()
    try:
        port = metric.serve(config.metrics_host, config.metrics_port)
    except OSError as error:
        console.fail(f"metrics port {config.metrics_port} can't be used ({error}): set HCP_METRICS_PORT, 0 takes any")
        raise typer.Exit(1) from error
    console.say(f"{name}: metrics on http://{config.metrics_host}:{port}/metrics")
    stop = threading.Event()

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)
    _run(name, config, stop)
    console.say(f"{name}: stopped")


def _run(name: WorkerName, config: settings.Settings, stop: threading.Event) -> None:
    # Imported here: Faust, OR-tools and polars together take seconds to import, and each worker needs one of them.
    match name:
        case WorkerName.ROLLUP:
            pass
