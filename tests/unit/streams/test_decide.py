"""The allocation agent without a broker: what an input that comes in the middle of a solve changes."""

import asyncio
from typing import Any, cast

from schemas.events import AllocationDecision, AllocationSnapshot
from streams.agents import allocation
from streams.agents.desk import Desk
from streams.agents.event_log import EventLog
from streams.agents.held_offset import Place
from streams.agents.solver import SolverPool
from streams.domain.allocation import solve
from streams.domain.dispatch import DispatchPolicy
from streams.domain.market_state import MarketState
from streams.domain.workload import WorkloadBook
from tests import streams_event as a

NEEDED = (a.facility(), a.miners(), a.gpus(), a.customer(), a.tick(), a.gpu_tick(), a.network(), a.price())
PLACE = Place("any", 0)


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

    def __init__(self, desk: Desk, meanwhile: dict[Any, tuple[Any, ...]]) -> None:
        self._desk, self._meanwhile = desk, meanwhile
        self.asked: list[AllocationSnapshot] = []

    async def solve(self, snapshot: AllocationSnapshot) -> AllocationDecision:
        """Returns the decision of a snapshot."""
        self.asked.append(snapshot)
        for event in self._meanwhile.pop(snapshot.taken_at, ()):
            self._desk.take(event, PLACE, 0)
        await asyncio.sleep(0)
        return solve(snapshot)


def desk_with(*events: Any) -> Desk:
    """A desk that knows events and has decided nothing."""
    desk = Desk(MarketState(), WorkloadBook(), {}, {}, {}, {}, DispatchPolicy())
    for event in events:
        desk.take(event, PLACE, 0)
    return desk


async def decided(desk: Desk, meanwhile: dict[Any, tuple[Any, ...]]) -> tuple[Log, Solver]:
    """Takes all decisions that are due."""
    log, solver = Log(), Solver(desk, meanwhile)

    async def refresh() -> None:
        pass

    await allocation.decide_due(desk, cast(EventLog, log), cast(SolverPool, solver), refresh, lambda: False)
    return log, solver


def test_input_that_belongs_before_a_decision_cancels_its_solve() -> None:
    late = (a.signal(200, limit_mw=0.1),)
    log, solver = asyncio.run(decided(desk_with(*NEEDED, a.price(300)), {a.at(300): late}))
    at_once, _ = asyncio.run(decided(desk_with(*NEEDED, a.price(300), *late), {}))
    assert [d.cause_event_id for d in log.decisions] == [a.network().event_id, late[0].event_id, a.price(300).event_id]
    assert log.events == at_once.events
    # The solve for the price ran twice, once for nothing.
    assert len(solver.asked) == 4


def test_input_after_a_decision_leaves_its_solve_alone() -> None:
    later = (a.signal(301, limit_mw=0.1), a.tick(310), a.price(600), a.window(310))
    log, solver = asyncio.run(decided(desk_with(*NEEDED, a.price(300)), {a.at(300): later}))
    assert [d.interval_start for d in log.decisions][:2] == [a.at(0), a.at(300)]
    assert len({s.decision_id for s in solver.asked}) == len(solver.asked)
    assert log.events == asyncio.run(decided(desk_with(*NEEDED, a.price(300), *later), {}))[0].events


def test_solver_processes_give_the_decision_that_the_domain_gives() -> None:
    async def both() -> None:
        log, solver = await decided(desk_with(*NEEDED), {})
        with SolverPool(1) as pool:
            await pool.warm()
            assert [await pool.solve(snapshot) for snapshot in solver.asked] == log.decisions

    asyncio.run(both())
