"""When a facility's next decision is due, and what causes it: a pure function of the inputs and of what was decided.

Each interval is decided by the first real-time price published in it, or, where none comes within `price_wait`, by the
first BTC tick after that: what runs is dispatched at once within the plan made last, then the hours ahead are planned
anew, as of the same time. A further tick or price within the interval is dispatched, and nothing is said where that
changes no set-point. A grid signal changes what is feasible. It is dispatched at once, and always answered; the hours
ahead are planned anew when no other signal has come for `signal_settle`, or with the next interval. After a stop the
same rule finds the same decisions for the intervals missed, in order, each as of its own cause. Whole intervals without
any price or tick get none. A facility's first decision is a plan.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from schemas.events import AllocationDecision, DecisionMethod, GridPrice, GridSignal, MarketTick
from streams.domain import identity
from streams.domain.evaluation import interval_start
from streams.domain.market_state import BTC, GPU_HOUR, MarketState
from streams.domain.series import Series


@dataclass(frozen=True, slots=True)
class DispatchPolicy:
    """`interval_s`: length of an interval. In event time: `price_wait`, for the interval's own price; `signal_settle`,
    from a grid signal to the plan that regards it.
    """

    interval_s: int = 300
    price_wait: timedelta = timedelta(seconds=30)
    signal_settle: timedelta = timedelta(seconds=5)


class Trigger(Enum):
    """What makes a decision due; of those due at the same time, the first here is taken first."""

    SIGNAL = auto()
    INTERVAL = auto()
    PLAN = auto()
    SETTLED = auto()
    TICK = auto()


@dataclass(frozen=True, slots=True)
class Due:
    """A decision to take: `as_of` is the event time up to which inputs count."""

    decision_id: str
    facility_id: str
    interval_start: datetime
    interval_s: int
    as_of: datetime
    cause_event_id: str
    cause: str
    trigger: Trigger

    @property
    def is_plan(self) -> bool:
        """Whether the hours ahead are planned, not the interval alone decided."""
        return self.trigger in {Trigger.PLAN, Trigger.SETTLED}

    @property
    def takes_waiting(self) -> bool:
        """Whether workloads that wait are placed. Not before an interval's plan, which may keep the GPUs for others."""
        return self.trigger is not Trigger.INTERVAL

    @property
    def is_always_said(self) -> bool:
        """Whether it is a decision even where it changes no set-point."""
        return self.trigger is not Trigger.TICK

    @property
    def interval_end(self) -> datetime:
        """End of the interval, exclusive."""
        return self.interval_start + timedelta(seconds=self.interval_s)


@dataclass(frozen=True, slots=True)
class Progress:
    """What has been decided: newest interval with its plan where that is still to make, newest event time, what was
    answered between intervals since `since`, and which of it the newest plan regards.
    """

    interval: datetime
    as_of: datetime
    since: datetime
    unplanned: Due | None = None
    answered: frozenset[str] = frozenset()
    planned: frozenset[str] = frozenset()


def next_due(state: MarketState, facility_id: str, progress: Progress | None, policy: DispatchPolicy) -> Due | None:
    """Returns the next decision to take, None where there is none yet. Call again after each."""
    if progress is None:
        complete = state.first_complete(facility_id)
        if complete is None:
            return None
        cause = f"first complete inputs: {complete.name} came"
        return _plan_of(_regular(facility_id, complete.at, complete.event_id, cause, policy))
    regular = _next_regular(state, facility_id, progress, policy)
    candidates = [due for due in (regular, progress.unplanned) if due is not None]
    signals = [
        s for s in state.signals.get(facility_id, Series()).since(progress.since) if s.observed_at > progress.since
    ]
    candidates.extend(_by_signal(s, progress, policy) for s in signals if s.event_id not in progress.answered)
    unplanned = progress.answered - progress.planned
    candidates.extend(_settled([s for s in signals if s.event_id in unplanned], state, progress, policy))
    candidates.extend(_by_ticks(state, facility_id, progress, policy))
    due = min(candidates, key=lambda d: (d.as_of, d.trigger.value, d.interval_start, d.decision_id), default=None)
    # A late input must not take the facility back in time: it is decided as of now.
    return due and replace(due, as_of=max(due.as_of, progress.as_of))


def advanced(progress: Progress | None, due: Due) -> Progress:
    """Returns the progress after a decision was taken (or given up for want of inputs)."""
    if progress is None:
        return Progress(due.interval_start, due.as_of, due.as_of)
    match due.trigger:
        case Trigger.INTERVAL:
            interval = max(progress.interval, due.interval_start)
            return replace(progress, interval=interval, as_of=due.as_of, unplanned=_plan_of(due))
        case Trigger.PLAN | Trigger.SETTLED:
            return replace(progress, as_of=due.as_of, planned=progress.answered, unplanned=None)
        case Trigger.SIGNAL:
            return replace(progress, as_of=due.as_of, answered=progress.answered | {due.cause_event_id})
        case Trigger.TICK:
            return replace(progress, as_of=due.as_of)


def recovered(decisions: list[AllocationDecision]) -> Progress | None:
    """Returns the progress that a facility's newest decisions prove, in log order; None without any."""
    if not decisions:
        return None
    progress = advanced(None, _due_of(decisions[0]))
    answered: list[str] = []  # of ticks too: nobody asks for those
    planned = 0
    for due in map(_due_of, decisions[1:]):
        if due.trigger is Trigger.SIGNAL:
            answered.append(due.cause_event_id)
            progress = replace(progress, as_of=due.as_of)
        else:
            progress = advanced(progress, due)
            planned = len(answered) if due.is_plan else planned
    return replace(progress, answered=frozenset(answered), planned=frozenset(answered[:planned]))


