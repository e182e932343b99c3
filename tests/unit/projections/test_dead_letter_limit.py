"""When a worker stops for too many bad events."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.dead_letter_limit import DeadLetterLimit
from projections.error import TooManyDeadError

WINDOW = 100
ratios = st.floats(0.01, 0.99)
sizes = st.integers(1, 3 * WINDOW)
shares = st.floats(0, 1)
# Bad events of a batch are known before it is written (the first number) or found one by one by the store (the second).
batches = st.lists(st.tuples(sizes, shares, shares), max_size=60)


def observe(limit: DeadLetterLimit, events: int, before: int, by_store: int) -> None:
    limit.observe(events, before, "first")
    for _ in range(by_store):
        limit.observe(0, 1, "second")


def observe_a_window(limit: DeadLetterLimit, size: int, before: int, by_store: int) -> None:
    """Batches of one kind until whatever came before them is out of the window."""
    for _ in range(-(-WINDOW // size)):
        observe(limit, size, before, by_store)


@given(ratios, batches)
def test_it_never_stops_while_no_batch_has_more_bad_events_than_the_ratio(
    ratio: float, taken: list[tuple[int, float, float]]
) -> None:
    limit = DeadLetterLimit(ratio, WINDOW)
    for events, share, known in taken:
        dead = int(ratio * share * events)
        observe(limit, events, int(known * dead), dead - int(known * dead))


@given(ratios, batches, sizes, shares)
def test_it_always_stops_once_a_window_of_events_is_worse_than_the_ratio(
    ratio: float, taken: list[tuple[int, float, float]], size: int, known: float
) -> None:
    limit = DeadLetterLimit(ratio, WINDOW)
    for events, share, _ in taken:
        limit.observe(events, int(ratio * share * events), "")
    worse = min(size, int(ratio * size) + 1)
    with pytest.raises(TooManyDeadError):
        observe_a_window(limit, size, int(known * worse), worse - int(known * worse))


@given(batches)
def test_a_ratio_of_one_never_stops(taken: list[tuple[int, float, float]]) -> None:
    limit = DeadLetterLimit(1.0, WINDOW)
    for events, _, _ in taken:
        observe(limit, events, events, events)


def test_a_few_bad_events_at_the_start_do_not_stop() -> None:
    limit = DeadLetterLimit(0.5, window=1_000)
    limit.observe(1, 1, "")
    limit.observe(499, 499, "")
    with pytest.raises(TooManyDeadError):
        limit.observe(1, 1, "")  # 501 of 1,000 are too many, even if the next 499 were all good


def test_bad_events_that_left_the_window_are_forgotten() -> None:
    limit = DeadLetterLimit(0.5, window=100)
    for _ in range(1_000):
        limit.observe(50, 50, "")  # half of 100
        limit.observe(50, 0, "")


def test_the_message_names_the_numbers_the_setting_and_the_newest_reason() -> None:
    with pytest.raises(TooManyDeadError) as raised:
        DeadLetterLimit(0.25, window=10).observe(20, 6, "price_usd: must be finite")
    assert str(raised.value) == (
        "6 of the last 20 events are bad, more than HCP_DEAD_LETTER_LIMIT=0.25 allows; the newest: price_usd: must be "
        "finite. Nothing of them is lost: mend the cause, then start the worker again, or set them all aside with "
        "HCP_DEAD_LETTER_LIMIT=1"
    )
