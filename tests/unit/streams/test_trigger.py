"""When decisions are due, and by what."""

from dataclasses import replace
from datetime import datetime

import pytest

from schemas.events import DecisionMethod
from streams.domain import trigger
from streams.domain.allocation import solve
from streams.domain.market_state import MarketState
from streams.domain.trigger import DispatchPolicy, Due, Progress, Trigger
from tests import streams_event as a
from tests.unit.streams.allocation_case import asic, snapshot
from tests.unit.streams.test_market_state import known

POLICY = DispatchPolicy()


def all_due(state: MarketState, progress: Progress | None = None) -> list[Due]:
    """Every decision that is due, in order, as if each had been taken."""
    found = []
    while (due := trigger.next_due(state, "Texas-1", progress, POLICY)) is not None:
        found.append(due)
        progress = trigger.advanced(progress, due)
    return found


def plans(state: MarketState) -> list[Due]:
    """The plans among them."""
    return [due for due in all_due(state) if due.is_plan]


def test_tick_within_a_planned_interval_is_dispatched_once() -> None:
    due = all_due(known(a.tick(20), a.gpu_tick(40), a.price(60), a.tick(310), a.price(330)))
    assert [(d.as_of, d.trigger, d.interval_start) for d in due[1:]] == [
        (a.at(20), Trigger.TICK, a.at(0)),
        (a.at(40), Trigger.TICK, a.at(0)),
        (a.at(60), Trigger.TICK, a.at(0)),
        # The tick at 310 s belongs to an interval that is not decided yet: its decision sees it.
        (a.at(330), Trigger.INTERVAL, a.at(300)),
        (a.at(330), Trigger.PLAN, a.at(300)),
    ]
    assert due[1].cause == "BTC-USD at 100000.00 USD"


def test_nothing_is_due_before_all_inputs_came() -> None:
    state = MarketState()
    for event in (a.facility(), a.miners(), a.tick(), a.price(), a.price(300)):
        state.add(event)
    assert all_due(state) == []


def test_first_decision_falls_where_the_inputs_are_complete() -> None:
    (due,) = plans(known(a.tick(20)))
    assert (due.interval_start, due.as_of, due.trigger) == (a.at(0), a.at(0), Trigger.PLAN)


def test_each_interval_is_decided_once_by_its_first_price() -> None:
    due = plans(known(a.price(300), a.price(360), a.price(600)))
    assert [(d.interval_start, d.cause_event_id) for d in due[1:]] == [
        (a.at(300), a.price(300).event_id),
        (a.at(600), a.price(600).event_id),
    ]


def test_interval_without_a_price_is_decided_by_a_tick_after_the_wait() -> None:
    due = plans(known(a.tick(310), a.tick(330), a.tick(340)))
    assert [(d.interval_start, d.as_of) for d in due[1:]] == [(a.at(300), a.at(330))]
    assert due[1].cause == "BTC-USD at 100000.00 USD; no new grid price for 30 s"


def test_interval_is_dispatched_by_its_price_and_then_planned_as_of_the_same_time() -> None:
    _, dispatch, plan = all_due(known(a.price(300)))
    assert summary([dispatch, plan]) == [
        (a.at(300), Trigger.INTERVAL, a.at(300)),
        (a.at(300), Trigger.PLAN, a.at(300)),
    ]
    assert (dispatch.is_plan, plan.is_plan) == (False, True)
    assert (dispatch.cause_event_id, dispatch.cause) == (plan.cause_event_id, plan.cause)
    assert dispatch.decision_id != plan.decision_id


def test_decision_ids_of_an_interval_do_not_depend_on_its_cause() -> None:
    by_price = all_due(known(a.price(310)))
    by_tick = all_due(known(a.tick(330)))
    assert [due.decision_id for due in by_price[1:]] == [due.decision_id for due in by_tick[1:]]


def summary(due: list[Due]) -> list[tuple[datetime, Trigger, datetime]]:
    """When, by what, and for which interval each is due."""
    return [(d.as_of, d.trigger, d.interval_start) for d in due]


