"""The router: gives each workload to a facility, and sends all that is asked or reported of it there.

A routed request and the offset behind the request are one transaction, so each request is routed once; from then on
the log says where it went, whatever the router went by.
"""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

from schemas import metric
from schemas.catalog import topic
from schemas.events import Customer, Facility, Profitability, Resource, WorkloadTransition
from streams.agents import kafka_client, recovery
from streams.agents.assignment import REQUESTS, ROUTED
from streams.agents.context import Context
from streams.agents.error import AgentError
from streams.agents.event_log import WORKER
from streams.agents.follower import Follower
from streams.agents.held_offset import Place
from streams.agents.intake import RawMessage
from streams.agents.owner import Guard, Owner
from streams.agents.workload import REFERENCES
from streams.domain import routing, workload
from streams.domain.market_state import MarketState, customers_price
from streams.domain.routing import Routes
from streams.domain.workload import Directory, Refusal

_FOLLOWED = (*recovery.REGISTRY, "workloads.transitions", "economics.profitability")
_ROUTED = topic(ROUTED)
_AUDIT = topic("audit.events")


@dataclass(slots=True)
class RouterState:
    """What the router knows. `position`: the next request; `ends`: where to go on reading what it follows."""

    market: MarketState
    routes: Routes
    position: int
    ends: dict[Place, int]


class Router(Owner):
    """Routes the requests. There is one: the worker that has the one partition of workloads.requests."""

    def __init__(self, context: Context, guard: Guard) -> None:
        super().__init__(context, "router", guard)
        self._state: RouterState | None = None
        self._follower = Follower(kafka_client.producer_settings(context.kafka), _FOLLOWED)

    @property
    def state(self) -> RouterState:
        """What is known; there after `begin`."""
        if self._state is None:
            raise AgentError("the router has not recovered yet")
        return self._state

    def recovered(self) -> RouterState:
        """Reads what the log says; blocks. Raises LogUnavailableError, LostLogError and the registry's errors."""
        kafka, codec = self.context.kafka, self.context.codec
        place = Place(REQUESTS, 0)
        with recovery.unavailable():
            ends = recovery.ends(kafka, _FOLLOWED)
            state = RouterState(MarketState(), Routes(), 0, ends)
            for event in recovery.master_data(kafka, codec):
                state.market.add(event)
            for name in ("workloads.transitions", "economics.profitability"):
                for event in recovery.newest_by_key(kafka, codec, topic(name)):
                    state.routes.take(event)
            for event in recovery.decoded(kafka, codec, _ROUTED):
                state.routes.take(event)
            state.position = recovery.committed(kafka, self.context.group_id, [place]).get(place, 0)
        return state

    def begin(self, found: RouterState) -> None:
        """Goes on from what the log says."""
        self._state = found
        self._run(self._follower.follow(found.ends, self._learn))

    async def take(self, message: RawMessage) -> None:
        """Handles a message of workloads.requests; its offset is committed with what it causes."""
        started = perf_counter()
        async with self._handling("request") as is_ours:
            if not is_ours or message.offset < self.state.position:
                return
            offsets = {message.place: message.offset + 1}
            event = await self.context.event(message, self.event_log, offsets)
            if event is not None:
                await self._route(event, offsets)
            self.state.position = message.offset + 1
            self.context.seen(message.place.topic, event, started)
            self.context.show_lag(message.place, await self.context.unread(message.place, self.state.position))

    async def _route(self, request: Any, offsets: dict[Place, int]) -> None:
        found = routing.route(request, self.state.routes, self._directory())
        if isinstance(found, Refusal) and found.field in REFERENCES:
            for event in await self.context.master_data():
                self.state.market.add(event)
            found = routing.route(request, self.state.routes, self._directory())
        if isinstance(found, Refusal):
            await self._go_on(self.event_log.begin([(_AUDIT, workload.refused(request, found))], offsets))
            metric.REFUSED.labels(WORKER).inc()
            return
        await self._go_on(self.event_log.begin([(_ROUTED, found)], offsets))
        self.state.routes.take(found)

    async def _learn(self, message: RawMessage) -> None:
        # Not under the handling lock: a request may wait for the broker, and this waits for nothing.
        event = await self.context.intake.event(message)
        match event:
            case Facility() | Resource() | Customer():
                self.state.market.add(event)
                self.state.market.forget_before(event.recorded_at)  # requests go by the newest records
            case WorkloadTransition() | Profitability():
                self.state.routes.take(event)
            case _:
                pass  # a dead letter: its projection says so

    def _directory(self) -> Directory:
        market = self.state.market
        prices = {n: price for n in market.customers if (price := customers_price(market.customers, n)) is not None}
        return Directory.of(market.resources.values(), prices, market.facilities.values())
