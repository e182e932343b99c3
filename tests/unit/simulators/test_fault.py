"""Faults of the data: each is in the ledger, nothing else is changed, and the same seed gives the same."""

import json
from collections import Counter
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest

from schemas.catalog import Topic
from schemas.columnar import ColumnarDecoder
from schemas.registry import Registry, UnknownSchemaError
from simulators.damage import DAMAGE, Damage, damaging, spoiled
from simulators.encoding import encoder
from simulators.error import ConfigurationError
from simulators.fault import EventFaultShares, Fault, FaultShares
from simulators.fault_injection import Faults
from simulators.fault_ledger import FaultLedger
from simulators.misreading import ROLLOVER_MS
from simulators.simulation import ASIC_TOPIC, GPU_TOPIC, Slice
from tests.simulators_world import a_simulation, slices

MIXED = FaultShares(late=0.02, duplicate=0.02, disorder=0.02, missing=0.02, skew=0.1, corrupt=0.02, stuck=0.1)
SIMULATION = a_simulation()
DEVICES = {
    ASIC_TOPIC: SIMULATION.asics.fleet.identity["device_id"],
    GPU_TOPIC: SIMULATION.gpus.fleet.identity["device_id"],
}
CLEAN = tuple(slices(SIMULATION, 240))
Identity = tuple[str, int]


class OneSchema:
    """A registry that knows the schema of a miner's reading, under the id 1."""

    def writer_schema(self, schema_id: int) -> dict[str, Any]:
        """That schema. Raises UnknownSchemaError."""
        if schema_id != 1:
            raise UnknownSchemaError(f"no schema has the id {schema_id}")
        return ASIC_TOPIC.schema


@cache
def faulted(shares: FaultShares, seed: int = 1, found: Sequence[Slice] = CLEAN) -> tuple[list[Slice], pl.DataFrame]:
    """What is sent of the small operator, and the ledger."""
    faults = Faults(shares, DEVICES, seed)
    done = [faults.apply(part) for part in found]
    return [part.slice for part in done], pl.concat([*(part.ledger for part in done), faults.lost()])


def readings(found: Sequence[Slice], topic: str = ASIC_TOPIC.name) -> list[Identity]:
    """Who reported, and the time of the report, in the order that they were sent."""
    frames = [frame for part in found for of, frame in part.readings if of.name == topic]
    return [row for frame in frames for row in frame.select("device_id", "observed_at").iter_rows()]


def ledger_of(ledger: pl.DataFrame, kind: str, topic: str = ASIC_TOPIC.name) -> list[Identity]:
    """The events of the ledger with that fault."""
    return ledger.filter(kind=kind, topic=topic).select("key", "event_time_ms").rows()


def wire(found: Sequence[Slice]) -> list[bytes]:
    """The bytes that are sent."""
    encoders = {topic.name: damaging(encoder(topic, 1)) for topic in (ASIC_TOPIC, GPU_TOPIC)}
    return [value for part in found for topic, frame in part.readings for value in encoders[topic.name](frame)]


def test_the_same_seed_gives_the_same_bytes_and_the_same_ledger() -> None:
    (once, ledger), (again, same) = faulted(MIXED), faulted.__wrapped__(MIXED)
    assert wire(once) == wire(again)
    assert ledger.equals(same)


@pytest.mark.parametrize("kind", FaultShares().by_fault())
def test_another_seed_gives_other_faults_of_every_kind(kind: Fault) -> None:
    shares = FaultShares.parse(f"{kind}=0.1")
    _, ledger = faulted(shares)
    _, other = faulted(shares, seed=2)
    assert not ledger.equals(other)


def test_without_faults_nothing_is_changed() -> None:
    sent, ledger = faulted(FaultShares())
    assert wire(sent) == wire(CLEAN)
    assert ledger.is_empty()


