"""`hcp simulate`: an operator's devices, markets and customers as events, in the foreground; it obeys the commands."""

import threading
from pathlib import Path

import typer

from hcp import console, metrics_page, settings
from hcp.duration import parse_duration
from hcp.event_time import parse_bound
from hcp.recorded_data import DATA
from hcp.stop_signal import stop_event
from simulators import replay as recorded
from simulators.configuration import SimulationConfig
from simulators.exporter import server as exporter_page
from simulators.exporter.newest import Newest
from simulators.fault import FaultShares
from simulators.run import Listener, Progress, run

_LINE_EVERY = 10
SOURCES = (
    "ERCOT and AESO publish prices of energy, exchanges those of bitcoin, Coin Metrics blocks and difficulty, "
    "InternLM/AcmeTrace and alibaba/clusterdata on GitHub GPU jobs"
)


def simulate(  # noqa: PLR0917 - typer reads options from the parameters
    miners: int = typer.Option(2000, min=0, help="ASICs in the fleet."),
    gpus: int = typer.Option(200, min=0, help="GPUs in the fleet."),
    speed: float = typer.Option(60.0, min=0, help="Event time over wall time; 0 is as fast as it goes."),
    seed: int | None = typer.Option(None, min=0, help="Another seed, another history.  [default: HCP_SEED]"),
    start: str | None = typer.Option(
        None, help="First event time, ISO 8601; it may then pass the wall clock.  [default: 24 h ago, or the log's end]"
    ),
    until: str | None = typer.Option(None, help="Event time to stop at, ISO 8601."),
    duration: str | None = typer.Option(None, "--for", help="Stop by itself after this long: 60s, 5m, 1h."),
    replay: Path | None = typer.Option(  # noqa: B008 - typer's way
        None, exists=True, dir_okay=False, help="CSV of recorded real-time prices in place of simulated ones."
    ),
    replay_time: str | None = typer.Option(None, help="Its column with the start of the interval."),
    replay_price: str | None = typer.Option(None, help="Its column with the price of a MWh."),
    replay_point: str | None = typer.Option(None, help="Settlement point that the prices are for, e.g. HB_WEST."),
    replay_fx: float | None = typer.Option(None, help="USD for one unit of the file's money, e.g. 0.72 for CAD."),
    faults: str | None = typer.Option(
        None,
        help="Shares of faulty readings (late, duplicate, disorder, missing, corrupt), of faulty devices (skew, "
        "stuck), and of other events (events.late … events.corrupt, events.stale): late=0.01,events.stale=0.05,…  "
        "[default: HCP_FAULTS]",
    ),
    fault_ledger: Path | None = typer.Option(  # noqa: B008
        None, dir_okay=False, help="File that a line of JSON is appended to for each fault."
    ),
    exporter: int | None = typer.Option(
        None,
        min=0,
        max=65535,
        help="Port of a page of metrics of the devices, as dcgm-exporter and prometheus-asic have them; 0 takes a free "
        "one.  [default: HCP_EXPORTER_PORT]",
    ),
    outages: float = typer.Option(1.0, min=0, help="How often feeders and transformers trip, over published rates."),
    lockstep: bool = typer.Option(
        False, "--lockstep", help="Event time waits for the agents' plans: with --speed 0 as fast as they decide."
    ),
    check: bool = typer.Option(
        False, "--check", help="Compare simulated years with recorded ones, and simulate nothing."
    ),
    data: Path = typer.Option(DATA, envvar="HCP_DATA", help="Folder of recorded files for --check, found by name."),  # noqa: B008
    out: Path | None = typer.Option(None, file_okay=False, help="Folder for the plots of --check."),  # noqa: B008
) -> None:
    """Simulate fleets, market, grid and workloads; start again to go on where the log ends. Ctrl-C stops it cleanly.

    With --check, exit code 1 says that a figure is not within its tolerance.
    """
    config = settings.load()
    if check:
        raise typer.Exit(_check(data, out, config.seed if seed is None else seed))
    simulation = SimulationConfig(
        kafka=config.kafka_client_config(),
        registry_url=config.schema_registry_url,
        miners=miners,
        gpus=gpus,
        speed=speed,
        seed=config.seed if seed is None else seed,
        start=parse_bound(start, "--start"),
        end=parse_bound(until, "--until"),
        replay=_replay(replay, recorded.Columns(replay_time, replay_price, replay_point, replay_fx)),
        faults=FaultShares.parse(config.faults if faults is None else faults),
        fault_ledger=fault_ledger,
        outages=outages,
        lockstep_s=config.dispatch_interval_s if lockstep else None,
    )
    seconds = parse_duration(duration).total_seconds() if duration else None
    metrics_page.serve(config, "simulator")
    newest = _exporter(config, config.exporter_port if exporter is None else exporter)
    stop = stop_event()
    timer = threading.Timer(seconds, stop.set) if seconds is not None else None
    if timer is not None:
        timer.start()
    try:
        delivered = run(simulation, stop, _listener(newest))
    finally:
        if timer is not None:
            timer.cancel()
    console.say(f"simulator: stopped, {delivered} events delivered")


