"""The whole simulated operator: what it emits in the next slice of event time, given the commands it has got.

Pure: no Kafka, no clock. The same seed, start and commands give the same slices.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import chain
from operator import itemgetter
from typing import Any

import polars as pl

from schemas import events
from schemas.catalog import Topic, topic
from schemas.events import CommandKind, PowerMode, ResourceKind, WorkloadAction
from simulators.ambient import Ambient
from simulators.asic.fleet import AsicFleet
from simulators.damage import Damage
from simulators.facility import Facilities
from simulators.fleet import SLICE_MS, Fleet
from simulators.gpu.fleet import GpuFleet
from simulators.grid import Grid
from simulators.identity import event_id
from simulators.market import Market
from simulators.network import Network
from simulators.patience import Patience
from simulators.replay import Replay
from simulators.scheduler import Scheduler
from simulators.signal import Signals
from simulators.site import Operator, full_power_w
from simulators.timeline import HOUR_MS, to_datetime, to_ms
from simulators.workload import Arrivals

ASIC_TOPIC = topic("telemetry.asic")
GPU_TOPIC = topic("telemetry.gpu")


@dataclass(frozen=True, slots=True)
class Entry:
    """An event for a topic; `damage` is what becomes of its bytes on the way, where they are corrupt."""

    topic: Topic
    event: Any
    damage: Damage | None = None

    @property
    def key(self) -> str:
        """The event's key."""
        return str(getattr(self.event, self.topic.key_field))

    @property
    def at_ms(self) -> int:
        """The event's time."""
        return to_ms(getattr(self.event, self.topic.time_field))


@dataclass(frozen=True, slots=True)
class Slice:
    """What happened in [start, end): frames of readings by topic, and the other events in order of time."""

    start_ms: int
    end_ms: int
    readings: tuple[tuple[Topic, pl.DataFrame], ...]
    entries: tuple[Entry, ...]


