"""Every fault that the simulators put into their data, from the ledger to what the workers made of it."""

import signal
import threading
import time
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any, Self

import polars as pl
import pytest

from hcp.dead_letter_log import DeadLetterLog
from schemas import events as e
from schemas import metric
from schemas.catalog import topic
from schemas.codec import UndecodableError
from schemas.columnar import ColumnarDecoder
from schemas.dead_letter import PREFIX, STAGE_DECODE
from schemas.rule import RULE_ERROR
from simulators.configuration import SimulationConfig
from simulators.damage import DAMAGE, damaging, spoiled
from simulators.encoding import encoder
from simulators.event_fault import TOPICS as EVENT_TOPICS
from simulators.event_fault import EventFaults
from simulators.fault import EventFaultShares, Fault, FaultShares
from simulators.fault_injection import Faults
from simulators.misreading import ROLLOVER_MS
from simulators.run import run
from simulators.simulation import ASIC_TOPIC, GPU_TOPIC, Simulation
from simulators.site import operator
from simulators.timeline import to_ms
from streams.rollup.partition import LATE_ERROR, WORKER
from streams.rollup.session import RollupSession
from streams.rollup.worker import RollupConfig
from tests import streams_event as a
from tests.agents_world import DEADLINE_S, World
from tests.projection_world import ProjectionWorld

pytestmark = pytest.mark.integration

START = datetime(2026, 1, 15, 12, tzinfo=UTC)
FROM, UNTIL, END = (START + timedelta(minutes=minutes) for minutes in (1, 5, 6))
MINERS, GPUS = 40, 48
SHARES = FaultShares(late=0.03, duplicate=0.03, disorder=0.03, missing=0.03, skew=0.15, corrupt=0.03, stuck=0.1)
EVENT_SHARES = EventFaultShares(late=0.05, duplicate=0.2, disorder=0.05, missing=0.03, corrupt=0.05, stale=0.3)
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