def _exporter(config: settings.Settings, port: int | None) -> Newest | None:
    """Serves the devices' newest readings where there is a port, and says where; exit code 1 where it is taken."""
    if port is None:
        return None
    newest = Newest()
    try:
        taken = exporter_page.serve(newest, config.exporter_host, port)
    except OSError as error:
        console.fail(f"exporter port {port} can't be used ({error}): name another by --exporter, 0 takes any")
        raise typer.Exit(1) from error
    console.say(f"simulator: devices on http://{config.exporter_host}:{taken}{exporter_page.PATH}")
    return newest


def _listener(newest: Newest | None) -> Listener:
    if newest is None:
        return Listener(progress=_Line(), notice=console.say)
    return Listener(progress=_Line(), notice=console.say, started=newest.begin, advanced=newest.take)


def _check(data: Path, out: Path | None, seed: int) -> int:
    # Read with the command that needs it: the simulation does not.
    from hcp.calibration import measured_board, report  # noqa: PLC0415
    from hcp.calibration.recording import Recording  # noqa: PLC0415
    from hcp.calibration.section import sections  # noqa: PLC0415

    found = [*sections(Recording(data), seed), *measured_board.sections(seed)]
    console.out.print(report.table(found))
    missing = [section.name for section in found if section.recorded is None and not section.published]
    if missing:
        console.say(f"no recorded data in {data} for {'; '.join(missing)}: name their folder by --data; {SOURCES}")
    if out is not None:
        for section in found:
            console.say(f"plot: {report.plot(section, out)}")
    text, is_within = report.summary(found)
    console.out.print(text)
    return 0 if is_within else 1


class _Line:
    """The progress line: rewritten in place on a terminal, every ten seconds or so elsewhere."""

    def __init__(self) -> None:
        self._told = 0

    def __call__(self, progress: Progress) -> None:
        lost = f", {progress.failed} refused" if progress.failed else ""
        text = (
            f"{progress.event_time:%Y-%m-%d %H:%M:%S} UTC  {progress.events_per_s:,.0f} events/s  "
            f"{progress.speed:.1f}x  {progress.events:,} events, {progress.waiting:,} waiting{lost}"
        )
        self._told += 1
        if console.err.is_terminal:
            console.err.print(f"\r\x1b[K{text}", end="", markup=False, soft_wrap=True)
        elif self._told % _LINE_EVERY == 1:
            console.say(text)


def _replay(file: Path | None, columns: recorded.Columns) -> recorded.Replay | None:
    if file is None:
        return None
    found = recorded.read(file, columns)
    for line in recorded.bad_row_lines(found.bad_rows):
        console.say(f"{file.name}: {line}")
    for point, prices in sorted(found.series.items()):
        console.say(f"{file.name}: {len(prices)} prices of {point}, every {prices[0].interval_ms // 60_000} min")
    if found.bad_rows or found.blanks:
        console.say(f"{file.name}: {len(found.bad_rows)} bad values and {found.blanks} blank ones are left out")
    return found
