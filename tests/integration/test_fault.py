"""Every fault that the simulators put into their readings, from the ledger to what the workers made of it."""

import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any, Self

import polars as pl
import pytest

from hcp.dead_letter_log import DeadLetterLog
from schemas import metric
from schemas.columnar import ColumnarDecoder
from schemas.dead_letter import PREFIX, STAGE_DECODE
from schemas.rule import RULE_ERROR
from simulators.configuration import SimulationConfig
from simulators.damage import DAMAGE, damaging
from simulators.encoding import encoder
from simulators.fault import Fault, FaultShares
from simulators.fault_injection import Faults
from simulators.misreading import ROLLOVER_MS
from simulators.run import run
from simulators.simulation import ASIC_TOPIC, GPU_TOPIC, Simulation
from simulators.site import operator
from simulators.timeline import to_ms
from streams.rollup.partition import LATE_ERROR, WORKER
from streams.rollup.worker import RollupConfig, RollupSession
from tests.agents_world import DEADLINE_S, World
from tests.projection_world import ProjectionWorld

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 15, 12, tzinfo=UTC)
FROM, UNTIL, END = (START + timedelta(minutes=minutes) for minutes in (1, 5, 6))
MINERS, GPUS = 40, 48
SHARES = FaultShares(late=0.03, duplicate=0.03, disorder=0.03, missing=0.03, skew=0.15, corrupt=0.03, stuck=0.1)
TOPICS = {entry.name: entry for entry in (ASIC_TOPIC, GPU_TOPIC)}
WINDOW_MS = 15_000
Reading = tuple[str, str, int]
"""Topic, device and event time, ms."""
Window = tuple[str, str, int]
"""Topic, resource group and start, ms."""


def _simulate(world: World, until: datetime, shares: FaultShares | None = None, ledger: Path | None = None) -> None:
    config = SimulationConfig(
        kafka=world.kafka,
        registry_url=world.environment["HCP_SCHEMA_REGISTRY_URL"],
        miners=MINERS,
        gpus=GPUS,
        speed=0,
        start=START,
        end=until,
        faults=shares,
        fault_ledger=ledger,
    )
    assert run(config, threading.Event()) > 0


def _roll_up(world: World, messages: int) -> int:
    """Lets a rollup handle so many messages; returns how many it counted as late."""

    def total(counter: Any) -> int:
        return sum(int(counter.labels(WORKER, name)._value.get()) for name in TOPICS)

    read, late = total(metric.EVENTS_IN), total(metric.LATE_EVENTS)
    config = RollupConfig(world.kafka, world.environment["HCP_SCHEMA_REGISTRY_URL"], group_id=world.group_id)
    session = RollupSession(config, world.codec.registry)
    deadline = time.monotonic() + DEADLINE_S
    try:
        while total(metric.EVENTS_IN) - read < messages:
            assert time.monotonic() < deadline, f"{total(metric.EVENTS_IN) - read} of {messages} readings are read"
            session.step()
        session.finish()
    finally:
        session.close()
    return total(metric.LATE_EVENTS) - late


def _truth() -> dict[Reading, str]:
    """What devices without a fault report until UNTIL, and the resource group of each."""
    start_ms = to_ms(START)
    simulation = Simulation(operator(MINERS, GPUS, start_ms), 1, start_ms)
    found: dict[Reading, str] = {}
    while simulation.now_ms < to_ms(UNTIL):
        for entry, frame in simulation.advance().readings:
            rows = frame.select("device_id", "observed_at", "resource_group_id").iter_rows()
            found |= {(entry.name, device, at_ms): group for device, at_ms, group in rows}
    return found


def _letters(world: World) -> list[tuple[str, Reading | str]]:
    """The error and the reading of each dead letter; of one that does not decode the stage and the topic."""
    found: list[tuple[str, Reading | str]] = []
    for name, entry in TOPICS.items():
        for value, headers in world.dead_letters(name):
            said = {key: (text or b"").decode() for key, text in headers.items() if key.startswith(PREFIX)}
            if said[PREFIX + "stage"] == STAGE_DECODE:
                found.append((STAGE_DECODE, name))
            else:
                event = world.codec.decode(entry, value)
                reading = (name, event.device_id, to_ms(event.observed_at))
                found.append((said[PREFIX + "exception.class.name"], reading))
    return found


