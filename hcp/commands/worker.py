"""`hcp worker NAME`: one worker in the foreground, with its metrics served; SIGTERM and Ctrl-C stop it cleanly."""

import logging
import signal
import threading
from enum import StrEnum
from types import FrameType
from typing import TYPE_CHECKING

import typer

from hcp import console, settings
from schemas import metric

if TYPE_CHECKING:
    from projections.worker import ProjectionConfig


class WorkerName(StrEnum):
    """The workers that can be run."""

    ROLLUP = "rollup"
    AGENTS = "agents"
    PROJECT_POSTGRES = "project-postgres"
    PROJECT_TIMESCALE = "project-timescale"


def worker(name: WorkerName = typer.Argument(help="Which worker to run.")) -> None:  # noqa: B008
    """Run one worker; start as many of a kind as you like, Kafka shares the partitions out."""
    config = settings.load()
    if name is WorkerName.AGENTS:
        # Faust's worker handles the signals and serves the metrics itself.
        _run_agents(config)
        return
    try:
        port = metric.serve(config.metrics_host, config.metrics_port)
    except OSError as error:
        console.fail(f"metrics port {config.metrics_port} can't be used ({error}): set HCP_METRICS_PORT, 0 takes any")
        raise typer.Exit(1) from error
    console.say(f"{name}: metrics on http://{config.metrics_host}:{port}/metrics")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = threading.Event()

    def request_stop(_signal: int, _frame: FrameType | None) -> None:
        stop.set()

    signal.signal(signal.SIGTERM, request_stop)
    signal.signal(signal.SIGINT, request_stop)
    if name is WorkerName.ROLLUP:
        _run_rollup(config, stop)
    else:
        _run_projection(name, config, stop)
    console.say(f"{name}: stopped")


# The imports are inside: Faust, OR-tools and polars take seconds to import, and each worker needs only one of them.


def _run_agents(config: settings.Settings) -> None:
    from streams import app  # noqa: PLC0415

    app.run(
        app.AgentsConfig(
            kafka=config.kafka_client_config(),
            registry_url=config.schema_registry_url,
            instance=config.instance,
            dispatch_interval_s=config.dispatch_interval_s,
            metrics_host=config.metrics_host,
            metrics_port=config.metrics_port,
        )
    )


def _run_rollup(config: settings.Settings, stop: threading.Event) -> None:
    from streams.rollup import worker as rollup  # noqa: PLC0415

    rollup.run(
        rollup.RollupConfig(
            kafka=config.kafka_client_config(),
            registry_url=config.schema_registry_url,
            instance=config.instance,
            window_s=config.window_s,
            grace_s=config.grace_s,
        ),
        stop,
    )


def _run_projection(name: WorkerName, config: settings.Settings, stop: threading.Event) -> None:
    from projections import worker as projection  # noqa: PLC0415

    projection.run(projection_config(name, config), stop)


def projection_config(name: WorkerName, config: settings.Settings) -> "ProjectionConfig":
    """Returns how a projection worker of that name runs, and what its dead letters are replayed with."""
    from projections.sinks.postgres import PostgresSink  # noqa: PLC0415
    from projections.table import Database  # noqa: PLC0415
    from projections.tables import tables_of  # noqa: PLC0415
    from projections.worker import ProjectionConfig  # noqa: PLC0415

    is_postgres = name is WorkerName.PROJECT_POSTGRES
    dsn = (config.postgres_dsn if is_postgres else config.metrics_dsn).get_secret_value()
    return ProjectionConfig(
        kafka=config.kafka_client_config(),
        registry_url=config.schema_registry_url,
        worker=name,
        sink=lambda: PostgresSink(dsn, name),
        tables=tables_of(Database.POSTGRES if is_postgres else Database.TIMESCALE),
        memory_mb=config.projection_memory_mb,
        dead_letter_limit=config.dead_letter_limit,
    )
