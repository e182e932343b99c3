"""The Faust app of the agents, and its process: `run` blocks until SIGTERM.

Faust brings the consumer group, the streams and the agents. State and delivery are not left to its tables,
acknowledgements and producer: the input of a decision has to survive kill -9 exactly, so outputs and offsets go in
transactions (`agents.event_log`) and offsets are held back while an event is in use (`agents.held_offset`).

Workers share the facilities: the topics keyed by facility are partitioned alike, and who has a partition decides for
its facilities (`agents.shard`), as who has the requests routes them (`agents.router`). A rebalance takes everything
away and gives it anew: what was in flight is dropped, and its new owner finds in the log how far it is.
"""

import asyncio
import itertools
import logging
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, cast

import faust
from faust.tables import TableManager
from faust.types import TP

from schemas import metric
from schemas.catalog import TOPICS
from schemas.codec import Codec
from schemas.registry import Registry, RegistryUnavailableError
from streams.agents import kafka_client, recovery
from streams.agents.assignment import INPUTS, REQUESTS, ROUTED, shared_partitions
from streams.agents.context import Context
from streams.agents.error import LogUnavailableError
from streams.agents.held_offset import Place
from streams.agents.intake import RawMessage
from streams.agents.router import Router
from streams.agents.shard import Shard
from streams.agents.solver import SolverPool
from streams.domain.price_risk import RiskPolicy
from streams.domain.trigger import DispatchPolicy

log = logging.getLogger(__name__)

_SESSION_S = 10.0
_BACKOFF_S = (0.5, 1.0, 2.0, 5.0)


@dataclass(frozen=True, slots=True)
class AgentsConfig:
    """How the worker runs.

    `kafka` has librdkafka names (bootstrap.servers, security passthrough). `instance` is the worker's place in the
    group: one that is started again with its number has its facilities back at once. `metrics_port` 0 takes a free one.
    """

    kafka: Mapping[str, Any]
    registry_url: str
    group_id: str = "hcp-agents"
    instance: int = 0
    dispatch_interval_s: int = 300
    risk_weight: float = 0.0
    risk_tail: float = 0.1
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
    worker = _Worker(agents.app, loglevel=logging.WARNING, override_logging=False, quiet=True, redirect_stdouts=False)
    worker.execute_from_commandline()


def _give_up(error: Exception) -> None:
    log.critical("the agents stop: %s: %s", type(error).__name__, error)
    # At once: nothing is left to save, since an open transaction is aborted by the successor; and a service that waits
    # for a broker that is gone would keep the process from ending.
    os._exit(1)


class Agents:
    """The Faust app with its agents, and what this worker owns as the group has assigned it.

    `fail` is called with the error that the worker can't go on after.
    """

    def __init__(self, config: AgentsConfig, fail: Callable[[Exception], None]) -> None:
        self.config = config
        self.solvers = SolverPool(config.solver_processes)
        self.context = Context(
            kafka=config.kafka,
            codec=Codec(Registry(config.registry_url)),
            group_id=config.group_id,
            solvers=self.solvers,
            dispatch=DispatchPolicy(interval_s=config.dispatch_interval_s),
            risk=RiskPolicy(config.risk_weight, config.risk_tail),
            unread=self._unread,
        )
        self.shards: dict[int, Shard] = {}
        self.router: Router | None = None
        self._recovery: asyncio.Task[None] | None = None
        self._fail = fail
        self.app = _app(self)

    async def take_input(self, message: RawMessage) -> None:
        """Handles a message of a topic keyed by facility."""
        shard = self.shards.get(message.place.partition)
        if shard is not None:  # else it is of an assignment that is over
            await shard.take_input(message)

    async def take_request(self, message: RawMessage) -> None:
        """Handles a message of workloads.routed."""
        shard = self.shards.get(message.place.partition)
        if shard is not None:
            await shard.take_request(message)

    async def route(self, message: RawMessage) -> None:
        """Handles a message of workloads.requests."""
        if self.router is not None:
            await self.router.take(message)

    async def guard(self, work: Awaitable[None]) -> None:
        """Awaits work of an agent; an error that it can't handle ends the worker, for Faust would skip the event."""
        try:
            await work
        except Exception as error:  # noqa: BLE001 - whatever it is, going on would lose an event
            self._fail(error)

    async def own(self, assigned: Iterable[Place]) -> None:
        """Owns what is assigned; recovers it while messages wait. Raises ConfigurationError."""
        places = list(assigned)
        self.shards = {n: Shard(self.context, n, self.guard) for n in sorted(shared_partitions(places))}
        self.router = Router(self.context, self.guard) if Place(REQUESTS, 0) in places else None
        if places:
            self._recovery = asyncio.ensure_future(self.guard(self._recover()))

    async def release(self) -> None:
        """Owns nothing any more: ends what is in flight and forgets what is known."""
        if self._recovery is not None:
            self._recovery.cancel()
            await asyncio.gather(self._recovery, return_exceptions=True)
        owners, self.shards, self.router = self._owners(), {}, None
        await asyncio.gather(*(owner.stop() for owner in owners))

    async def _unread(self, place: Place, position: int) -> int:
        consumer = cast("kafka_client.ReadCommittedConsumer", self.app.consumer)
        return await consumer.unread(TP(place.topic, place.partition), position)

    def _owners(self) -> list[Shard | Router]:
        return [*self.shards.values(), *([] if self.router is None else [self.router])]

    async def _recover(self) -> None:
        for wait_s in itertools.chain(_BACKOFF_S, itertools.repeat(_BACKOFF_S[-1])):
            try:
                await asyncio.gather(*(owner.fence() for owner in self._owners()))
                found = await asyncio.to_thread(self._found, tuple(self.shards))
                routes = None if self.router is None else await asyncio.to_thread(self.router.recovered)
                break
            except (LogUnavailableError, RegistryUnavailableError) as error:
                log.warning("waiting for what the worker needs: %s", error)
                await asyncio.gather(*(owner.event_log.stop() for owner in self._owners()))
                await asyncio.sleep(wait_s)
        for number, shard in self.shards.items():
            shard.begin(found[number])
        if self.router is not None and routes is not None:
            self.router.begin(routes)

    def _found(self, numbers: tuple[int, ...]) -> dict[int, recovery.Recovered]:
        for entry in TOPICS:
            self.context.codec.registry.schema_id(entry)
        return recovery.recover(self.config.kafka, self.context.codec, self.config.group_id, numbers)


