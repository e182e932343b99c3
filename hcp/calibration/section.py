"""Which series are compared: what the simulators make of ten years, and what was recorded."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
import polars as pl

from hcp.calibration.figure import Figure, Floats, moments, prices, quantiles, returns
from hcp.calibration.recording import Recording
from schemas.events import NetworkStats, ResourceKind, WorkloadRequest
from simulators.ambient import Ambient
from simulators.bitcoin import BitcoinPrice
from simulators.fleet import PERIOD_MS, SLICE_MS, Fleet
from simulators.gpu.course import course
from simulators.gpu.fleet import GpuFleet
from simulators.grid import CAD_USD, SettlementPoint
from simulators.market import Market
from simulators.network import EPOCH_BLOCKS, Network
from simulators.patience import Patience
from simulators.replay import AESO_POINT
from simulators.scarcity import STEP_MS
from simulators.site import GPU_IDLE_W, GPU_MAX_W, operator
from simulators.timeline import DAY_MS, HOUR_MS
from simulators.workload import Arrivals

START_MS = 1_735_689_600_000
"""First simulated moment: 2025-01-01. Any would do, as simulations are functions of event time."""

_SPAN = range(START_MS, START_MS + 10 * 365 * DAY_MS, HOUR_MS)
_STEPS = range(START_MS, _SPAN.stop, STEP_MS)
_STEPS_A_QUARTER = 3
_STEPS_AN_HOUR = 12
_GPUS = 2_000
_JOB_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Comparison:
    """A figure of both series; `recorded` is None without its data."""

    name: str
    simulated: float
    recorded: float | None
    is_within: bool | None


@dataclass(frozen=True, slots=True)
class Section:
    """A series, simulated and recorded; `published` has figures of recorded ones of which only those are public."""

    name: str
    unit: str
    figures: tuple[Figure, ...]
    simulated: Floats
    recorded: Floats | None
    published: Mapping[str, float] = field(default_factory=dict)

    def comparisons(self) -> list[Comparison]:
        """Figure by figure."""
        return [self._compared(figure) for figure in self.figures]

    def _compared(self, figure: Figure) -> Comparison:
        simulated = figure.of(self.simulated)
        recorded = self.published.get(figure.name) if self.recorded is None else figure.of(self.recorded)
        is_within = None if recorded is None else figure.is_within(simulated, recorded)
        return Comparison(figure.name, simulated, recorded, is_within)


def sections(recording: Recording, seed: int) -> list[Section]:
    """Returns all series. Raises CalibrationError for a file that can't be read."""
    energy, bitcoin, workloads = (make(recording, seed) for make in (_energy, _bitcoin, _workloads))
    return [*energy, *bitcoin, *workloads, _gpu_power(recording, seed)]


def _energy(recording: Recording, seed: int) -> list[Section]:
    north, west, pool = (SettlementPoint(name, seed) for name in ("HB_NORTH", "HB_WEST", AESO_POINT))
    north_usd, west_usd = north.real_time_usd(_STEPS), west.real_time_usd(_STEPS)
    hourly = {name: usd.reshape(-1, _STEPS_AN_HOUR).mean(axis=1) for name, usd in (("N", north_usd), ("W", west_usd))}
    north_ahead, west_ahead = north.day_ahead_usd(_SPAN), west.day_ahead_usd(_SPAN)
    settled = north_usd.reshape(-1, _STEPS_A_QUARTER).mean(axis=1)
    return [
        Section("HB_NORTH, settled (hub average)", "USD/MWh", prices(4), settled, recording.settlement_prices()),
        Section("HB_WEST, real-time", "USD/MWh", prices(1), hourly["W"], recording.hourly_prices("HB_WEST", "rtm")),
        Section("HB_NORTH, day-ahead", "USD/MWh", prices(1), north_ahead, recording.hourly_prices("HB_NORTH", "dam")),
        Section("HB_WEST, day-ahead", "USD/MWh", prices(1), west_ahead, recording.hourly_prices("HB_WEST", "dam")),
        Section(
            "HB_WEST less HB_NORTH",
            "USD/MWh",
            quantiles(0.35, 2.0),
            hourly["W"] - hourly["N"],
            recording.hourly_differences(("HB_WEST", "rtm"), ("HB_NORTH", "rtm")),
        ),
        Section(
            "HB_NORTH, day-ahead less real-time",
            "USD/MWh",
            quantiles(0.5, 4.0),
            north_ahead - hourly["N"],
            recording.hourly_differences(("HB_NORTH", "dam"), ("HB_NORTH", "rtm")),
        ),
        Section(
            "Alberta's pool", "CAD/MWh", prices(1, 0.6), pool.real_time_usd(_SPAN) / CAD_USD, recording.pool_prices()
        ),
    ]


