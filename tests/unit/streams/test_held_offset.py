"""Which offset may be committed while events are in use."""

from hypothesis import given
from hypothesis import strategies as st

from streams.agents.held_offset import HeldOffsets, Place

TICKS = Place("market.ticks", 0)


def test_oldest_event_in_use_is_where_a_successor_reads_from() -> None:
    held = HeldOffsets()
    for offset in range(5):
        held.read(TICKS, offset)
    held.hold(TICKS, 1, "b")
    held.hold(TICKS, 3, "d")
    assert held.committable() == {TICKS: 1}
    held.release("b")
    assert held.committable() == {TICKS: 3}
    held.release("d")
    assert held.committable() == {TICKS: 5}


def test_event_that_comes_again_stays_held_where_it_first_was() -> None:
    held = HeldOffsets()
    for offset in range(3):
        held.read(TICKS, offset)
    held.hold(TICKS, 0, "a")
    held.hold(TICKS, 2, "a")
    assert held.committable() == {TICKS: 0}
    held.release("a")
    assert held.committable() == {TICKS: 3}


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), unique_by=lambda entry: entry[0]))
def test_nothing_in_use_is_ever_behind_the_committable_offset(events: list[tuple[int, bool]]) -> None:
    held = HeldOffsets()
    for offset, is_held in sorted(events):
        held.read(TICKS, offset)
        if is_held:
            held.hold(TICKS, offset, str(offset))
    in_use = [offset for offset, is_held in events if is_held]
    assert all(held.committable()[TICKS] <= offset for offset in in_use)
