"""When decisions are due, and by what."""

from streams.domain import trigger
from streams.domain.market_state import MarketState
from streams.domain.trigger import DispatchPolicy, Due, Progress, Trigger
from tests import streams_event as a
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
        # The tick at 310 s belongs to an interval that has no plan yet: its plan sees it.
        (a.at(330), Trigger.INTERVAL, a.at(300)),
    ]
    assert due[1].cause == "BTC-USD at 100000.00 USD"


def test_nothing_is_due_before_all_inputs_came() -> None:
    state = MarketState()
    for event in (a.facility(), a.miners(), a.tick(), a.price(), a.price(300)):
        state.add(event)
    assert all_due(state) == []


def test_first_decision_falls_where_the_inputs_are_complete() -> None:
    (due,) = plans(known(a.tick(20)))
    assert (due.interval_start, due.as_of, due.trigger) == (a.at(0), a.at(0), Trigger.INTERVAL)


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


def test_decision_id_of_an_interval_does_not_depend_on_its_cause() -> None:
    by_price = all_due(known(a.price(310)))[1]
    by_tick = all_due(known(a.tick(330)))[1]
    assert by_price.decision_id == by_tick.decision_id


def test_signal_is_decided_at_once_between_intervals() -> None:
    due = all_due(known(a.signal(100), a.price(300)))
    assert [(d.as_of, d.trigger, d.interval_start) for d in due[1:]] == [
        (a.at(100), Trigger.SIGNAL, a.at(0)),
        (a.at(300), Trigger.INTERVAL, a.at(300)),
    ]


def test_signal_that_comes_late_is_decided_as_of_now() -> None:
    state = known(a.price(300))
    first, second = all_due(state)
    progress = trigger.advanced(trigger.advanced(None, first), second)
    state.add(a.signal(290))
    (due,) = all_due(state, progress)
    assert (due.as_of, due.cause_event_id) == (a.at(300), a.signal(290).event_id)


def test_missed_intervals_are_decided_in_order_as_of_their_time() -> None:
    late = known(*(a.price(n) for n in (900, 300, 600)))
    assert [d.as_of for d in all_due(late)] == [a.at(0), a.at(300), a.at(600), a.at(900)]


def test_interval_without_any_event_is_passed_over() -> None:
    assert [d.interval_start for d in all_due(known(a.price(3000)))] == [a.at(0), a.at(3000)]
