"""What all owners of one worker share: where the log is, how it is read, and who solves."""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Any

from schemas import metric
from schemas.catalog import topic
from schemas.codec import Codec
from schemas.dead_letter import DeadLetter
from streams.agents import kafka_client, recovery
from streams.agents.event_log import WORKER, EventLog
from streams.agents.held_offset import Place
from streams.agents.intake import Intake, RawMessage
from streams.agents.solver import SolverPool
from streams.domain.price_risk import RiskPolicy
from streams.domain.trigger import DispatchPolicy

_SPACING_EVENTS = 100


@dataclass(slots=True)
class Context:
    """`unread`: how far from its end a partition is that the app's group reads and that is handled up to an offset."""

    kafka: Mapping[str, Any]
    codec: Codec
    group_id: str
    solvers: SolverPool
    dispatch: DispatchPolicy
    risk: RiskPolicy
    unread: Callable[[Place, int], Awaitable[int]]
    intake: Intake = field(init=False)
    _times: defaultdict[str, deque[datetime]] = field(
        default_factory=lambda: defaultdict(lambda: deque(maxlen=_SPACING_EVENTS))
    )

    def __post_init__(self) -> None:
        self.intake = Intake(self.codec)

    def event_log(self, owner: str) -> EventLog:
        """The writing end of the log for an owner; there is one at a time, whichever worker has it."""
        client = kafka_client.producer_settings(self.kafka)
        return EventLog(self.codec, self.group_id, f"{self.group_id}-{owner}", client)

    async def event(self, message: RawMessage, event_log: EventLog, offsets: dict[Place, int] | None = None) -> Any:
        """The event of a message; None where it is a dead letter now, appended with `offsets`."""
        found = await self.intake.event(message)
        if not isinstance(found, DeadLetter):
            return found
        await event_log.append(dead=[found], offsets=offsets)
        return None

    async def readable(self, message: RawMessage) -> Any:
        """The event of a message; None where it can't be read, which is another owner's to say."""
        found = await self.intake.event(message)
        return None if isinstance(found, DeadLetter) else found

    async def master_data(self) -> list[Any]:
        """The newest record of each facility, resource group and customer."""
        return await asyncio.to_thread(recovery.master_data, self.kafka, self.codec)

    def seen(self, name: str, event: Any, started: float) -> None:
        """Shows that a message of a topic was handled, and of when it is."""
        metric.PROCESSING_SECONDS.labels(WORKER).observe(perf_counter() - started)
        metric.EVENTS_IN.labels(WORKER, name).inc()
        if event is not None:
            at: datetime = getattr(event, topic(name).time_field)
            self._times[name].append(at)
            metric.EVENT_TIME.labels(WORKER, name).set(at.timestamp())

    def show_lag(self, place: Place, lag: int) -> None:
        """Shows how far behind the end of a partition its reader is, in events."""
        metric.LAG_EVENTS.labels(WORKER, place.topic, str(place.partition)).set(lag)
        times = self._times[place.topic]
        spacing_s = abs((times[-1] - times[0]).total_seconds()) / (len(times) - 1) if len(times) > 1 else 0.0
        metric.LAG_SECONDS.labels(WORKER, place.topic).set(lag * spacing_s)
