"""What the owner of some facilities knows, shared by its agents: markets, workloads, and what has been decided."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from schemas import metric
from schemas.events import AllocationDecision, AllocationSnapshot, FleetWindow, WorkloadRequest, WorkloadTransition
from streams.agents.held_offset import HeldOffsets, Place
from streams.agents.recovery import Recovered
from streams.domain import snapshot, trigger, workload
from streams.domain.economics import EconomicsPolicy
from streams.domain.evaluation import EvaluationProgress
from streams.domain.horizon import HorizonPolicy
from streams.domain.market_state import BTC, MarketState, MissingInputs, customers_price
from streams.domain.price_risk import RiskPolicy
from streams.domain.standing import Standing
from streams.domain.trigger import DispatchPolicy, Due, Progress
from streams.domain.workload import Directory, WorkloadBook

# How much of the past is kept for a facility whose inputs are not complete yet.
PATIENCE = timedelta(hours=1)


@dataclass(slots=True)
class Solving:
    """A decision that is being solved, and whether an input came meanwhile that its snapshot should have held."""

    due: Due
    taken: AllocationSnapshot
    task: asyncio.Task[AllocationDecision]
    is_overtaken: bool = False


@dataclass(slots=True)
class Desk:
    """State of a partition of facilities.

    All of its agents run on one event loop; `deciding` guards the workloads and the progress of a facility.

    It is derived from the log and is never written anywhere; see `streams.agents.recovery`.
    """

    market: MarketState
    book: WorkloadBook
    progress: dict[str, Progress]
    standing: dict[str, Standing]
    evaluated: dict[str, EvaluationProgress]
    barrier: dict[Place, int]
    dispatch: DispatchPolicy
    economics: EconomicsPolicy = field(default_factory=EconomicsPolicy)
    ahead: HorizonPolicy = field(default_factory=HorizonPolicy)
    risk: RiskPolicy = field(default_factory=RiskPolicy)
    held: HeldOffsets = field(default_factory=HeldOffsets)
    committed: dict[Place, int] = field(default_factory=dict)
    deciding: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    solving: dict[str, Solving] = field(default_factory=dict)
    heard_until: dict[str, datetime] = field(default_factory=dict)
    told_missing: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, found: Recovered, policy: DispatchPolicy, risk: RiskPolicy) -> "Desk":
        """Returns the desk as the log has it."""
        desk = cls(
            market=found.market,
            book=found.book,
            progress=dict(found.progress),
            standing=dict(found.standing),
            evaluated=dict(found.evaluated),
            barrier=dict(found.barrier),
            dispatch=policy,
            risk=risk,
            committed=dict(found.committed),
        )
        for place, offset in found.committed.items():
            desk.held.begin(place, offset)
        return desk

    @property
    def is_caught_up(self) -> bool:
        """Whether all that was in the input topics at the start has been handled."""
        if self.barrier:
            self.barrier = {p: last for p, last in self.barrier.items() if self.held.position(p) <= last}
        return not self.barrier

    @property
    def directory(self) -> Directory:
        """What submissions are checked against."""
        customers = self.market.customers
        prices = {name: price for name in customers if (price := customers_price(customers, name)) is not None}
        return Directory.of(self.market.resources.values(), prices, self.market.facilities.values())

    def take(self, event: Any, place: Place, offset: int) -> None:
        """Takes an input event and holds it while it is in use; releases what it makes needless."""
        needless = self.market.add(event)
        if needless is not None:
            self.held.hold(place, offset, event.event_id)
            self.release(needless)
            if not isinstance(event, FleetWindow):
                self._cancel_overtaken()

    def learn(self, records: Iterable[Any]) -> None:
        """Takes records of master data that were read before their turn."""
        for record in records:
            self.market.add(record)
        self._cancel_overtaken()

    def heard(self, request: WorkloadRequest, facility_id: str) -> None:
        """Takes note that the requests and reports of a facility have been handled up to one."""
        known = self.heard_until.get(facility_id, request.observed_at)
        self.heard_until[facility_id] = max(known, request.observed_at)

    def lost_starts(self, due: Due) -> list[WorkloadTransition]:
        """The workloads that were to start and did not, as of a decision."""
        heard_until = self.heard_until.get(due.facility_id)
        if heard_until is None:
            return []
        interval = timedelta(seconds=due.interval_s)
        return workload.lost_starts(self.book, due.facility_id, interval, min(heard_until, due.as_of))

    def release(self, event_ids: Iterable[str]) -> None:
        """Lets go of events that are no longer in use."""
        for event_id in event_ids:
            self.held.release(event_id)

    def forget_past(self) -> None:
        """Drops the inputs older than every facility's newest decision, so that the committed offsets go on."""
        horizons = []
        for facility_id in self.market.facilities:
            progress, clock = self.progress.get(facility_id), self.market.clock(facility_id)
            if progress is not None:
                horizons.append(progress.as_of)
            elif clock is not None:
                horizons.append(clock - PATIENCE)
        newest = self.market.tick_series(BTC).newest
        if not horizons and newest is not None:
            horizons.append(newest.observed_at - PATIENCE)  # no facility yet: the markets go on all the same
        if horizons:
            self.release(self.market.forget_before(min(horizons)))

    def _cancel_overtaken(self) -> None:
        for name, solving in self.solving.items():
            due = trigger.next_due(self.market, name, self.progress.get(name), self.dispatch)
            if due == solving.due and self.snapshot(due) == solving.taken:
                continue
            if not solving.is_overtaken:
                metric.SOLVES_OVERTAKEN.labels(name).inc()
            solving.is_overtaken = True
            solving.task.cancel()

    def snapshot(self, due: Due) -> AllocationSnapshot | MissingInputs:
        """The snapshot of a decision as the log has it now."""
        standing = self.standing.get(due.facility_id)
        return snapshot.take(self.market, self.book, standing, due, self.economics, ahead=self.ahead, risk=self.risk)