def regular_decision_id(facility_id: str, start: datetime) -> str:
    """Id of a facility's decision for an interval: there is one, whatever caused it."""
    return identity.decision_id(facility_id, start.isoformat())


def _due_of(decision: AllocationDecision) -> Due:
    """What a decision answered."""
    name, start = decision.facility_id, decision.interval_start
    is_plan = decision.method is DecisionMethod.PLAN
    if decision.decision_id == identity.planned_decision_id(name, start.isoformat()):
        cause = Trigger.PLAN
    elif decision.decision_id == regular_decision_id(name, start):
        cause = Trigger.INTERVAL
    else:
        cause = Trigger.SETTLED if is_plan else Trigger.SIGNAL
    return Due(
        decision.decision_id, name, start, decision.interval_s, decision.decided_at, decision.cause_event_id,
        decision.cause, cause,
    )  # fmt: skip


def _next_regular(state: MarketState, facility_id: str, progress: Progress, policy: DispatchPolicy) -> Due | None:
    start = progress.interval + timedelta(seconds=policy.interval_s)
    found: list[tuple[datetime, int, Due]] = []
    for price in state.price_series(facility_id).since(start)[:1]:
        cause = f"price of {price.price_usd_mwh:.2f} USD/MWh at {price.settlement_point}"
        due = _regular(facility_id, price.observed_at, price.event_id, cause, policy)
        found.append((due.interval_start, 0, due))
    for tick in state.tick_series(BTC).since(start):
        due = _regular(facility_id, tick.observed_at, tick.event_id, "", policy)
        if tick.observed_at - due.interval_start >= policy.price_wait:
            cause = f"{BTC} at {tick.price_usd:.2f} USD; no new grid price for {policy.price_wait.seconds} s"
            found.append((due.interval_start, 1, replace(due, cause=cause)))
            break
    return min(found, key=lambda entry: entry[:2])[2] if found else None


def _regular(facility_id: str, at: datetime, event_id: str, cause: str, policy: DispatchPolicy) -> Due:
    start = interval_start(at, policy.interval_s)
    decision = regular_decision_id(facility_id, start)
    return Due(decision, facility_id, start, policy.interval_s, at, event_id, cause, Trigger.INTERVAL)


def _plan_of(regular: Due) -> Due:
    """The plan that begins with an interval, from the interval's decision."""
    decision = identity.planned_decision_id(regular.facility_id, regular.interval_start.isoformat())
    return replace(regular, decision_id=decision, trigger=Trigger.PLAN)


def _by_signal(signal: GridSignal, progress: Progress, policy: DispatchPolicy) -> Due:
    decision = identity.decision_id(signal.facility_id, signal.event_id)
    return _of_signal(signal, max(signal.observed_at, progress.as_of), decision, Trigger.SIGNAL, policy)


def _settled(
    signals: Iterable[GridSignal], state: MarketState, progress: Progress, policy: DispatchPolicy
) -> Iterable[Due]:
    """The plan after the first of these signals that no other follows for a while, where stream time is that far.

    None where the next interval has begun by then: its plan will do.
    """
    last: GridSignal | None = None
    for signal in signals:
        if last is not None and signal.observed_at > last.observed_at + policy.signal_settle:
            break
        last = signal
    if last is None:
        return
    clock, settled_at = state.clock(last.facility_id), last.observed_at + policy.signal_settle
    at = max(settled_at, progress.as_of)
    if clock is not None and clock >= settled_at and at < progress.interval + timedelta(seconds=policy.interval_s):
        decision = identity.settled_decision_id(last.facility_id, last.event_id)
        yield _of_signal(last, at, decision, Trigger.SETTLED, policy)


def _of_signal(signal: GridSignal, at: datetime, decision: str, cause: Trigger, policy: DispatchPolicy) -> Due:
    kind = signal.kind.replace("_", " ").lower()
    text = f"{kind} {signal.signal_id} {signal.status.lower()}: limit {signal.limit_mw:.3f} MW"
    start = interval_start(at, policy.interval_s)
    return Due(decision, signal.facility_id, start, policy.interval_s, at, signal.event_id, text, cause)


def _by_ticks(state: MarketState, facility_id: str, progress: Progress, policy: DispatchPolicy) -> Iterable[Due]:
    # Of each series the first one that no decision has seen yet, where the plan of its interval is made.
    series: tuple[Series[MarketTick] | Series[GridPrice], ...] = (
        state.tick_series(BTC),
        state.tick_series(GPU_HOUR),
        state.price_series(facility_id),
    )
    end = progress.interval + timedelta(seconds=policy.interval_s)
    for events in series:
        event = events.after(progress.as_of)
        if event is not None and event.observed_at < end:
            decision = identity.decision_id(facility_id, event.event_id)
            cause = (
                f"price of {event.price_usd_mwh:.2f} USD/MWh at {event.settlement_point}"
                if isinstance(event, GridPrice)
                else f"{event.instrument} at {event.price_usd:.2f} USD"
            )
            start = interval_start(event.observed_at, policy.interval_s)
            yield Due(
                decision, facility_id, start, policy.interval_s, event.observed_at, event.event_id, cause, Trigger.TICK
            )