def _bitcoin(recording: Recording, seed: int) -> list[Section]:
    hours = BitcoinPrice(seed).hourly_usd(START_MS, len(_SPAN))
    blocks = list(Network(seed).blocks(_SPAN.start, START_MS + 365 * DAY_MS))
    gaps = np.diff([block.observed_at.timestamp() for block in blocks])
    fees = np.array([block.block_fees_btc for block in blocks])
    return [
        Section("BTC, hourly returns", "%", returns(), 100 * np.diff(np.log(hours)), recording.bitcoin_returns()),
        Section("blocks, gaps", "s", (*quantiles(0.15, 60.0), *moments(0.08, 0)), gaps, recording.block_gaps()),
        Section("blocks, fees", "BTC", (*quantiles(0.25, 0.001), *moments(0.25, 0)), fees, recording.block_fees()),
        Section("changes of difficulty", "%", moments(0.3, 1.5), _changes(blocks), recording.difficulty_changes()),
    ]


def _changes(blocks: list[NetworkStats]) -> Floats:
    epochs = [next(epoch).difficulty for _, epoch in groupby(blocks, lambda block: block.block_height // EPOCH_BLOCKS)]
    return np.asarray(100 * (np.array(epochs[1:]) / np.array(epochs[:-1]) - 1))


def _workloads(recording: Recording, seed: int) -> list[Section]:
    arrivals = Arrivals(operator(0, _GPUS, START_MS), Market(seed), seed)
    submitted = list(arrivals.submissions(START_MS, START_MS + 7 * DAY_MS))
    sizes = np.array([request.gpus for request in submitted], float)
    durations = np.array([request.duration_s for request in submitted], float)
    return [
        _published("workloads, sizes", "GPUs", ("50 %", "mean"), sizes, recording.gpu_sizes()),
        Section("workloads, durations", "s", quantiles(0.25, 15.0), durations, recording.gpu_durations()),
        _published("workloads, waits", "s", ("25 %", "50 %"), _waits(submitted, seed), recording.gpu_waits()),
    ]


def _published(
    name: str, unit: str, figures: tuple[str, str], simulated: Floats, recorded: tuple[float, float] | None
) -> Section:
    """A series of which two figures are known."""
    known = {} if recorded is None else dict(zip(figures, recorded, strict=True))
    judged = tuple(figure for figure in (*quantiles(0.1, 0), *moments(0.15, 0)) if figure.name in figures)
    return Section(name, unit, judged, simulated, None, known)


def _waits(submitted: list[WorkloadRequest], seed: int) -> Floats:
    """How long each workload without a deadline would wait, where none got GPUs, s."""
    asked = {request.workload_id: request.observed_at for request in submitted if request.deadline is None}
    patience = Patience(seed)
    for request in submitted:
        patience.learn(request)
    withdrawn = patience.withdrawals(START_MS, START_MS + 30 * DAY_MS)
    at = {w.workload_id: w.observed_at for w in withdrawn}
    return np.array([(at[name] - since).total_seconds() for name, since in asked.items()])


def _gpu_power(recording: Recording, seed: int) -> Section:
    """A reading of each GPU of a fleet that is full of jobs of a day, each at another time of it."""
    owned = operator(0, _GPUS, START_MS)
    ambients = {name: Ambient(climate, seed, name) for name, climate in owned.climates.items()}
    gpus = GpuFleet(Fleet(owned.groups(ResourceKind.GPU), seed, "gpu"), ambients, seed, START_MS)
    number = 0
    for group in gpus.fleet.groups:
        for _ in range(gpus.free(group.resource_group_id)):
            name = f"wl-{number}"
            gpus.hold(name, group.resource_group_id, 1)
            gpus.start(name, course(seed, name, _JOB_MS), START_MS - _JOB_MS * number // _GPUS)
            number += 1
    gpus.settle(START_MS)
    readings = pl.concat([gpus.readings(START_MS + at_ms) for at_ms in range(0, PERIOD_MS, SLICE_MS)])
    in_use = readings.filter(pl.col("workload_id").is_not_null())["power_w"].to_numpy()
    shares = 100 * (in_use - GPU_IDLE_W) / (GPU_MAX_W - GPU_IDLE_W)
    return Section("GPUs in use, power", "% over idle", quantiles(0.2, 4.0), shares, recording.gpu_power_shares())
