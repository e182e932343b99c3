"""The Faust app of the agents, and its process: `run` blocks until SIGTERM.

Faust brings the consumer group, the streams and the agents. State and delivery are not left to its tables,
acknowledgements and producer: the input of a decision has to survive kill -9 exactly, so outputs and offsets go in
transactions (`agents.event_log`) and offsets are held back while an event is in use (`agents.held_offset`).

One worker reads all partitions. To share the facilities among several, the topics keyed by facility, the registry and
the requests have to be partitioned alike (placing a workload then needs a topic of its own), the market topics have to
reach every worker, and each worker recovers only the facilities that it is assigned.
"""

import asyncio
import itertools
import logging
import os
import sys
import tempfile
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import perf_counter
from typing import Any

import faust
from faust.types import TP

from schemas import metric
from schemas.catalog import TOPICS, topic
from schemas.codec import Codec
from schemas.dead_letter import STAGE_RULE, DeadLetter
from schemas.events import GridSignal
from schemas.registry import Registry, RegistryUnavailableError
from schemas.rule import RULE_ERROR
from streams.agents import allocation, economics, kafka_client, recovery, workload
from streams.agents.desk import Desk
from streams.agents.error import AgentError, LogUnavailableError
from streams.agents.event_log import WORKER, EventLog
from streams.agents.held_offset import Place
from streams.agents.intake import Intake, RawMessage
from streams.agents.solver import SolverPool
from streams.domain.dispatch import DispatchPolicy

log = logging.getLogger(__name__)

INPUTS = ("market.ticks", "network.stats", "grid.prices", "grid.signals", *recovery.REGISTRY, "fleet.windows")
REQUESTS = "workloads.requests"
_COMMIT_S = 1.0
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0)
_SPACING_EVENTS = 100


@dataclass(frozen=True, slots=True)
class AgentsConfig:
    """How the worker runs.

    `kafka` has librdkafka names (bootstrap.servers, security passthrough). `instance` names the transactional id: a
    second worker with the same number takes over from the first. `metrics_port` 0 takes a free one.
    """

    kafka: Mapping[str, Any]
    registry_url: str
    group_id: str = "hcp-agents"
    instance: int = 0
    dispatch_interval_s: int = 300
    solver_processes: int = 1
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0


