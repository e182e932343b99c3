"""`hcp worker NAME`: one worker in the foreground, with its metrics served; SIGTERM and Ctrl-C stop it cleanly."""

import logging
import threading
from enum import StrEnum
from typing import TYPE_CHECKING

import typer

from hcp import allocator, collector, console, metrics_page, settings
from hcp.stop_signal import stop_event

if TYPE_CHECKING:
    from projections.worker import ProjectionConfig


class WorkerName(StrEnum):
    """The workers that can be run."""

    ROLLUP = "rollup"
    AGENTS = "agents"
    FORECAST = "forecast"
    PROJECT_POSTGRES = "project-postgres"
    PROJECT_TIMESCALE = "project-timescale"
    PROJECT_REDIS = "project-redis"
    PROJECT_MONGO = "project-mongo"
    PROJECT_NEO4J = "project-neo4j"
    ARCHIVE = "archive"


def worker(
    name: WorkerName = typer.Argument(help="Which worker to run."),  # noqa: B008
    topics: str | None = typer.Option(None, help="Topics of the archive worker, comma separated; default all."),
) -> None:
    """Run one worker; start as many of a kind as you like, Kafka shares the partitions out."""
    if topics is not None and name is not WorkerName.ARCHIVE:
        raise typer.BadParameter("only the archive worker takes --topics")
    config = settings.load()
    if name is WorkerName.AGENTS:
        # Faust's worker handles the signals and serves the metrics itself.
        _run_agents(config)
        return
    collector.relax()
    allocator.keep_memory()
    metrics_page.serve(config, name)
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stop = stop_event()
    if name is WorkerName.ROLLUP:
        _run_rollup(config, stop)
    elif name is WorkerName.FORECAST:
        _run_forecast(config, stop)
    elif name is WorkerName.ARCHIVE:
        _run_archive(config, topics, stop)
    else:
        _run_projection(name, config, stop)
    console.say(f"{name}: stopped")


# The imports are inside: Faust, OR-tools, polars and scikit-learn take seconds, and each worker needs few of them.


def _run_agents(config: settings.Settings) -> None:
    from streams import app  # noqa: PLC0415

    app.run(
        app.AgentsConfig(
            kafka=config.kafka_client_config(),
            registry_url=config.schema_registry_url,
            instance=config.instance,
            dispatch_interval_s=config.dispatch_interval_s,
            risk_weight=config.risk_weight,
            risk_tail=config.risk_tail,
            solver_processes=config.solver_processes,
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


def _run_forecast(config: settings.Settings, stop: threading.Event) -> None:
    from streams.forecast import worker as forecast  # noqa: PLC0415

    forecast.run(forecast.ForecastConfig(config.kafka_client_config(), config.schema_registry_url), stop)


def _run_projection(name: WorkerName, config: settings.Settings, stop: threading.Event) -> None:
    from projections import worker as projection  # noqa: PLC0415

    projection.run(projection_config(name, config), stop)


def projection_config(name: WorkerName, config: settings.Settings) -> "ProjectionConfig":
    """Returns how a projection worker of that name runs, and what its dead letters are replayed with."""
    from hcp import store  # noqa: PLC0415
    from projections.worker import ProjectionConfig  # noqa: PLC0415

    chosen = store.of(name.removeprefix("project-"), config)
    return ProjectionConfig(
        kafka=config.kafka_client_config(),
        registry_url=config.schema_registry_url,
        worker=name,
        sink=lambda: chosen.open(name),
        tables=chosen.tables,
        memory_mb=config.projection_memory_mb,
        dead_letter_limit=config.dead_letter_limit,
    )


def _run_archive(config: settings.Settings, topics: str | None, stop: threading.Event) -> None:
    from hcp import archive_setting  # noqa: PLC0415
    from projections import worker as projection  # noqa: PLC0415
    from projections.archive_store import ArchiveStore  # noqa: PLC0415
    from projections.archive_table import archive_table  # noqa: PLC0415
    from projections.gathering import GatherPolicy  # noqa: PLC0415
    from projections.sinks.parquet import ParquetSink  # noqa: PLC0415

    store = ArchiveStore(archive_setting.url(config))
    projection.run(
        projection.ProjectionConfig(
            kafka=config.kafka_client_config(),
            registry_url=config.schema_registry_url,
            worker=WorkerName.ARCHIVE,
            sink=lambda: ParquetSink(store, WorkerName.ARCHIVE, config.archive_file_rows),
            tables=tuple(archive_table(entry) for entry in archive_setting.chosen(topics)),
            memory_mb=config.projection_memory_mb,
            dead_letter_limit=config.dead_letter_limit,
            gather=GatherPolicy(config.archive_rows, config.archive_age_s),
            has_log_columns=True,
        ),
        stop,
    )