def test_signal_is_dispatched_at_once_and_planned_for_when_it_has_settled() -> None:
    due = all_due(known(a.signal(100), a.tick(105), a.price(300)))
    assert summary(due[1:]) == [
        (a.at(100), Trigger.SIGNAL, a.at(0)),
        (a.at(105), Trigger.SETTLED, a.at(0)),
        (a.at(300), Trigger.INTERVAL, a.at(300)),
        (a.at(300), Trigger.PLAN, a.at(300)),
    ]
    assert {d.cause_event_id for d in due[1:3]} == {a.signal(100).event_id}
    assert due[1].decision_id != due[2].decision_id
    assert [d.is_plan for d in due[1:]] == [False, True, False, True]


def test_signals_are_planned_for_once_where_they_follow_each_other() -> None:
    due = all_due(known(a.signal(100), a.signal(104), a.signal(112), a.price(300)))
    assert summary(due[1:-2]) == [
        (a.at(100), Trigger.SIGNAL, a.at(0)),
        (a.at(104), Trigger.SIGNAL, a.at(0)),
        (a.at(109), Trigger.SETTLED, a.at(0)),
        (a.at(112), Trigger.SIGNAL, a.at(0)),
        (a.at(117), Trigger.SETTLED, a.at(0)),
    ]


def test_signal_has_not_settled_before_event_time_has_passed() -> None:
    due = all_due(known(a.signal(100), a.tick(104)))
    assert [d.trigger for d in due[1:]] == [Trigger.SIGNAL, Trigger.TICK]


def test_signal_just_before_an_interval_is_planned_for_with_it_however_late_its_price_comes() -> None:
    state = known(a.signal(298), a.tick(310))
    first, signal = all_due(state)
    assert (signal.as_of, signal.trigger) == (a.at(298), Trigger.SIGNAL)
    progress = trigger.advanced(trigger.advanced(None, first), signal)
    state.add(a.price(300))
    assert summary(all_due(state, progress)) == [
        (a.at(300), Trigger.INTERVAL, a.at(300)),
        (a.at(300), Trigger.PLAN, a.at(300)),
        (a.at(310), Trigger.TICK, a.at(300)),
    ]


def test_signal_at_the_time_of_a_plan_is_answered_first() -> None:
    due = all_due(known(a.signal(300), a.price(300)))
    assert [d.trigger for d in due[1:]] == [Trigger.SIGNAL, Trigger.INTERVAL, Trigger.PLAN]


@pytest.mark.parametrize("taken", range(1, 11))
def test_progress_that_decisions_prove_leads_to_the_same_decisions(taken: int) -> None:
    state = known(a.signal(100), a.tick(107), a.price(300), a.signal(400), a.tick(403), a.tick(410), a.price(600))
    due = all_due(state)
    decided = [
        replace(
            solve(snapshot(asic())),
            facility_id="Texas-1",
            decision_id=d.decision_id,
            interval_start=d.interval_start,
            decided_at=d.as_of,
            cause_event_id=d.cause_event_id,
            cause=d.cause,
            method=DecisionMethod.PLAN if d.is_plan else DecisionMethod.DISPATCH,
        )
        for d in due[:taken]
    ]
    assert all_due(state, trigger.recovered(decided)) == due[taken:]


def test_signal_that_comes_late_is_decided_as_of_now() -> None:
    state = known(a.price(300))
    progress = None
    for due in all_due(state):
        progress = trigger.advanced(progress, due)
    state.add(a.signal(290))
    late = all_due(state, progress)
    assert [(d.as_of, d.trigger) for d in late] == [(a.at(300), Trigger.SIGNAL), (a.at(300), Trigger.SETTLED)]
    assert {d.cause_event_id for d in late} == {a.signal(290).event_id}


def test_signal_that_comes_before_a_plan_is_made_is_answered_first_and_in_the_plan() -> None:
    state = known(a.price(300))
    first, dispatch, _ = all_due(state)
    progress = trigger.advanced(trigger.advanced(None, first), dispatch)
    state.add(a.signal(290))
    assert [(d.as_of, d.trigger) for d in all_due(state, progress)] == [
        (a.at(300), Trigger.SIGNAL),
        (a.at(300), Trigger.PLAN),
    ]


def test_missed_intervals_are_decided_in_order_as_of_their_time() -> None:
    late = known(*(a.price(n) for n in (900, 300, 600)))
    assert [d.as_of for d in plans(late)] == [a.at(0), a.at(300), a.at(600), a.at(900)]


def test_interval_without_any_event_is_passed_over() -> None:
    assert [d.interval_start for d in plans(known(a.price(3000)))] == [a.at(0), a.at(3000)]