@pytest.mark.parametrize("topic", [ASIC_TOPIC.name, GPU_TOPIC.name])
def test_what_is_sent_differs_from_the_truth_by_what_the_ledger_says(topic: str) -> None:
    sent, ledger = faulted(MIXED)
    true = Counter(readings(CLEAN, topic))
    shifted = ledger.filter(kind="skew", topic=topic).select("key", "event_time_ms", "shift_ms").rows()
    true.subtract((key, at_ms - shift_ms) for key, at_ms, shift_ms in shifted)
    true.subtract(ledger_of(ledger, "missing", topic))
    true.update(ledger_of(ledger, "skew", topic))
    true.update(ledger_of(ledger, "duplicate", topic))
    assert Counter(readings(sent, topic)) == +true
    assert min(true.values()) >= 0


def test_every_kind_happens_about_as_often_as_it_is_asked_for() -> None:
    _, ledger = faulted(MIXED)
    counts = dict(ledger.group_by("kind").len().iter_rows())
    # 140 devices send 16 readings each; 2 % of those of the four fifths that are neither skewed nor stuck are 36.
    assert {kind: 18 <= counts[kind] <= 72 for kind in ("duplicate", "disorder", "corrupt")} == (
        dict.fromkeys(("duplicate", "disorder", "corrupt"), True)
    )
    # Of the late ones some are held back until the end, and so are missing.
    assert 36 <= counts["late"] + counts["missing"] <= 144
    assert counts["late"] > 0
    assert counts["skew"] % 16 == 0
    assert counts["stuck"] > 0


def test_an_event_has_one_fault_at_most() -> None:
    _, ledger = faulted(MIXED)
    assert ledger.select("topic", "key", "event_time_ms").is_duplicated().sum() == 0


@pytest.mark.parametrize(
    ("shares", "least_ms", "most_ms"),
    [
        pytest.param(FaultShares(late=0.1), 60_000, 180_000, id="late"),
        pytest.param(FaultShares(disorder=0.1), 3_000, 6_000, id="disorder"),
    ],
)
def test_a_reading_that_is_held_back_comes_when_the_ledger_says(
    shares: FaultShares, least_ms: int, most_ms: int
) -> None:
    sent, ledger = faulted(shares)
    held = {row[:3]: row[3] for row in ledger.select("topic", "key", "event_time_ms", "shift_ms").rows()}
    came = {
        (topic.name, *row): part.start_ms - row[1]
        for part in sent
        for topic, frame in part.readings
        for row in frame.select("device_id", "observed_at").iter_rows()
    }
    missing = set(ledger.filter(kind="missing").select("topic", "key", "event_time_ms").rows())
    delays = {event: shift_ms for event, shift_ms in held.items() if event not in missing}
    assert delays
    assert all(least_ms <= shift_ms <= most_ms for shift_ms in delays.values())
    # It is sent with the slice that starts so long after its own, and lies up to 3 s before that one's end.
    assert all(shift_ms - 3000 < came[event] <= shift_ms for event, shift_ms in delays.items())


def test_a_wrong_clock_stays_as_wrong_as_it_is() -> None:
    _, ledger = faulted(FaultShares(skew=0.5))
    by_device = ledger.group_by("key").agg(pl.col("shift_ms").unique())["shift_ms"].to_list()
    assert {len(shifts) for shifts in by_device} == {1}
    shifts = [shift for (shift,) in by_device]
    assert any(-600_000 <= shift <= -60_000 for shift in shifts)
    assert any(1000 <= shift <= 5000 for shift in shifts)
    assert any(shift == ROLLOVER_MS for shift in shifts)


@pytest.mark.parametrize(("kind", "measure"), [(ASIC_TOPIC, "uptime_s"), (GPU_TOPIC, "memory_temp_c")])
def test_a_stuck_sensor_repeats_its_first_values(kind: Topic, measure: str) -> None:
    sent, ledger = faulted(FaultShares(stuck=0.2))
    frames = [frame for part in sent for topic, frame in part.readings if topic is kind]
    stuck = set(ledger_of(ledger, "stuck", kind.name))
    values: dict[str, set[tuple[float, ...]]] = {}
    for row in pl.concat(frames).select("device_id", "observed_at", "power_w", "temp_c", measure).iter_rows():
        if row[:2] in stuck:
            values.setdefault(row[0], set()).add(row[2:])
    # Noon is a multiple of ten minutes: the whole run is one stretch.
    assert values
    assert {len(different) for different in values.values()} == {1}


