"""Runs a simulation against Kafka: paced by the clock, fed by commands, until it is stopped or has reached its end.

Start, in this order: 1. wait for broker and registry; 2. find where the log ends and start behind it, so that event
time never goes back; 3. take up set-points and workloads from the control topics; 4. publish the master data; 5. go on
slice by slice. Stop: deliver what was handed over, then close.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from confluent_kafka import KafkaException

from schemas import events, metric
from schemas.catalog import Topic
from schemas.registry import Registry, RegistryUnavailableError
from simulators.clock import Clock, Pace, SystemWall, Wall, default_start_ms
from simulators.configuration import SimulationConfig
from simulators.error import ConfigurationError, DeliveryError
from simulators.fault_injection import Faults
from simulators.fault_ledger import FaultLedger
from simulators.feed import Feed
from simulators.fleet import SLICE_MS, Fleet
from simulators.lockstep import Lockstep
from simulators.outlet import WORKER, Outlet
from simulators.simulation import ASIC_TOPIC, GPU_TOPIC, Simulation, Slice
from simulators.site import operator
from simulators.timeline import ceiling, floor, to_datetime, to_ms

_POLL_S = 0.25
_RETRY_S = 2.0
_PROGRESS_S = 1.0
_FLUSH_S = 30.0
_PLAN_WAIT_S = 60.0
_PLAN_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Progress:
    """How it goes: event time, events handed over, their rate and the speed of the last second, events in the queue."""

    event_time: datetime
    events: int
    events_per_s: float
    speed: float
    waiting: int
    failed: int


@dataclass(frozen=True, slots=True)
class Listener:
    """Who is told: `progress` about once a second, `notice` of what a person should know; `started` of the simulation
    before its first slice, `advanced` of each slice as the devices measured it. All default to nobody.
    """

    progress: Callable[[Progress], None] = lambda _: None
    notice: Callable[[str], None] = lambda _: None
    started: Callable[[Simulation], None] = lambda _: None
    advanced: Callable[[Slice], None] = lambda _: None


def run(
    config: SimulationConfig, stop: threading.Event, listener: Listener | None = None, wall: Wall | None = None
) -> int:
    """Simulates until `stop` is set or the end is reached; returns how many events were delivered.

    A broker or registry that is away is waited for. Raises SimulatorError, and RegistryError where a schema is not
    registered.
    """
    return _Run(config, stop, listener or Listener(), wall or SystemWall()).run()


class _Run:
    """One run: its parts, and what it was told."""

    def __init__(self, config: SimulationConfig, stop: threading.Event, listener: Listener, wall: Wall) -> None:
        self._config = config
        self._stop = stop
        self._listener = listener
        self._wall = wall
        self._registry = Registry(config.registry_url)
        self._feed = Feed(config.kafka, self._registry, has_decisions=config.lockstep_s is not None)
        self._outlet = Outlet(config.kafka, self._registry)
        self._ledger = FaultLedger(config.fault_ledger)

    def run(self) -> int:
        try:
            simulation = self._started()
            if simulation is None:
                return 0
            self._listener.started(simulation)
            self._outlet.send_entries(tuple(simulation.master_data()), self._stop)
            self._loop(simulation)
            self._outlet.flush(_FLUSH_S)
            if self._ledger.counts:
                told = ", ".join(f"{number} {kind}" for kind, number in sorted(self._ledger.counts.items()))
                self._listener.notice(f"faults: {told}")
            if self._outlet.failed:
                raise DeliveryError(f"the broker refused {self._outlet.failed} of {self._outlet.sent} events")
            return self._outlet.sent
        finally:
            self._outlet.discard()
            self._feed.close()
            self._ledger.close()
            self._registry.close()

    def _started(self) -> Simulation | None:
        """Returns the simulation as the log allows it, once broker and registry answer; None where stopped before."""
        is_told = False
        while not self._stop.is_set():
            try:
                simulation = self._prepared()
            except (KafkaException, RegistryUnavailableError) as error:
                name = "kafka" if isinstance(error, KafkaException) else "registry"
                metric.DEPENDENCY_UP.labels(WORKER, name).set(0)
                if not is_told:
                    self._listener.notice(f"{name} does not answer ({error}); waiting for it")
                    is_told = True
                self._wall.wait(_RETRY_S, self._stop)
                continue
            for name in ("kafka", "registry"):
                metric.DEPENDENCY_UP.labels(WORKER, name).set(1)
            return simulation
        return None

    def _prepared(self) -> Simulation:
        config, feed = self._config, self._feed
        feed.require_topics()
        self._outlet.learn_schemas()
        newest_ms = feed.newest_event_ms(None if config.may_lead else self._wall.now_ms())
        start_ms = floor(self._wanted_start_ms(), SLICE_MS)
        if newest_ms is not None and (newest_ms >= start_ms or not config.may_lead):
            start_ms = ceiling(newest_ms + 1, SLICE_MS)
            self._listener.notice(f"the log holds events until {_words(newest_ms)}: going on from there")
        end_ms = config.end_ms
        if end_ms is not None and start_ms >= end_ms:
            raise ConfigurationError(
                f"nothing to simulate: the end is {_words(end_ms)}, and event time, which never goes back, is at "
                f"{_words(start_ms)}; `hcp down --wipe` empties the log"
            )
        fleet = operator(config.miners, config.gpus, start_ms)
        is_new = newest_ms is None
        simulation = Simulation(
            fleet, config.seed, start_ms, is_new=is_new, replay=config.replay, outages=config.outages
        )
        for entry, devices in _fleets(simulation).items():
            self._outlet.introduce(entry, devices.identity)
        backlog = feed.backlog()
        simulation.restore(backlog.commands, backlog.requests)
        self._listener.notice(f"event time starts at {_words(start_ms)}")
        return simulation

    def _wanted_start_ms(self) -> int:
        config = self._config
        if config.start is not None:
            return to_ms(config.start)
        return config.replay.start_ms if config.replay is not None else default_start_ms(self._wall.now_ms())

    def _loop(self, simulation: Simulation) -> None:
        end_ms = self._config.end_ms
        clock = Clock(Pace(self._config.speed, self._config.may_lead), simulation.now_ms, self._wall)
        meter = _Meter(self._wall, simulation.now_ms)
        faults = self._faults(simulation)
        lockstep = self._lockstep(simulation)
        while not self._stop.is_set() and (end_ms is None or simulation.now_ms + SLICE_MS <= end_ms):
            self._outlet.poll()
            progress = meter.progress(simulation.now_ms, self._outlet)
            if progress is not None:
                self._listener.progress(progress)
            due_ms = simulation.now_ms + SLICE_MS
            if not clock.is_due(due_ms):
                clock.wait_until(due_ms, self._stop, _POLL_S)
                continue
            self._hear(self._feed.poll(), simulation, lockstep)
            if lockstep is not None and lockstep.is_step(due_ms) and not self._in_step(simulation, lockstep, due_ms):
                break
            found = simulation.advance()
            self._listener.advanced(found)
            if faults is not None:
                faulted = faults.apply(found)
                found = faulted.slice
                # First: a fault that is in the log is in the ledger, whenever the process ends.
                self._ledger.enter(faulted.ledger)
            self._outlet.send(found, self._stop)
            clock.advanced(simulation.now_ms)
        if faults is not None:
            self._ledger.enter(faults.lost())

    @staticmethod
    def _hear(heard: Iterable[Any], simulation: Simulation, lockstep: Lockstep | None) -> None:
        for event in heard:
            match event:
                case events.AllocationCommand():
                    simulation.obey(event)
                case events.WorkloadRequest():
                    simulation.hear(event)
                case events.AllocationDecision() if lockstep is not None:
                    lockstep.hear(event)

    def _lockstep(self, simulation: Simulation) -> Lockstep | None:
        seconds = self._config.lockstep_s
        if seconds is None:
            return None
        return Lockstep(simulation.facilities, seconds, simulation.now_ms, is_new=simulation.is_new)

    def _in_step(self, simulation: Simulation, lockstep: Lockstep, due_ms: int) -> bool:
        """Waits for the plans that hold up event time; returns whether to go on."""
        deadline_s = self._wall.monotonic_s() + _PLAN_WAIT_S
        while late := lockstep.waits_for(due_ms):
            self._wall.wait(_PLAN_POLL_S, self._stop)
            if self._stop.is_set():
                return False
            self._outlet.poll()
            self._hear(self._feed.poll(), simulation, lockstep)
            if self._wall.monotonic_s() > deadline_s:
                names = ", ".join(late)
                self._listener.notice(
                    f"no plan of {names} at {_words(due_ms)} after {_PLAN_WAIT_S:.0f} s: going on without, until one "
                    "comes (`hcp worker agents` makes them, and `hcp worker rollup` what they need)"
                )
                lockstep.pass_over(late)
        # A plan's commands are on another topic, and may be read after it.
        self._hear(self._feed.poll_to_end(), simulation, lockstep)
        lockstep.obeyed(due_ms)
        return True

    def _faults(self, simulation: Simulation) -> Faults | None:
        if not self._config.faults:
            return None
        devices = {entry: fleet.identity["device_id"] for entry, fleet in _fleets(simulation).items()}
        return Faults(self._config.faults, devices, self._config.seed)


class _Meter:
    """Speed and rate since it was last asked, about once a second."""

    def __init__(self, wall: Wall, at_ms: int) -> None:
        self._wall = wall
        self._last = (wall.monotonic_s(), at_ms, 0)

    def progress(self, at_ms: int, outlet: Outlet) -> Progress | None:
        """Returns how it goes, None where less than a second has passed since it last did."""
        now_s = self._wall.monotonic_s()
        last_s, last_ms, last_sent = self._last
        elapsed_s = now_s - last_s
        if elapsed_s < _PROGRESS_S:
            return None
        self._last = (now_s, at_ms, outlet.sent)
        speed = (at_ms - last_ms) / 1000 / elapsed_s
        metric.SIMULATED_SPEED.set(speed)
        rate = (outlet.sent - last_sent) / elapsed_s
        return Progress(to_datetime(at_ms), outlet.sent, rate, speed, outlet.waiting, outlet.failed)


def _fleets(simulation: Simulation) -> dict[Topic, Fleet]:
    return {ASIC_TOPIC: simulation.asics.fleet, GPU_TOPIC: simulation.gpus.fleet}


def _words(at_ms: int) -> str:
    return f"{to_datetime(at_ms):%Y-%m-%d %H:%M:%S} UTC"
