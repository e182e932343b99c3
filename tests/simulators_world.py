"""Builders for the simulators' tests: a small operator, commands to it, and what it emits as plain values."""

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from schemas import events as e
from simulators.ambient import Ambient
from simulators.asic.fleet import AsicFleet
from simulators.encoding import encoder
from simulators.episode import Law
from simulators.fleet import SLICE_MS, Fleet
from simulators.portfolio import Climate
from simulators.simulation import Simulation, Slice
from simulators.site import Operator, operator
from simulators.timeline import to_ms

START = datetime(2026, 1, 15, 12, tzinfo=UTC)
START_MS = to_ms(START)


def an_operator(miners: int = 60, gpus: int = 80, at_ms: int = START_MS) -> Operator:
    """A small one: every site has ASICs and GPUs."""
    return operator(miners, gpus, at_ms)


def a_simulation(seed: int = 1, start_ms: int = START_MS, **options: Any) -> Simulation:
    """A simulation of the small operator."""
    return Simulation(an_operator(at_ms=start_ms), seed, start_ms, **options)


def an_asic_fleet(
    miners: int = 600, seed: int = 1, start_ms: int = START_MS, climate: Climate | None = None
) -> AsicFleet:
    """The miners alone, all in the climate where one is given."""
    found = an_operator(miners, 0, start_ms)
    ambients = {site: Ambient(climate or own, seed, site) for site, own in found.climates.items()}
    return AsicFleet(Fleet(found.groups(e.ResourceKind.ASIC), seed, "asic"), ambients, seed, start_ms)


def asic_readings(fleet: AsicFleet, start_ms: int, seconds: int) -> pl.DataFrame:
    """What the miners report from a time on (a multiple of 3 s), for a multiple of 3 s."""
    return pl.concat([fleet.readings(at_ms) for at_ms in range(start_ms, start_ms + seconds * 1000, SLICE_MS)])


def share_of(law: Law) -> float:
    """Share of the members with an episode at any time, where few have two at once."""
    return sum(law.length_ms) / 2 / law.mean_every_ms


def set_mode(
    group: str = "texas-1-s21", mode: e.PowerMode = e.PowerMode.OFF, at: datetime = START, valid_s: float = 600
) -> e.AllocationCommand:
    """A set-point for an ASIC group."""
    return e.AllocationCommand(
        event_id=f"{group}/{mode}/{at}",
        decision_id="decision",
        facility_id="Texas-1",
        resource_group_id=group,
        kind=e.CommandKind.SET_POWER_MODE,
        issued_at=at,
        expires_at=at + timedelta(seconds=valid_s),
        power_mode=mode,
    )


def workload_command(  # noqa: PLR0917 - a builder
    kind: e.CommandKind = e.CommandKind.START_WORKLOAD,
    workload_id: str = "wl-1",
    gpus: int = 8,
    duration_s: int = 600,
    at: datetime = START,
    valid_s: float = 600,
    group: str = "texas-1-h100",
) -> e.AllocationCommand:
    """A start or stop of a workload."""
    return e.AllocationCommand(
        event_id=f"{workload_id}/{kind}/{at}",
        decision_id="decision",
        facility_id="Texas-1",
        resource_group_id=group,
        kind=kind,
        issued_at=at,
        expires_at=at + timedelta(seconds=valid_s),
        workload_id=workload_id,
        gpus=gpus,
        duration_s=duration_s,
    )


def slices(simulation: Simulation, seconds: int) -> list[Slice]:
    """The slices of the next seconds of event time (a multiple of 3)."""
    end_ms = simulation.now_ms + seconds * 1000
    found = []
    while simulation.now_ms < end_ms:
        found.append(simulation.advance())
    return found


def wire(found: list[Slice]) -> list[tuple[str, bytes | str]]:
    """Everything that was emitted: each topic's encoded readings, and the other events as text."""
    emitted: list[tuple[str, bytes | str]] = []
    for number, (topic, _) in enumerate(found[0].readings):
        frame = pl.concat([part.readings[number][1] for part in found])
        emitted += [(topic.name, value) for value in encoder(topic, 1)(frame)]
    return emitted + [(entry.topic.name, repr(entry.event)) for part in found for entry in part.entries]


def emitted(found: list[Slice], name: str) -> list[Any]:
    """The single events of a topic."""
    return [entry.event for part in found for entry in part.entries if entry.topic.name == name]
