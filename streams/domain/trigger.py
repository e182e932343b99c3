"""When a facility's next decision is due, and what causes it: a pure function of the inputs and of what was decided.

Each dispatch interval gets one plan: its cause is the first real-time price published in it, or, where none comes
within `price_wait`, the first BTC tick after that. A grid signal changes what is feasible: it gets one at once. A tick
or price within an interval that is planned already is dispatched: the interval alone is decided again within the plan,
and nothing is said where that changes no set-point. After a stop the same rule finds the same decisions for the
intervals missed, in order, each as of its own cause. Whole intervals without any price or tick get none.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import Enum, auto

from schemas.events import AllocationDecision, GridPrice, GridSignal, MarketTick
from streams.domain import identity
from streams.domain.evaluation import interval_start
from streams.domain.market_state import BTC, GPU_HOUR, MarketState
from streams.domain.series import Series


@dataclass(frozen=True, slots=True)
class DispatchPolicy:
    """`interval_s`: length of an interval; `price_wait`: event time to wait for the interval's own price."""

    interval_s: int = 300
    price_wait: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class Progress:
    """What has been decided: newest regular interval, newest event time, signals answered since `since`."""

    interval: datetime
    as_of: datetime
    since: datetime
    signals: frozenset[str] = frozenset()


class Trigger(Enum):
    """What kind of event makes a decision due."""

    INTERVAL = auto()
    SIGNAL = auto()
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
        return self.trigger is not Trigger.TICK

    @property
    def interval_end(self) -> datetime:
        """End of the interval, exclusive."""
        return self.interval_start + timedelta(seconds=self.interval_s)


def next_due(state: MarketState, facility_id: str, progress: Progress | None, policy: DispatchPolicy) -> Due | None:
    """Returns the next decision to take, None where there is none yet. Call again after each."""
    if progress is None:
        complete = state.first_complete(facility_id)
        if complete is None:
            return None
        cause = f"first complete inputs: {complete.name} came"
        return _regular(facility_id, complete.at, complete.event_id, cause, policy)
    candidates = [due for due in (_next_regular(state, facility_id, progress, policy),) if due is not None]
    candidates.extend(
        _by_signal(signal, progress, policy)
        for signal in state.signals.get(facility_id, Series()).since(progress.since)
        if signal.observed_at > progress.since and signal.event_id not in progress.signals
    )
    candidates.extend(_by_ticks(state, facility_id, progress, policy))
    due = min(candidates, key=lambda d: (d.as_of, not d.is_plan, d.interval_start, d.decision_id), default=None)
    # A late input must not take the facility back in time: it is decided as of now.
    return due and replace(due, as_of=max(due.as_of, progress.as_of))


def advanced(progress: Progress | None, due: Due) -> Progress:
    """Returns the progress after a decision was taken (or given up for want of inputs)."""
    if progress is None:
        return Progress(due.interval_start, due.as_of, due.as_of)
    match due.trigger:
        case Trigger.INTERVAL:
            return replace(progress, interval=max(progress.interval, due.interval_start), as_of=due.as_of)
        case Trigger.SIGNAL:
            return replace(progress, as_of=due.as_of, signals=progress.signals | {due.cause_event_id})
        case Trigger.TICK:
            return replace(progress, as_of=due.as_of)


def recovered(decisions: list[AllocationDecision]) -> Progress | None:
    """Returns the progress that a facility's newest decisions prove, in log order; None without any."""
    if not decisions:
        return None
    regular = [d for d in decisions if d.decision_id == regular_decision_id(d.facility_id, d.interval_start)]
    others = frozenset(d.cause_event_id for d in decisions if d not in regular)
    return Progress(
        interval=max((d.interval_start for d in regular), default=decisions[0].interval_start),
        as_of=max(d.decided_at for d in decisions),
        since=min(d.decided_at for d in decisions),
        signals=others,
    )


def regular_decision_id(facility_id: str, start: datetime) -> str:
    """Id of a facility's decision for an interval: there is one, whatever caused it."""
    return identity.decision_id(facility_id, start.isoformat())


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


def _by_signal(signal: GridSignal, progress: Progress, policy: DispatchPolicy) -> Due:
    at = max(signal.observed_at, progress.as_of)
    kind = signal.kind.replace("_", " ").lower()
    cause = f"{kind} {signal.signal_id} {signal.status.lower()}: limit {signal.limit_mw:.3f} MW"
    decision = identity.decision_id(signal.facility_id, signal.event_id)
    start = interval_start(at, policy.interval_s)
    return Due(decision, signal.facility_id, start, policy.interval_s, at, signal.event_id, cause, Trigger.SIGNAL)


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
