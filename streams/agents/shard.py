"""A partition of the facilities: all that the agents do for them, by the one worker that owns it.

What concerns one facility comes by the app's group, from the topics that are keyed by facility. Markets and master data
concern all: each owner follows them for itself from where its oldest event in use stands, and holds them as its own.
"""

import asyncio
import logging
from time import perf_counter

from schemas.dead_letter import STAGE_RULE
from schemas.events import FleetWindow, GridSignal, Resource, RoutedRequest
from schemas.rule import RULE_ERROR
from streams.agents import allocation, economics, kafka_client, recovery, workload
from streams.agents.assignment import facility_partition
from streams.agents.context import Context
from streams.agents.desk import Desk
from streams.agents.error import AgentError
from streams.agents.follower import Follower
from streams.agents.held_offset import Place
from streams.agents.intake import RawMessage
from streams.agents.owner import Guard, Owner
from streams.domain.snapshot import feeder

log = logging.getLogger(__name__)

_COMMIT_S = 1.0


class Shard(Owner):
    """Decides for the facilities of a partition. Messages wait until it has recovered."""

    def __init__(self, context: Context, number: int, guard: Guard) -> None:
        super().__init__(context, f"facilities-{number}", guard)
        self.number = number
        self._desk: Desk | None = None
        self._follower = Follower(kafka_client.producer_settings(context.kafka), recovery.BROADCAST)

    @property
    def desk(self) -> Desk:
        """What is known; there after `begin`."""
        if self._desk is None:
            raise AgentError(f"the facilities of partition {self.number} have not been recovered yet")
        return self._desk

    def begin(self, found: recovery.Recovered) -> None:
        """Goes on from what the log says."""
        self._desk = Desk.of(found, self.context.dispatch, self.context.risk)
        self._desk.changed.set()
        self._run(
            self._follower.follow(found.committed, self.take_input),
            self._decide(),
            self._commit(),
        )

    async def take_input(self, message: RawMessage) -> None:
        """Handles a message of an input topic; one that was handled already changes nothing."""
        started = perf_counter()
        async with self._handling("input") as is_ours:
            if not is_ours or message.offset < self.desk.held.position(message.place):
                return
            if message.place.topic in recovery.BROADCAST and self.number != 0:
                event = await self.context.readable(message)  # the first partition's owner says what is not
            else:
                event = await self.context.event(message, self.event_log)
            refused = await self._refused(event)
            if refused is not None:
                await self.event_log.append(dead=[message.dead_letter(STAGE_RULE, RULE_ERROR, refused)])
                event = None
            is_used = event is not None and recovery.concerns(event, self.number)
            if is_used:
                self.desk.take(event, message.place, message.offset)
                economics.show_prices(event)
                self._warn_of_astray(event)
            self.desk.held.read(message.place, message.offset)
            if is_used:
                await economics.evaluate(event, self.desk, self.event_log)
            self.desk.changed.set()
            self.context.seen(message.place.topic, event, started)

    async def take_request(self, message: RawMessage) -> None:
        """Handles a message of workloads.routed; its offset is committed with what it causes."""
        started = perf_counter()
        async with self._handling("request") as is_ours:
            if not is_ours or message.offset < self.desk.held.position(message.place):
                return
            offsets = {message.place: message.offset + 1}
            event = await self.context.event(message, self.event_log, offsets)
            if isinstance(event, RoutedRequest):
                await self._go_on(await workload.handle(event, self.desk, self.event_log, offsets, self.refresh))
            self.desk.held.read(message.place, message.offset)
            self.desk.committed.update(offsets)
            self.context.seen(message.place.topic, event, started)

    async def refresh(self) -> None:
        """Reads the registry topics once more, for a record that came just before what names it."""
        records = await self.context.master_data()
        self.desk.learn(record for record in records if recovery.concerns(record, self.number))

    def _warn_of_astray(self, event: object) -> None:
        if isinstance(event, Resource) and event.transformer_id is not None:
            facility = self.desk.market.facilities.get(event.facility_id)
            if facility is not None and feeder(event, facility) is None:
                log.warning(
                    "%s: %s has no transformer %s, so only the facility limits it until it is registered with one",
                    event.resource_group_id, event.facility_id, event.transformer_id,
                )  # fmt: skip

    async def _refused(self, event: object) -> str | None:
        if not isinstance(event, GridSignal | FleetWindow):
            return None
        expected = facility_partition(event.facility_id)
        if expected != self.number:
            return f"facility_id: {event.facility_id!r} belongs to partition {expected}, as murmur2 gives it"
        if isinstance(event, GridSignal) and event.facility_id not in self.desk.market.facilities:
            await self.refresh()
            if event.facility_id not in self.desk.market.facilities:
                return f"facility_id: {event.facility_id!r} is not registered"
        return None

    async def _decide(self) -> None:
        # Each facility by a task of its own, so that none waits for the plan of another.
        changed: dict[str, asyncio.Event] = {}
        while not self.is_stopped:
            await self.desk.changed.wait()
            self.desk.changed.clear()
            for facility_id in sorted(self.desk.market.facilities):
                if facility_id not in changed:
                    changed[facility_id] = asyncio.Event()
                    self._also(self._decide_for(facility_id, changed[facility_id]))
                changed[facility_id].set()

    async def _decide_for(self, facility_id: str, changed: asyncio.Event) -> None:
        while not self.is_stopped:
            await changed.wait()
            changed.clear()
            await allocation.decide_due(
                self.desk, facility_id, self.event_log, self.context.solvers,
                refresh=self.refresh, should_stop=lambda: self.is_stopped,
            )  # fmt: skip

    async def _commit(self) -> None:
        # Two transactions, since a client's transaction commits to one group.
        desk, markets = self.desk, recovery.market_group(self.context.group_id, self.number)
        while True:
            await asyncio.sleep(_COMMIT_S)
            moved = {p: offset for p, offset in desk.held.committable().items() if desk.committed.get(p) != offset}
            of_markets = {place: offset for place, offset in moved.items() if place.topic in recovery.BROADCAST}
            own = {place: offset for place, offset in moved.items() if place not in of_markets}
            if of_markets:
                await self.event_log.append(offsets=of_markets, group_id=markets)
            if own:
                await self.event_log.append(offsets=own)
            desk.committed.update(moved)
            for place in desk.committed:
                self.context.show_lag(place, await self._unread(place))

    async def _unread(self, place: Place) -> int:
        if place.topic in recovery.BROADCAST:
            return await self._follower.unread(place)
        return await self.context.unread(place, self.desk.held.position(place))