@dataclass(frozen=True, slots=True)
class _Ledger:
    """The injected faults: the readings of each kind, and of those with a wrong clock how far it is ahead, ms."""

    lines: pl.DataFrame
    readings: dict[str, list[Reading]]
    shift_ms: dict[Reading, int]

    @classmethod
    def read(cls, file: Path) -> Self:
        """Of the lines of a file."""
        time_of = pl.col("event_time").str.to_datetime(time_unit="ms", time_zone="UTC").dt.epoch("ms")
        return cls.of(pl.read_ndjson(file).with_columns(time_of.alias("event_time_ms")))

    @classmethod
    def of(cls, lines: pl.DataFrame) -> Self:
        """Of a ledger as the faults keep it."""
        readings: dict[str, list[Reading]] = {kind: [] for kind in Fault}
        for kind, name, key, at_ms in lines.select("kind", "topic", "key", "event_time_ms").iter_rows():
            readings[kind].append((name, key, at_ms))
        shifts = lines.filter(kind=Fault.SKEW)["shift_ms"].to_list()
        return cls(lines, readings, dict(zip(readings[Fault.SKEW], shifts, strict=True)))

    def left_of(self, truth: Iterable[Reading]) -> Counter[Reading]:
        """The truth without what is missing, corrupt or misdated."""
        left = Counter(truth)
        left.subtract(self.readings[Fault.MISSING] + self.readings[Fault.CORRUPT])
        left.subtract((name, device, at_ms - shift) for (name, device, at_ms), shift in self.shift_ms.items())
        assert set(left.values()) <= {0, 1}
        return +left

    def skewed(self, above_ms: float, up_to_ms: float) -> list[Reading]:
        return [reading for reading, shift in self.shift_ms.items() if above_ms < shift <= up_to_ms]

    @property
    def late(self) -> list[Reading]:
        return self.readings[Fault.LATE] + self.skewed(-inf, 0)

    @property
    def ahead(self) -> list[Reading]:
        return self.skewed(ROLLOVER_MS - 1, inf)

    def windows(self) -> dict[Window, tuple[int, int]]:
        """Readings and devices of each window until UNTIL: the truth, but for what the faults have made of it."""
        truth = _truth()
        group_of = {(name, device): group for (name, device, _), group in truth.items()}
        left = self.left_of(list(truth))
        left.subtract(self.readings[Fault.LATE])
        left.update(self.skewed(0, ROLLOVER_MS - 1) + self.readings[Fault.DUPLICATE])
        copies: dict[Window, list[int]] = {}
        # A device reports once in the length of a window; a clock that goes fast from some moment on only widens a gap.
        for (name, device, at_ms), number in (+left).items():
            if at_ms < to_ms(UNTIL):
                copies.setdefault((name, group_of[name, device], at_ms // WINDOW_MS * WINDOW_MS), []).append(number)
        return {window: (sum(numbers), len(numbers)) for window, numbers in copies.items()}


def _windows(world: World) -> dict[Window, tuple[int, int]]:
    """Readings and devices of each window until UNTIL, over the partitions."""
    found: dict[Window, tuple[int, int]] = {}
    for event in world.events("fleet.windows"):
        if event.window_end <= UNTIL:
            window = (event.source_topic, event.resource_group_id, to_ms(event.window_start))
            readings, devices = found.get(window, (0, 0))
            found[window] = (readings + event.readings, devices + event.devices)
    return found


def _sent(world: World) -> pl.DataFrame:
    """The readings on the topics."""
    frames = [
        ColumnarDecoder(entry, world.codec.registry).decode(world.values(name)).frame for name, entry in TOPICS.items()
    ]
    columns = ("device_id", pl.col("observed_at").dt.epoch("ms"), "power_w", "temp_c")
    return pl.concat([frame.select(*columns) for frame in frames])


def test_every_fault_of_the_ledger_is_accounted_for_by_the_rollup(world: World, tmp_path: Path) -> None:
    # Faults begin when every partition has its stream time, and end before it moves on and the last windows close.
    _simulate(world, FROM)
    _simulate(world, UNTIL, SHARES, tmp_path / "faults.jsonl")
    _simulate(world, END)
    late = _roll_up(world, sum(len(world.values(name)) for name in TOPICS))
    ledger = _Ledger.read(tmp_path / "faults.jsonl")
    assert all(ledger.readings.values())

    # Each dead letter is a fault of the ledger: a corrupt reading, a late one, or one that is years ahead.
    corrupt = [(STAGE_DECODE, name) for name, _, _ in ledger.readings[Fault.CORRUPT]]
    too_late = [(LATE_ERROR, reading) for reading in ledger.late]
    ahead = [(RULE_ERROR, reading) for reading in ledger.ahead]
    assert Counter(_letters(world)) == Counter([*corrupt, *too_late, *ahead])
    assert late == len(too_late)
    assert _windows(world) == ledger.windows()

    stuck = ledger.lines.filter(kind=Fault.STUCK)
    repeated = stuck.join(_sent(world), left_on=["key", "event_time_ms"], right_on=["device_id", "observed_at"])
    assert len(repeated) == len(stuck)
    assert repeated.group_by("key").agg(pl.struct("power_w", "temp_c").n_unique().alias("values"))["values"].max() == 1


def test_every_fault_is_accounted_for_by_the_readings_in_timescale(timescale_world: ProjectionWorld) -> None:
    world, name = timescale_world, ASIC_TOPIC.name
    start_ms = to_ms(START)
    simulation = Simulation(operator(200, 0, start_ms), 1, start_ms)
    mine = pl.concat_str(pl.lit("faulty-"), "device_id").alias("device_id")
    faults = Faults(SHARES, {ASIC_TOPIC: simulation.asics.fleet.identity.select(mine)["device_id"]}, 1)
    encode = damaging(encoder(ASIC_TOPIC, world.codec.registry.schema_id(world.topics[name])))
    truth: list[Reading] = []
    ledgers: list[pl.DataFrame] = []
    sent: list[str | None] = []
    while simulation.now_ms < to_ms(UNTIL):
        found = simulation.advance()
        # The facility that is registered there.
        frame = found.readings[0][1].filter(facility_id="Texas-1").with_columns(mine)
        truth += [(name, device, at_ms) for device, at_ms in frame.select("device_id", "observed_at").iter_rows()]
        faulted = faults.apply(replace(found, readings=((ASIC_TOPIC, frame),)))
        ledgers.append(faulted.ledger)
        spoiled = faulted.slice.readings[0][1]
        sent += spoiled[DAMAGE].to_list() if DAMAGE in spoiled.columns else [None] * len(spoiled)
        for value in encode(spoiled):
            world.send(name, value)
    world.flush()
    ledger = _Ledger.of(pl.concat([*ledgers, faults.lost()]))
    assert all(ledger.readings.values())
    world.start()
    world.await_rows(
        f"SELECT next_offset FROM projection_offsets WHERE topic = '{world.topics[name].name}' AND partition = 0",
        lambda rows: rows == [(len(sent),)],
    )
    rows = world.query(
        "SELECT device_id, (extract(epoch FROM observed_at) * 1000)::bigint FROM metrics"
        " WHERE device_id LIKE 'faulty-%'"
    )
    world.execute("DELETE FROM metrics WHERE device_id LIKE 'faulty-%'")

    # A reading is a row however late or wrong it is, and its copy is another.
    expected = ledger.left_of(truth)
    expected.update(ledger.readings[Fault.SKEW] + ledger.readings[Fault.DUPLICATE])
    assert Counter((name, device, at_ms) for device, at_ms in rows) == expected
    letters = DeadLetterLog({"bootstrap.servers": world.stack.kafka}).read([world.topics[name].dead_letter_topic])
    corrupt = {offset for offset, damage in enumerate(sent) if damage is not None}
    assert {(id_.offset, entry.letter.stage) for id_, entry in letters.entries.items()} == {
        (offset, STAGE_DECODE) for offset in corrupt
    }
    assert len(corrupt) == len(ledger.readings[Fault.CORRUPT])
