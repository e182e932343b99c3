"""`hcp demo`: the whole system on this machine, with a live view, from nothing."""

import os
import signal
import time
from pathlib import Path

import typer
from confluent_kafka import KafkaException
from rich.live import Live

from hcp import console, live_view, settings, summary, worker_metrics
from hcp.commands import database, stack
from hcp.duration import parse_duration
from hcp.stream_tail import StreamTail
from hcp.worker_process import Workers, WorkerSpec
from schemas import provision
from schemas.registry import Registry
from simulators.fault import FaultShares

_DRAIN_S = 60.0
_TICK_S = 1.0
_LINE_EVERY_S = 5.0
_SIMULATOR = "simulator"


def demo(  # noqa: PLR0917 - typer reads options from the parameters
    duration: str | None = typer.Option(None, "--for", help="End by itself after this long: 60s, 5m, 1h."),
    miners: int = typer.Option(2000, min=1, help="ASICs in the fleet."),
    gpus: int = typer.Option(200, min=8, help="GPUs in the fleet."),
    speed: float = typer.Option(60.0, min=0, help="Event time over wall time, as far as the agents keep up."),
    replay: Path | None = typer.Option(None, exists=True, help="CSV of recorded prices in place of simulated ones."),  # noqa: B008
    faults: str | None = typer.Option(None, help="Shares of faulty data, as of `hcp simulate --faults`."),
    outages: float = typer.Option(1.0, min=0, help="How often feeders and transformers trip, over published rates."),
) -> None:
    """Start what is not running, simulate a fleet, run the workers and show it live; Ctrl-C ends it.

    Where HCP_KAFKA_BOOTSTRAP_SERVERS names a stack, that one is used.
    """
    FaultShares.parse(faults or "")
    started_at = time.monotonic()
    limit = parse_duration(duration).total_seconds() if duration else None
    if "HCP_KAFKA_BOOTSTRAP_SERVERS" not in os.environ:
        stack.up()
    config = settings.load()
    provision.create_topics(config.kafka_client_config(), config.kafka_replication_factor)
    provision.register_schemas(Registry(config.schema_registry_url))
    database.migrate_all(config)
    simulate = simulator_arguments(miners, gpus, speed, outages, replay, faults)
    names = ("rollup", "agents", "forecast", "project-postgres", "project-timescale")
    specs = [*(WorkerSpec(name, ("worker", name)) for name in names), WorkerSpec(_SIMULATOR, simulate)]
    workers = Workers(config.home, specs, {"HCP_HOME": str(config.home.absolute())})
    tail = StreamTail(config.kafka_client_config(), config.schema_registry_url, started_at)
    tail.start()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        workers.start()
        _watch(workers, tail, started_at, limit)
    except KeyboardInterrupt:
        console.say("stopping …")
    finally:
        _finish(workers, tail)
    console.out.print(summary.render(summary.read(*_dsns(config))))
    if tail.seen.first_decision_s is not None:
        console.say(f"first decision {tail.seen.first_decision_s:.1f} s after the command")
    console.say("the stack is still up: `hcp query`, `hcp psql`, `hcp tail` reach it, `hcp down` stops it")
    if limit is not None and tail.seen.first_decision_s is None:
        console.fail(f"no decision was seen; the workers' logs are in {config.home / 'workers'}")
        raise typer.Exit(1)


def simulator_arguments(  # noqa: PLR0917 - the options of the command
    miners: int, gpus: int, speed: float, outages: float, replay: Path | None, faults: str | None
) -> tuple[str, ...]:
    """Returns the command line, after `hcp`, of the demo's simulator.

    In lockstep: on a slow machine event time would run ahead of the decisions, whose commands then come too late.
    """
    numbers = {"--miners": miners, "--gpus": gpus, "--speed": speed, "--outages": outages}
    given = {"--replay": replay and replay.absolute(), "--faults": faults}
    options = numbers | {name: value for name, value in given.items() if value is not None}
    return ("simulate", "--lockstep", *(part for name, value in options.items() for part in (name, str(value))))


def _dsns(config: settings.Settings) -> tuple[str, str]:
    return config.postgres_dsn.get_secret_value(), config.metrics_dsn.get_secret_value()


def _watch(workers: Workers, tail: StreamTail, started_at: float, limit: float | None) -> None:
    tail.rates()
    with Live(console=console.out, screen=console.out.is_terminal, auto_refresh=False) as live:
        last_line = 0.0
        while limit is None or time.monotonic() - started_at < limit:
            time.sleep(_TICK_S)
            workers.watch()
            frame = _frame(workers, tail, started_at)
            if console.out.is_terminal:
                live.update(live_view.render(frame), refresh=True)
            elif frame.elapsed_s - last_line >= _LINE_EVERY_S:
                console.say(live_view.line(frame))
                last_line = frame.elapsed_s


def _frame(workers: Workers, tail: StreamTail, started_at: float) -> live_view.Frame:
    return live_view.Frame(
        elapsed_s=time.monotonic() - started_at,
        topics=tail.rates(),
        seen=tail.seen,
        workers={name: worker_metrics.read(port) for name, port in workers.metrics_ports.items()},
        deaths=workers.deaths,
    )


def _finish(workers: Workers, tail: StreamTail) -> None:
    # First the source, then, once everything that it produced is in the tables, the workers.
    workers.stop(_SIMULATOR)
    deadline = time.monotonic() + _DRAIN_S
    still = 0
    try:
        while time.monotonic() < deadline and still < 2:
            time.sleep(_TICK_S)
            found = [worker_metrics.read(port) for port in workers.metrics_ports.values()]
            still = still + 1 if not any(m.lag_events for m in found if m.answers) else 0
    except (KeyboardInterrupt, KafkaException):
        console.say("not waiting for the workers to catch up")
    tail.stop()
    workers.stop()