class _NoTables(TableManager):
    """Faust's tables where there are none: it waits a second for late ones before it lets the consumer begin."""

    async def on_start(self) -> None:
        await self._update_channels()
        await self.recovery.start()


class _Worker(faust.Worker):
    """Faust's worker without the second that it sleeps before it closes its loop."""

    async def _sentinel_task(self) -> None:
        await asyncio.sleep(0)


class _App(faust.App):
    """Faust's app, whose worker owns what the group assigns to it from before it reads until after it stops."""

    agents_owner: Agents

    async def on_start(self) -> None:
        await super().on_start()
        # Beside the assignment and the recovery; a solve that comes first waits for the same processes.
        self.add_future(self.agents_owner.guard(self.agents_owner.solvers.warm()))

    async def on_stop(self) -> None:
        await self.agents_owner.release()
        self.agents_owner.solvers.close()
        await super().on_stop()

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        await super()._on_partitions_revoked(revoked)
        await self.agents_owner.guard(self.agents_owner.release())

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        agents = self.agents_owner
        await agents.guard(agents.release())
        await agents.guard(agents.own([Place(tp.topic, tp.partition) for tp in assigned]))
        await super()._on_partitions_assigned(assigned, generation_id)


def _app(agents: Agents) -> faust.App:
    config = agents.config
    app = _App(
        config.group_id,
        broker=kafka_client.broker_urls(config.kafka),
        broker_credentials=kafka_client.credentials(config.kafka),
        store="memory://",
        TableManager=_NoTables,
        datadir=tempfile.gettempdir(),
        web_enabled=False,
        autodiscover=False,
        # Topics come from the catalog; Faust's own creation does not work on Kafka 4.
        topic_allow_declare=False,
        topic_disable_leader=True,
        key_serializer="raw",
        value_serializer="raw",
        consumer_auto_offset_reset="earliest",
        # So long are a killed worker's facilities without an owner, unless it comes back before.
        broker_session_timeout=_SESSION_S,
        broker_heartbeat_interval=_SESSION_S / 5,
        # A static member: a restarted worker has its partitions at once; a new one waits for the old session.
        consumer_group_instance_id=f"{config.group_id}-{config.instance}",
    )
    app.agents_owner = agents
    app.transport = kafka_client.ReadCommittedTransport(app.conf.broker_consumer, app, app.loop)

    # acks=False: Faust commits nothing; see agents.held_offset.
    def topic(*names: str) -> Any:
        return app.topic(*names, acks=False, key_type=bytes, value_type=bytes)

    @app.agent(topic(*INPUTS), name="economics")
    async def _economics(stream: Any) -> None:
        async for event in stream.noack().events():
            await agents.guard(agents.take_input(_raw(event.message)))

    @app.agent(topic(ROUTED), name="workload")
    async def _workload(stream: Any) -> None:
        async for event in stream.noack().events():
            await agents.guard(agents.take_request(_raw(event.message)))

    @app.agent(topic(REQUESTS), name="router")
    async def _router(stream: Any) -> None:
        async for event in stream.noack().events():
            await agents.guard(agents.route(_raw(event.message)))

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