def run(config: AgentsConfig) -> None:
    """Runs the agents until SIGTERM or SIGINT; returns after a clean stop.

    Raises SystemExit with code 1, after one line that says why, where the worker can't go on: its successor starts from
    what is committed.
    """
    logging.basicConfig(
        level=logging.WARNING, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    metric.serve(config.metrics_host, config.metrics_port)
    agents = Agents(config, _give_up)
    worker = faust.Worker(
        agents.app, loglevel=logging.WARNING, override_logging=False, quiet=True, redirect_stdouts=False
    )
    worker.execute_from_commandline()


def _give_up(error: Exception) -> None:
    log.critical("the agents stop: %s: %s", type(error).__name__, error)
    # At once: nothing is left to save, since an open transaction is aborted by the successor; and a service that waits
    # for a broker that is gone would keep the process from ending.
    os._exit(1)


class Agents:
    """The Faust app with its agents. `start` is called by the app before it reads anything.

    `fail` is called with the error that the worker can't go on after.
    """

    def __init__(self, config: AgentsConfig, fail: Callable[[Exception], None]) -> None:
        self.config = config
        self.codec = Codec(Registry(config.registry_url))
        self.intake = Intake(self.codec)
        self.event_log = EventLog(
            self.codec,
            config.group_id,
            f"{config.group_id}-{config.instance}",
            kafka_client.producer_settings(config.kafka),
        )
        self.solvers = SolverPool(config.solver_processes)
        self._fail = fail
        self._desk: Desk | None = None
        self._times: defaultdict[str, deque[datetime]] = defaultdict(lambda: deque(maxlen=_SPACING_EVENTS))
        self.app = _app(self)

    @property
    def desk(self) -> Desk:
        """The worker's state; there after `start`."""
        if self._desk is None:
            raise AgentError("the worker has not recovered yet")
        return self._desk

    async def start(self) -> None:
        """Fences off a predecessor, then reads what the log says; waits while the broker or registry does not answer.

        Raises UnknownSchemaError where the schemas are not registered.
        """
        found, _ = await asyncio.gather(self._recovered(), self.solvers.warm())
        self._desk = Desk.of(found, DispatchPolicy(interval_s=self.config.dispatch_interval_s))
        self._desk.changed.set()

    async def take_input(self, message: RawMessage) -> None:
        """Handles a message of an input topic."""
        started = perf_counter()
        event = await self._decoded(message)
        if isinstance(event, GridSignal) and event.facility_id not in self.desk.market.facilities:
            await self.refresh()
            if event.facility_id not in self.desk.market.facilities:
                reason = f"facility_id: {event.facility_id!r} is not registered"
                await self.event_log.append(dead=[message.dead_letter(STAGE_RULE, RULE_ERROR, reason)])
                event = None
        if event is not None:
            self.desk.take(event, message.place, message.offset)
            economics.show_prices(event)
        self.desk.held.read(message.place, message.offset)
        if event is not None:
            await economics.evaluate(event, self.desk, self.event_log)
        self.desk.changed.set()
        self._seen(message.place.topic, event, started)

    async def take_request(self, message: RawMessage) -> None:
        """Handles a message of workloads.requests; its offset is committed with what it causes."""
        started = perf_counter()
        offsets = {message.place: message.offset + 1}
        event = await self._decoded(message, offsets)
        if event is not None:
            await workload.handle(event, self.desk, self.event_log, offsets, self.refresh)
        self.desk.held.read(message.place, message.offset)
        self._seen(message.place.topic, event, started)

    async def guard(self, work: Awaitable[None]) -> None:
        """Awaits work of an agent; an error that it can't handle ends the worker, for Faust would skip the event."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is, going on would lose an event
            self._fail(error)

    async def refresh(self) -> None:
        """Reads the registry topics once more, for a record that came just before what names it."""
        for event in await asyncio.to_thread(self._master_data):
            self.desk.market.add(event)

    async def commit(self) -> None:
        """Commits the offsets that moved since the last time, and shows the lag."""
        desk = self.desk
        moved = {p: offset for p, offset in desk.held.committable().items() if desk.committed.get(p) != offset}
        if moved:
            await self.event_log.append(offsets=moved)
            desk.committed.update(moved)
        for place in desk.committed:
            self._show_lag(place)

    async def decide(self) -> None:
        """Takes the decisions that are due whenever something has changed."""
        while not self.app.should_stop:
            await self.desk.changed.wait()
            self.desk.changed.clear()
            await allocation.decide_due(
                self.desk, self.event_log, self.solvers, self.refresh, lambda: self.app.should_stop
            )

    async def _recovered(self) -> recovery.Recovered:
        for wait_s in itertools.chain(_BACKOFF_S, itertools.repeat(_BACKOFF_S[-1])):
            try:
                await self.event_log.start()
                return await asyncio.to_thread(self._recover)
            except (LogUnavailableError, RegistryUnavailableError) as error:
                log.warning("waiting for what the worker needs: %s", error)
                await self.event_log.stop()
                await asyncio.sleep(wait_s)
        raise AssertionError  # the waiting has no end

    def _recover(self) -> recovery.Recovered:
        for entry in TOPICS:
            self.codec.registry.schema_id(entry)
        return recovery.recover(self.config.kafka, self.codec, self.config.group_id)

    def _master_data(self) -> list[Any]:
        return recovery.master_data(self.config.kafka, self.codec)

    async def _decoded(self, message: RawMessage, offsets: dict[Place, int] | None = None) -> Any:
        found = await self.intake.event(message)
        if not isinstance(found, DeadLetter):
            return found
        await self.event_log.append(dead=[found], offsets=offsets)
        return None

    def _seen(self, name: str, event: Any, started: float) -> None:
        metric.PROCESSING_SECONDS.labels(WORKER).observe(perf_counter() - started)
        metric.EVENTS_IN.labels(WORKER, name).inc()
        if event is not None:
            at: datetime = getattr(event, topic(name).time_field)
            self._times[name].append(at)
            metric.EVENT_TIME.labels(WORKER, name).set(at.timestamp())

    def _show_lag(self, place: Place) -> None:
        highwater = self.app.consumer.highwater(TP(place.topic, place.partition))
        lag = max((highwater or 0) - self.desk.held.position(place), 0)
        metric.LAG_EVENTS.labels(WORKER, place.topic, str(place.partition)).set(lag)
        times = self._times[place.topic]
        spacing_s = abs((times[-1] - times[0]).total_seconds()) / (len(times) - 1) if len(times) > 1 else 0.0
        metric.LAG_SECONDS.labels(WORKER, place.topic).set(lag * spacing_s)


class _App(faust.App):
    """Faust's app that recovers before it starts to read."""

    agents_owner: Agents

    async def on_start(self) -> None:
        await super().on_start()
        await self.agents_owner.guard(self.agents_owner.start())

    async def on_stop(self) -> None:
        await self.agents_owner.event_log.stop()
        self.agents_owner.solvers.close()
        await super().on_stop()


def _app(agents: Agents) -> faust.App:
    config = agents.config
    app = _App(
        config.group_id,
        broker=kafka_client.broker_urls(config.kafka),
        broker_credentials=kafka_client.credentials(config.kafka),
        store="memory://",
        datadir=tempfile.gettempdir(),
        web_enabled=False,
        autodiscover=False,
        # Topics come from the catalog; Faust's own creation does not work on Kafka 4.
        topic_allow_declare=False,
        topic_disable_leader=True,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        # A static member: a restarted worker has its partitions at once; a new one waits for the old session.
        consumer_group_instance_id=f"{config.group_id}-{config.instance}",
    )
    app.agents_owner = agents
    app.transport = kafka_client.ReadCommittedTransport(app.conf.broker_consumer, app, app.loop)
    # acks=False: Faust commits nothing; see agents.held_offset.
    inputs = app.topic(*INPUTS, acks=False, key_type=bytes, value_type=bytes)
    requests = app.topic(REQUESTS, acks=False, key_type=bytes, value_type=bytes)

    @app.agent(inputs, name="economics")
    async def _economics(stream: Any) -> None:
        async for event in stream.noack().events():
            await agents.guard(agents.take_input(_raw(event.message)))

    @app.agent(requests, name="workload")
    async def _workload(stream: Any) -> None:
        async for event in stream.noack().events():
            await agents.guard(agents.take_request(_raw(event.message)))

    app.task(lambda: agents.guard(agents.decide()))
    app.timer(_COMMIT_S)(lambda: agents.guard(agents.commit()))
    return app


def _raw(message: Any) -> RawMessage:
    headers = message.headers or []
    return RawMessage(
        place=Place(message.topic, message.partition),
        offset=message.offset,
        key=message.key,
        value=message.value,
        headers=list(headers.items() if isinstance(headers, Mapping) else headers),
        ingested_at_s=message.timestamp,
    )
