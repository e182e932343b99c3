"""The allocation agent without a broker: a desk that knows events, a log that keeps what is appended."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from schemas.events import AllocationDecision, AllocationSnapshot
from streams.agents import allocation
from streams.agents.desk import Desk
from streams.agents.event_log import EventLog
from streams.agents.held_offset import Place
from streams.agents.solver import SolverPool
from streams.domain.allocation import solve
from streams.domain.market_state import MarketState
from streams.domain.trigger import DispatchPolicy
from streams.domain.workload import WorkloadBook

_PLACE = Place("any", 0)


class Log:
    """Keeps what is appended."""

    def __init__(self) -> None:
        self.events: list[Any] = []

    async def append(self, events: list[tuple[object, Any]]) -> None:
        """Keeps the events."""
        self.events.extend(event for _, event in events)

    @property
    def decisions(self) -> list[AllocationDecision]:
        """The decisions among the events."""
        return [event for event in self.events if isinstance(event, AllocationDecision)]


class Solver:
    """Solves where it is called; during the first solve of each moment, `meanwhile` comes in."""

    def __init__(self, desk: Desk, meanwhile: Mapping[Any, tuple[Any, ...]]) -> None:
        self._desk, self._meanwhile = desk, dict(meanwhile)
        self.asked: list[AllocationSnapshot] = []

    async def solve(self, snapshot: AllocationSnapshot) -> AllocationDecision:
        """Returns the decision of a snapshot."""
        self.asked.append(snapshot)
        for event in self._meanwhile.pop(snapshot.taken_at, ()):
            self._desk.take(event, _PLACE, 0)
        await asyncio.sleep(0)
        return solve(snapshot)


def desk_with(*events: Any) -> Desk:
    """A desk that knows events and has decided nothing."""
    desk = Desk(MarketState(), WorkloadBook(), {}, {}, {}, {}, DispatchPolicy())
    for event in events:
        desk.take(event, _PLACE, 0)
    return desk


def decided(desk: Desk, meanwhile: Mapping[Any, tuple[Any, ...]] | None = None) -> tuple[Log, Solver]:
    """Takes all decisions that are due, while what comes at a decision's moment comes in the middle of its solve."""
    log, solver = Log(), Solver(desk, meanwhile or {})

    async def refresh() -> None:
        pass

    async def decide() -> None:
        agents = (cast(EventLog, log), cast(SolverPool, solver))
        await asyncio.gather(
            *(
                allocation.decide_due(desk, name, *agents, refresh=refresh, should_stop=lambda: False)
                for name in sorted(desk.market.facilities)
            )
        )

    asyncio.run(decide())
    return log, solver
