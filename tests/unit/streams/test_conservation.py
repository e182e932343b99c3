"""Energy and hash are conserved: what devices report, what windows hold, and what the commands allow are one amount.

A reading stands for the time until the next one of its device, so that energy is power times time (W s) and hash is
hashrate times time (TH), here in whole tenths of a watt and hundredths of a TH/s, times milliseconds. A window of 15 s
has one reading of each device: it holds the readings' sums exactly. In time it is ahead of the readings by what lies
between its start and each device's own moment in it, which is exact too, and cancels from window to window.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from schemas import events as e
from simulators.fleet import PERIOD_MS, SLICE_MS
from simulators.timeline import SECOND_MS, to_datetime
from streams.domain.window import OFFSET, WINDOW_START, PartitionWindows, WindowPolicy
from streams.rollup.source import SOURCES
from tests.simulators_world import START_MS, a_simulation, an_operator, set_mode, workload_command

PARTITIONS = 3
WINDOW_MS = 15_000
SPAN_MS = 3_600_000
# What is left of a change of mode after it is below the tolerance: twelve time constants of 20 s.
TRANSIENT_MS = 240_000
GROUPS = {group.resource_group_id: group for group in an_operator().resources}
MINERS = tuple(name for name, group in GROUPS.items() if group.kind is e.ResourceKind.ASIC)
GPUS = tuple(name for name, group in GROUPS.items() if group.kind is e.ResourceKind.GPU)
SCALES = {"power_w": 10, "hashrate_ths": 100}
"""Whole units of a reading's last decimal place in one."""

Command = e.AllocationCommand
Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class History:
    """Commands as they were carried out (ms), all readings in order of time, and the closed windows of both topics."""

    modes: list[tuple[int, str, e.PowerMode]]
    readings: pl.DataFrame
    windows: pl.DataFrame