def _roll_up(world: World, messages: int) -> tuple[int, int]:
    """Lets a rollup handle so many messages; returns how many it counted as late and as copies."""

    def total(counter: Any) -> int:
        return sum(int(counter.labels(WORKER, name)._value.get()) for name in TOPICS)

    read, late, copies = total(metric.EVENTS_IN), total(metric.LATE_EVENTS), total(metric.COPIED_EVENTS)
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
    return total(metric.LATE_EVENTS) - late, total(metric.COPIED_EVENTS) - copies


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
        readings: dict[str, list[Reading]] = {kind: [] for kind in SHARES.by_fault()}
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
        left.update(self.skewed(0, ROLLOVER_MS - 1))
        # A device reports once in the length of a window; a clock that goes fast from some moment on only widens a gap.
        found = Counter(
            (name, group_of[name, device], at_ms // WINDOW_MS * WINDOW_MS)
            for name, device, at_ms in +left
            if at_ms < to_ms(UNTIL)
        )
        return {window: (devices, devices) for window, devices in found.items()}


def _readable(world: World, name: str) -> list[Any]:
    """The events of a topic, without those that do not decode."""
    found: list[Any] = []
    for value in world.values(name):
        with suppress(UndecodableError):
            found.append(world.codec.decode(topic(name), value))
    return found


def _stages(world: World) -> Counter[tuple[str, str]]:
    """How many dead letters there are of each topic that has faults of events, and at which stage they were refused."""
    return Counter(
        (name, (headers[PREFIX + "stage"] or b"").decode())
        for name in EVENT_TOPICS
        for _, headers in world.dead_letters(name)
    )


def _evaluation(world: World, cause: Any) -> dict[str, tuple[e.InputCondition, e.FallbackRule]]:
    """What stood in for stale prices in Texas-1's evaluation that an event causes, by the name of the input."""

    def found() -> list[Any]:
        return [x for x in world.events("economics.profitability") if x.cause_event_id == cause.event_id]

    world.send(cause)
    (evaluation,) = world.wait(found, lambda seen: len(seen) == 1)
    stale = {x.name for x in evaluation.inputs if x.is_stale and x.name.startswith("grid.prices")}
    used = {x.name: (x.condition, x.rule) for x in evaluation.fallbacks if x.name.startswith("grid.prices")}
    assert stale == set(used)
    return used


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
    columns = ("device_id", "resource_group_id", pl.col("observed_at").dt.epoch("ms"), "power_w", "temp_c")
    frames: list[pl.DataFrame] = []
    for name, entry in TOPICS.items():
        frame = ColumnarDecoder(entry, world.codec.registry).decode(world.values(name)).frame
        hashrate = pl.col("hashrate_ths") if "hashrate_ths" in frame.columns else pl.lit(0.0).alias("hashrate_ths")
        frames.append(frame.select(pl.lit(name).alias("topic"), *columns, hashrate))
    return pl.concat(frames)


def _power_and_hash(sums: Iterable[tuple[str, str, int, float, float]]) -> dict[Window, tuple[int, int]]:
    """Power and hashrate by window until UNTIL, in whole tenths of a W and hundredths of a TH/s, as in a reading."""
    totals: dict[Window, tuple[int, int]] = {}
    for name, group, at_ms, power_w, hashrate_ths in sums:
        if at_ms < to_ms(UNTIL):
            window = (name, group, at_ms // WINDOW_MS * WINDOW_MS)
            power, hashed = totals.get(window, (0, 0))
            totals[window] = (power + round(power_w * 10), hashed + round(hashrate_ths * 100))
    return totals


def test_every_fault_of_the_ledger_is_accounted_for_by_the_rollup(world: World, tmp_path: Path) -> None:
    # Faults begin when every partition has its stream time, and end before it moves on and the last windows close.
    _simulate(world, FROM)
    _simulate(world, UNTIL, SHARES, tmp_path / "faults.jsonl")
    _simulate(world, END)
    late, copies = _roll_up(world, sum(len(world.values(name)) for name in TOPICS))
    ledger = _Ledger.read(tmp_path / "faults.jsonl")
    assert all(ledger.readings.values())

    # Each dead letter is a fault of the ledger: a corrupt reading, a late one, or one that is years ahead.
    corrupt = [(STAGE_DECODE, name) for name, _, _ in ledger.readings[Fault.CORRUPT]]
    too_late = [(LATE_ERROR, reading) for reading in ledger.late]
    ahead = [(RULE_ERROR, reading) for reading in ledger.ahead]
    assert Counter(_letters(world)) == Counter([*corrupt, *too_late, *ahead])
    assert (late, copies) == (len(too_late), len(ledger.readings[Fault.DUPLICATE]))
    assert _windows(world) == ledger.windows()

    # A window times 15 s is the energy and the hash of the readings that it took: nothing is lost and nothing added.
    refused = pl.DataFrame([*ledger.late, *ledger.ahead], ["topic", "device_id", "observed_at"], orient="row")
    reading = ["topic", "device_id", "observed_at"]
    taken = _sent(world).join(refused, on=reading, how="anti").unique(reading, keep="first", maintain_order=True)
    told = taken.select("topic", "resource_group_id", "observed_at", "power_w", "hashrate_ths").iter_rows()
    assert _power_and_hash(told) == _power_and_hash(
        (w.source_topic, w.resource_group_id, to_ms(w.window_start), w.power_w_sum, w.hashrate_ths_sum)
        for w in world.events("fleet.windows")
    )

    stuck = ledger.lines.filter(kind=Fault.STUCK)
    repeated = stuck.join(_sent(world), left_on=["key", "event_time_ms"], right_on=["device_id", "observed_at"])
    assert len(repeated) == len(stuck)
    assert repeated.group_by("key").agg(pl.struct("power_w", "temp_c").n_unique().alias("values"))["values"].max() == 1


def test_every_fault_of_other_events_is_accounted_for_by_the_agents(world: World, tmp_path: Path) -> None:
    _simulate(world, FROM)
    until = START + timedelta(minutes=52)
    _simulate(world, until, FaultShares(events=EVENT_SHARES), tmp_path / "faults.jsonl")
    ledger = pl.read_ndjson(tmp_path / "faults.jsonl")
    world.start()
    sites = {facility.facility_id for facility in world.events("registry.facilities")}

    def decided() -> set[str]:
        newest = until - timedelta(minutes=2)
        return {made.facility_id for made in world.events("allocations.decisions") if made.interval_start == newest}

    world.wait(decided, lambda seen: seen == sites)
    corrupt = Counter(ledger.filter(kind=Fault.CORRUPT)["topic"].to_list())
    dead = world.wait(lambda: _stages(world), lambda seen: seen.total() >= corrupt.total())
    # Each is refused by one of the workers that read it, and no other event is.
    assert corrupt
    assert dead == Counter({(name, STAGE_DECODE): number for name, number in corrupt.items()})

    requests = _readable(world, "workloads.requests")
    twice = set(ledger.filter(kind=Fault.DUPLICATE, topic="workloads.requests")["event_id"].to_list())
    assert twice
    assert {event_id for event_id, number in Counter(r.event_id for r in requests).items() if number > 1} == twice
    submitted = {r.workload_id for r in requests}

    def answered() -> list[str]:
        # What is asked for is taken, or refused as it fits in no group.
        taken = [step.workload_id for step in world.events("workloads.transitions") if step.version == 1]
        return taken + [entry.subject.removeprefix("workload/") for entry in world.events("audit.events")]

    answers = world.wait(answered, lambda seen: set(seen) >= submitted)
    assert Counter(answers) == Counter(submitted)
    steps = world.events("workloads.transitions")
    assert Counter((step.workload_id, step.version) for step in steps).most_common(1)[0][1] == 1

    decisions = world.events("allocations.decisions")
    assert len({made.decision_id for made in decisions}) == len(decisions)
    by_price = [x for x in decisions if x.cause.startswith("price of")]
    plans = Counter((x.facility_id, x.interval_start) for x in by_price if x.method is e.DecisionMethod.PLAN)
    assert max(plans.values()) == 1

    # From a quarter of an hour into a silent half hour on, the day-ahead price of the hour stands for the newest one.
    assert "HB_WEST" in ledger.filter(kind=Fault.STALE, topic="grid.prices")["key"].to_list()
    hour = next(
        price.price_usd_mwh
        for price in _readable(world, "grid.prices")
        if (price.settlement_point, price.market, price.interval_start) == ("HB_WEST", e.GridMarket.DAY_AHEAD, START)
    )
    last = [x for x in world.events("allocations.snapshots") if x.facility_id == "Texas-1"][-1]
    assert last.taken_at >= START + timedelta(minutes=46)
    assert last.lmp_usd_mwh == hour
    # An evaluation says so, until there is a price again.
    assert _evaluation(world, a.window(group="texas-1-s21", window_end=until)) == {
        "grid.prices/HB_WEST": (e.InputCondition.STALE, e.FallbackRule.DAY_AHEAD_OF_HOUR)
    }
    again = a.price(usd_mwh=20.0, observed_at=until, interval_start=until)
    assert _evaluation(world, again) == {}
    assert world.end(signal.SIGTERM) == 0


def test_every_fault_of_prices_and_ticks_is_accounted_for_by_the_rows_in_timescale(
    timescale_world: ProjectionWorld,
) -> None:
    world, names = timescale_world, ("market.ticks", "grid.prices")
    start_ms = to_ms(START)
    # Of a seed of its own: the other tests' rows have other ids.
    simulation = Simulation(operator(1, 0, start_ms), 77, start_ms)
    faults = EventFaults(EVENT_SHARES, 77)
    truth: list[str] = []
    ledgers: list[pl.DataFrame] = []
    sent: dict[str, list[bool]] = {name: [] for name in names}
    while simulation.now_ms < to_ms(START + timedelta(hours=2)):
        found = simulation.advance()
        entries = tuple(entry for entry in found.entries if entry.topic.name in names)
        truth += [entry.event.event_id for entry in entries]
        sending, ledger = faults.apply(entries, found.start_ms)
        ledgers.append(ledger)
        for entry in sending:
            value = world.codec.encode(world.topics[entry.topic.name], entry.event)
            world.send(entry.topic.name, value if entry.damage is None else spoiled(value, entry.damage))
            sent[entry.topic.name].append(entry.damage is not None)
    world.flush()
    ledger = pl.concat([*ledgers, faults.lost()])
    assert set(ledger["kind"]) == set(EVENT_SHARES.by_fault())
    world.start()
    for name in names:
        world.await_rows(
            f"SELECT next_offset FROM projection_offsets WHERE topic = '{world.topics[name].name}' AND partition = 0",
            lambda rows, name=name: rows == [(len(sent[name]),)],  # type: ignore[misc]
        )
    mine = ", ".join(f"'{event_id}'" for event_id in truth)
    rows = world.query(f"SELECT event_id FROM price_data WHERE event_id IN ({mine})")
    world.execute(f"DELETE FROM price_data WHERE event_id IN ({mine})")

    # One row each, however often or late it came.
    absent = ledger.filter(pl.col("kind").is_in([Fault.MISSING, Fault.STALE, Fault.CORRUPT]))["event_id"].to_list()
    assert Counter(event_id for (event_id,) in rows) == Counter(set(truth) - set(absent))
    for name in names:
        log = DeadLetterLog({"bootstrap.servers": world.stack.kafka}).read([world.topics[name].dead_letter_topic])
        assert {(id_.offset, entry.letter.stage) for id_, entry in log.entries.items()} == {
            (offset, STAGE_DECODE) for offset, is_corrupt in enumerate(sent[name]) if is_corrupt
        }


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