class Simulation:
    """The operator from `start_ms` on (a multiple of SLICE_MS). `is_new` says that the log is empty before it.

    `outages` is how often power fails, over the published rates.
    """

    def __init__(
        self,
        operator: Operator,
        seed: int,
        start_ms: int,
        *,
        is_new: bool = True,
        replay: Replay | None = None,
        outages: float = 1.0,
    ) -> None:
        if start_ms % SLICE_MS:
            raise ValueError(f"a simulation starts at a multiple of {SLICE_MS} ms, got {start_ms}")
        self.now_ms = start_ms
        self.seed = seed
        self._start_ms = start_ms
        self.is_new = is_new
        self._operator = operator
        ambients = {
            facility_id: Ambient(climate, seed, facility_id) for facility_id, climate in operator.climates.items()
        }
        self._facilities = Facilities(operator, ambients, seed, outages)
        self.asics = AsicFleet(
            Fleet(operator.groups(ResourceKind.ASIC), seed, "asic"),
            ambients,
            seed,
            start_ms,
            self._facilities.powered_since_ms(start_ms),
        )
        self.gpus = GpuFleet(Fleet(operator.groups(ResourceKind.GPU), seed, "gpu"), ambients, seed, start_ms)
        self.scheduler = Scheduler(self.gpus, seed)
        self._market = Market(seed)
        self._network = Network(seed)
        self._grid = Grid([facility.settlement_point for facility in operator.facilities], seed, replay)
        self._signals = Signals(operator.facilities, self._grid, seed)
        self._arrivals = Arrivals(operator, self._market, seed)
        self._patience = Patience(seed)
        self._fallbacks: dict[str, tuple[int, PowerMode]] = {}
        self._unpowered: dict[str, PowerMode] = {}
        self._told_in_service = self.gpus.in_service(start_ms)

    @property
    def facilities(self) -> tuple[str, ...]:
        """The ids of the facilities."""
        return tuple(facility.facility_id for facility in self._operator.facilities)

    def master_data(self) -> Iterator[Entry]:
        """Yields the master data, as it is published at every start."""
        for facility in self._facilities.records(self._load_shares(), self.now_ms):
            yield Entry(topic("registry.facilities"), facility)
        for resource in self._operator.resources:
            yield Entry(topic("registry.resources"), self._as_it_stands(resource, self.now_ms))
        for customer in self._operator.customers:
            yield Entry(topic("registry.customers"), customer)

    def restore(self, commands: Iterable[events.AllocationCommand], requests: Iterable[events.WorkloadRequest]) -> None:
        """Takes up the set-points and workloads that the log describes: of a group's commands the newest holds.

        A set-point is not undone when its command expires (that is only the end of the time to carry it out), so the
        newest one holds whether or not it has expired since. One that came while a group had no power never arrived.
        """
        commands, requests = list(commands), list(requests)
        for command in commands:
            if command.kind is not CommandKind.SET_POWER_MODE or command.power_mode is None:
                continue
            issued_ms = min(to_ms(command.issued_at), self.now_ms)
            if command.resource_group_id not in self._facilities.unpowered(issued_ms):
                self._set_mode(command, command.power_mode, issued_ms)
        self._fall_back()
        self._supply()
        self.asics.settle(self.now_ms)
        self.scheduler.restore(commands, requests, self.now_ms)
        self._patience.restore(commands, requests)
        self.gpus.settle(self.now_ms)

    def obey(self, command: events.AllocationCommand) -> bool:
        """Carries out a command from now on; returns whether it did (not one that is expired, repeated or unknown)."""
        if command.kind is not CommandKind.SET_POWER_MODE:
            is_obeyed = self.scheduler.obey(command, self.now_ms)
            if is_obeyed:
                self._patience.obey(command)
            return is_obeyed
        if command.power_mode is None or to_ms(command.expires_at) <= self.now_ms:
            return False
        if command.resource_group_id in self._unpowered:
            return False
        return self._set_mode(command, command.power_mode, self.now_ms)

    def hear(self, request: events.WorkloadRequest) -> None:
        """Takes note of what is asked or reported of a workload, by others too: a workload may be theirs."""
        self.scheduler.learn(request)
        if request.action is WorkloadAction.CANCEL:
            self._patience.learn(request)

    def advance(self) -> Slice:
        """Simulates the next SLICE_MS and returns what happened."""
        start_ms, end_ms = self.now_ms, self.now_ms + SLICE_MS
        self._fall_back()
        self._supply()
        is_opening = self.is_new and start_ms == self._start_ms
        found = chain(self._opening(start_ms) if is_opening else (), self._events(start_ms, end_ms))
        timed = [(entry.at_ms, number, entry) for number, entry in enumerate(found)]
        entries = tuple(entry for _, _, entry in sorted(timed, key=itemgetter(0, 1)))
        for entry in entries:
            if isinstance(entry.event, events.WorkloadRequest):
                self.scheduler.learn(entry.event)
                self._patience.learn(entry.event)
        readings = (
            (ASIC_TOPIC, self._of_powered(self.asics.readings(start_ms))),
            (GPU_TOPIC, self._of_powered(self.gpus.readings(start_ms))),
        )
        self.now_ms = end_ms
        return Slice(start_ms, end_ms, readings, entries)

    def _set_mode(self, command: events.AllocationCommand, mode: PowerMode, at_ms: int) -> bool:
        self._fallbacks.pop(command.resource_group_id, None)
        if command.hold_until is not None and command.fallback_mode is not None:
            self._fallbacks[command.resource_group_id] = (to_ms(command.hold_until), command.fallback_mode)
        return self.asics.set_mode(command.resource_group_id, mode, at_ms)

    def _fall_back(self) -> None:
        # Devices that have lost contact take the mode that their last command named for that.
        for group, (until_ms, mode) in list(self._fallbacks.items()):
            if until_ms <= self.now_ms:
                del self._fallbacks[group]
                if group in self._unpowered:
                    self._unpowered[group] = mode
                else:
                    self.asics.set_mode(group, mode, until_ms)

    def _supply(self) -> None:
        # A group without power is off until it has it again, and then starts in the mode that it was in.
        unpowered = self._facilities.unpowered(self.now_ms)
        for resource in self._operator.groups(ResourceKind.ASIC) if unpowered or self._unpowered else ():
            group = resource.resource_group_id
            if group in unpowered and group not in self._unpowered:
                self._unpowered[group] = self.asics.mode(group)
                self.asics.set_mode(group, PowerMode.OFF, self.now_ms)
            elif group in self._unpowered and group not in unpowered:
                self.asics.set_mode(group, self._unpowered.pop(group), self.now_ms)
        self.scheduler.unpowered = unpowered

    def _of_powered(self, readings: pl.DataFrame) -> pl.DataFrame:
        # A device without power says nothing.
        unpowered = self.scheduler.unpowered
        return readings.filter(~pl.col("resource_group_id").is_in(list(unpowered))) if unpowered else readings

    def _load_shares(self) -> dict[str, float]:
        """Returns the IT load of each facility over its full one, by the set-points."""
        full_w = {facility.facility_id: 0.0 for facility in self._operator.facilities}
        used_w = dict(full_w)
        for resource in self._operator.resources:
            full_w[resource.facility_id] += full_power_w(resource)
            if resource.resource_group_id not in self.scheduler.unpowered:
                used_w[resource.facility_id] += self._set_power_w(resource)
        return {name: used_w[name] / full if full else 0.0 for name, full in full_w.items()}

    def _set_power_w(self, resource: events.Resource) -> float:
        group = resource.resource_group_id
        if resource.kind is ResourceKind.GPU:
            busy = self.gpus.busy(group)
            return (resource.units - busy) * resource.idle_power_w + busy * resource.max_power_w
        mode = self.asics.mode(group)
        return resource.units * next(point.power_w for point in resource.modes if point.mode is mode)

    def _events(self, start_ms: int, end_ms: int) -> Iterator[Entry]:
        since_ms = self._start_ms if self.is_new else 0
        if start_ms > self._start_ms:
            yield from _entries("registry.facilities", self._facilities.changes(self._load_shares(), start_ms))
            yield from _entries("registry.resources", self._resource_changes(start_ms))
        yield from _entries("market.ticks", self._market.ticks(start_ms, end_ms))
        yield from _entries("network.stats", self._network.blocks(start_ms, end_ms))
        yield from _entries("grid.prices", self._grid.prices(start_ms, end_ms))
        yield from _entries("grid.signals", self._signals.signals(start_ms, end_ms, since_ms))
        yield from _entries("workloads.requests", self._arrivals.submissions(start_ms, end_ms))
        yield from _entries("workloads.requests", self.scheduler.reports(start_ms, end_ms))
        yield from _entries("workloads.requests", self._patience.withdrawals(start_ms, end_ms))

    def _resource_changes(self, at_ms: int) -> Iterator[events.Resource]:
        # Before this slice's breakdowns, so a slice after the reports of the workloads that they end: a plan has then
        # let go of those, and looks for no room for them among fewer GPUs.
        told, self._told_in_service = self._told_in_service, self.gpus.in_service(at_ms)
        changed = {group for group, units in self._told_in_service.items() if units != told[group]}
        changed |= self._facilities.changed_groups(at_ms)
        for resource in self._operator.resources:
            if resource.resource_group_id in changed:
                yield self._as_it_stands(resource, at_ms)

    def _as_it_stands(self, resource: events.Resource, at_ms: int) -> events.Resource:
        """Returns the registry's record of a group: the units in service, and the outages that it is in."""
        told = replace(
            resource,
            event_id=event_id("registry.resources", resource.resource_group_id, at_ms),
            recorded_at=to_datetime(at_ms),
        )
        if resource.kind is ResourceKind.GPU:
            told = self.gpus.as_in_service(told, at_ms)
        windows = [*told.maintenance, *self._facilities.outages(resource, at_ms)]
        return replace(told, maintenance=sorted(windows, key=lambda window: (window.starts_at, window.ends_at)))

    def _opening(self, start_ms: int) -> Iterator[Entry]:
        # What is known already when the log begins: the newest block, day-ahead prices, and a queue of workloads.
        blocks = list(self._network.blocks(start_ms - 6 * HOUR_MS, start_ms))
        yield from _entries("network.stats", blocks[-1:])
        yield from _entries("grid.prices", self._grid.opening(start_ms))
        yield from _entries("workloads.requests", self._arrivals.opening(start_ms))


def _entries(name: str, found: Iterable[object]) -> Iterator[Entry]:
    target = topic(name)
    return (Entry(target, event) for event in found)