SET_POINTS = st.tuples(st.sampled_from(MINERS), st.sampled_from(list(e.PowerMode)))
STARTS = st.tuples(st.sampled_from(GPUS), st.sampled_from([1, 4, 8]))
_DRAWN = st.dictionaries(
    st.integers(0, SPAN_MS // SLICE_MS - 1), st.one_of(SET_POINTS, STARTS), min_size=5, max_size=25
)
PLANS = _DRAWN.map(
    # One group is off for long enough in each.
    lambda plan: {n: c for n, c in plan.items() if c[0] != "texas-1-s21"} | {100: ("texas-1-s21", e.PowerMode.OFF)}
)
"""What is commanded before which slice: a mode of miners, or a workload of so many GPUs."""


def history(seed: int, plan: dict[int, tuple[str, e.PowerMode | int]]) -> History:
    """What a small operator does within an hour, and the rollup of it over some partitions; nothing is left open."""
    simulation = a_simulation(seed=seed)
    modes: list[tuple[int, str, e.PowerMode]] = []
    parts: list[pl.DataFrame] = []
    for number in range(SPAN_MS // SLICE_MS):
        if number in plan:
            group, wanted = plan[number]
            at = to_datetime(simulation.now_ms)
            if isinstance(wanted, e.PowerMode):
                assert simulation.obey(set_mode(group, wanted, at))
                modes.append((simulation.now_ms, group, wanted))
            else:
                simulation.obey(workload_command(workload_id=f"wl-{number}", gpus=wanted, at=at, group=group))
        parts += [frame for _, frame in simulation.advance().readings]
    readings = pl.concat(parts, how="diagonal", rechunk=True).with_columns(pl.col("hashrate_ths").fill_null(0.0))
    return History(modes, readings, pl.concat([rolled_up(frame) for frame in partitions(readings)], how="diagonal"))


def partitions(readings: pl.DataFrame) -> list[pl.DataFrame]:
    """The readings of each topic and partition, a device in one of them."""
    timed = readings.with_columns(pl.col("observed_at").cast(pl.Datetime("ms", "UTC")))
    place = pl.col("device_id").hash(0) % PARTITIONS
    kinds = pl.col("resource_group_id").is_in(MINERS)
    return [timed.filter(kind & (place == number)) for kind in (kinds, ~kinds) for number in range(PARTITIONS)]


def rolled_up(readings: pl.DataFrame) -> pl.DataFrame:
    """The windows of a partition, all of them closed by a reading that comes much later."""
    source = SOURCES[0] if readings["resource_group_id"][0] in MINERS else SOURCES[1]
    windows = PartitionWindows(source.aggregation, WindowPolicy(WINDOW_MS, WINDOW_MS))
    records = readings.select(*source.aggregation.columns).with_row_index(OFFSET).cast({OFFSET: pl.Int64})
    late = records.tail(1).with_columns(pl.col("observed_at") + pl.duration(hours=1), pl.col(OFFSET) + 1)
    return pl.concat([windows.fold(frame).closed for frame in (records.head(400), records.slice(400), late)])


def in_units(frame: pl.DataFrame, name: str) -> Integers:
    """A column as whole units of the last decimal place of a reading."""
    units: Integers = np.rint(frame[name].to_numpy() * SCALES[name]).astype(np.int64)
    return units


def by_window(readings: pl.DataFrame, name: str) -> dict[tuple[str, int], float]:
    """Sums of the readings by resource group and window, each rounded once."""
    totals: dict[tuple[str, int], int] = {}
    starts = (readings["observed_at"] // WINDOW_MS * WINDOW_MS).to_list()
    for group, start, units in zip(
        readings["resource_group_id"].to_list(), starts, in_units(readings, name).tolist(), strict=True
    ):
        totals[group, start] = totals.get((group, start), 0) + units
    return {key: units / SCALES[name] for key, units in totals.items()}


def of_windows(windows: pl.DataFrame, name: str) -> dict[tuple[str, int], float]:
    """The same of the windows: their parts added up in whole units."""
    totals: dict[tuple[str, int], int] = {}
    known = windows.with_columns(pl.col(f"{name}_sum").fill_null(0.0))
    sums = known[f"{name}_sum"].to_list()
    # Each part is exact to the last decimal place of a reading: nothing is lost in the fixed-point sums.
    for group, start, total in zip(known["resource_group_id"], known[WINDOW_START], sums, strict=True):
        units = round(total * SCALES[name])
        assert units / SCALES[name] == total
        totals[group, start] = totals.get((group, start), 0) + units
    return {key: units / SCALES[name] for key, units in totals.items()}


def by_second(device: pl.DataFrame, name: str, start_ms: int, end_ms: int) -> Integers:
    """What a device used or made in each second of [start, end), unit ms: its newest reading holds until the next."""
    at_ms, units = device["observed_at"].to_numpy(), in_units(device, name)
    used = np.concatenate([[0], np.cumsum(units[:-1] * np.diff(at_ms))])
    seconds = np.arange(start_ms, end_ms + 1, SECOND_MS)
    newest = np.searchsorted(at_ms, seconds, side="right") - 1
    # Before its first reading a device counts for nothing.
    total = np.where(newest < 0, 0, used[newest] + units[newest] * (seconds - at_ms[newest]))
    return np.diff(total)


def devices(readings: pl.DataFrame, groups: tuple[str, ...]) -> list[pl.DataFrame]:
    """The readings of each device of some groups."""
    return readings.filter(pl.col("resource_group_id").is_in(groups)).partition_by("device_id", maintain_order=True)


# An hour each: to shrink one would take minutes.
@settings(max_examples=2, derandomize=True, phases=[Phase.generate])
@given(st.integers(0, 2**31), PLANS)
def test_energy_and_hash_are_conserved_between_readings_windows_and_commands(
    seed: int, plan: dict[int, tuple[str, e.PowerMode | int]]
) -> None:
    found = history(seed, plan)
    for name in SCALES:
        assert of_windows(found.windows, name) == by_window(found.readings, name)
        assert_windows_are_the_seconds(found, name)
    assert_readings_obey(found)
    assert_off_is_standby(found)
    assert_only_workloads_use_gpus(found)


def assert_windows_are_the_seconds(found: History, name: str) -> None:
    """A window's sum times 15 s is the sum over its seconds, but for the share of each that came before the reading."""
    start_ms, end_ms = START_MS + WINDOW_MS, START_MS + SPAN_MS
    windows = of_windows(found.windows, name)
    for group in GROUPS:
        seconds = np.zeros((end_ms - start_ms) // SECOND_MS, dtype=np.int64)
        ahead = np.zeros((end_ms - start_ms) // WINDOW_MS, dtype=np.int64)
        for device in devices(found.readings, (group,)):
            seconds += by_second(device, name, start_ms, end_ms)
            # One reading in each window, at the same moment of it.
            assert (device["observed_at"].diff().drop_nulls() == PERIOD_MS).all()
            ahead += device["observed_at"][0] % WINDOW_MS * np.diff(in_units(device, name))
        held = [round(windows[group, at] * SCALES[name]) * WINDOW_MS for at in range(start_ms, end_ms, WINDOW_MS)]
        assert (np.array(held) - ahead == seconds.reshape(-1, WINDOW_MS // SECOND_MS).sum(axis=1)).all()


def assert_readings_obey(found: History) -> None:
    """From the moment of a command on, every reading of its group has its mode."""
    for group in MINERS:
        own = [(at_ms, str(mode)) for at_ms, name, mode in found.modes if name == group]
        since = [START_MS, *(at_ms for at_ms, _ in own)]
        names = np.array([str(e.PowerMode.NORMAL), *(mode for _, mode in own)])
        readings = found.readings.filter(resource_group_id=group)
        newest = np.searchsorted(since, readings["observed_at"].to_numpy(), side="right") - 1
        assert readings["power_mode"].to_list() == names[newest].tolist()


def off_spans(found: History, group: str) -> list[tuple[int, int]]:
    """When a group was off, ms."""
    own = [(at_ms, mode) for at_ms, name, mode in found.modes if name == group]
    ends = [at_ms for at_ms, _ in [*own, (START_MS + SPAN_MS, None)]][1:]
    return [(at_ms, end_ms) for (at_ms, mode), end_ms in zip(own, ends, strict=True) if mode is e.PowerMode.OFF]


def assert_off_is_standby(found: History) -> None:
    """A group that is off uses standby power, and hashes nothing, but for what it takes to get there."""
    for group in MINERS:
        resource = GROUPS[group]
        own = devices(found.readings, (group,))
        for start_ms, end_ms in off_spans(found, group):
            from_ms = start_ms + TRANSIENT_MS
            if from_ms >= end_ms:
                continue
            used = np.sum([by_second(d, "power_w", from_ms, end_ms) for d in own], axis=0) / (10 * SECOND_MS)
            assert used.tolist() == pytest.approx([resource.units * resource.idle_power_w] * len(used), rel=0.05)
            assert not any(by_second(d, "hashrate_ths", from_ms, end_ms).any() for d in own)
            # On the way: at most a minute's worth of all that it can draw, and no less than standby.
            joules = sum(int(by_second(d, "power_w", start_ms, from_ms).sum()) for d in own) / (10 * SECOND_MS)
            standby = resource.units * resource.idle_power_w * TRANSIENT_MS / SECOND_MS
            assert 0.95 * standby <= joules <= 1.05 * standby + resource.units * resource.max_power_w * 60


def assert_only_workloads_use_gpus(found: History) -> None:
    """A GPU without a workload draws its idle power; with one, no more than its limit."""
    for group in GPUS:
        own = found.readings.filter(resource_group_id=group)
        idle = own.filter(pl.col("workload_id").is_null())["power_w"]
        assert idle.to_list() == pytest.approx([GROUPS[group].idle_power_w] * len(idle), rel=0.1)
        assert own["power_w"].max() <= GROUPS[group].max_power_w  # type: ignore[operator]