def test_corrupt_readings_are_those_of_the_ledger_and_the_others_are_whole() -> None:
    sent, ledger = faulted(FaultShares(corrupt=0.1))
    spoil = {(key, at_ms): Damage(damage) for key, at_ms, damage in
             ledger.filter(topic=ASIC_TOPIC.name).select("key", "event_time_ms", "damage").iter_rows()}  # fmt: skip
    encode = encoder(ASIC_TOPIC, 1)
    expected = []
    for part in CLEAN:
        frame = part.readings[0][1]
        identities = frame.select("device_id", "observed_at").rows()
        values = zip(identities, encode(frame), strict=True)
        expected += [spoiled(value, spoil[who]) if who in spoil else value for who, value in values]
    damaged = damaging(encode)
    assert [value for part in sent for value in damaged(part.readings[0][1])] == expected
    assert set(spoil.values()) == set(Damage)


@pytest.mark.parametrize("damage", Damage)
def test_a_reader_refuses_what_is_damaged_and_nothing_else(damage: Damage) -> None:
    frame = pl.concat([part.readings[0][1] for part in CLEAN[:10]])
    marks = pl.Series(DAMAGE, [damage if row % 7 == 3 else None for row in range(len(frame))], dtype=pl.String)
    values = damaging(encoder(ASIC_TOPIC, 1))(frame.with_columns(marks))
    batch = ColumnarDecoder(ASIC_TOPIC, cast("Registry", OneSchema())).decode(values)
    assert [reject.row for reject in batch.rejects] == marks.is_not_null().arg_true().to_list()
    assert len(batch.frame) == len(frame) - len(batch.rejects)


def test_a_frame_without_corrupt_readings_has_the_columns_of_its_schema() -> None:
    sent, _ = faulted(FaultShares(late=0.5))
    assert {DAMAGE in frame.columns for part in sent for _, frame in part.readings} == {False}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("lat=0.1", "unknown fault 'lat'; the faults are late, ", id="unknown"),
        pytest.param("late", "a fault is given as late=0.01, got 'late'", id="no number"),
        pytest.param("late=2", "must lie between 0 and 1, got 2.0", id="too much"),
        pytest.param("late=nan", "must lie between 0 and 1, got nan", id="no share"),
        pytest.param("late=0.6,missing=0.6", "add up to more than 1", id="more than all"),
        pytest.param("late=0.1,late=0.2", "the fault late is given twice", id="twice"),
        pytest.param("events.stuck=0.1", "unknown fault 'events.stuck'", id="no fault of events"),
        pytest.param("stale=0.1", "unknown fault 'stale'", id="no fault of readings"),
        pytest.param("events.late=0.6,events.missing=0.6", "add up to more than 1", id="more than all events"),
    ],
)
def test_shares_that_make_no_sense_are_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        FaultShares.parse(text)
    assert message in str(refused.value)


def test_shares_are_read_as_they_are_written() -> None:
    assert FaultShares.parse(" late=0.01, stuck=1 ") == FaultShares(late=0.01, stuck=1.0)
    assert FaultShares.parse("events.stale=0.5,late=0.1") == FaultShares(late=0.1, events=EventFaultShares(stale=0.5))
    assert FaultShares.parse("events.stale=0.5")
    assert not FaultShares.parse("")


def test_the_ledger_is_a_line_of_json_a_fault_and_goes_on_where_it_was(tmp_path: Path) -> None:
    _, found = faulted(FaultShares(corrupt=0.01))
    row = found.filter(topic=ASIC_TOPIC.name).head(1)
    for _ in range(2):
        ledger = FaultLedger(tmp_path / "faults.jsonl")
        ledger.enter(row)
        ledger.close()
    assert ledger.counts == {"corrupt": 1}
    lines = [json.loads(line) for line in (tmp_path / "faults.jsonl").read_text().splitlines()]
    time = pl.from_epoch(row["event_time_ms"], "ms").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").item()
    assert lines == 2 * [
        {
            "kind": "corrupt",
            "topic": "telemetry.asic",
            "key": row["key"].item(),
            "event_time": time,
            "shift_ms": None,
            "damage": row["damage"].item(),
            "event_id": None,
        }
    ]


def test_a_ledger_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written"):
        FaultLedger(tmp_path)
