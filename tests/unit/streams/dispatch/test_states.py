"""Which states of a dynamic program can't be the best."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.dispatch.states import undominated

STATE = st.tuples(st.integers(0, 5), st.integers(-5, 5), st.integers(0, 2), st.integers(0, 1))


@given(st.lists(STATE, max_size=20), st.integers(0, 2))
def test_state_is_kept_where_no_other_with_the_same_keys_draws_no_more_and_is_worth_as_much(
    states: list[tuple[int, int, int, int]], keys: int
) -> None:
    rows = np.array(states, np.int64).reshape(-1, 4).T
    kept = [states[n] for n in undominated(rows[:2], list(rows[2 : 2 + keys])).tolist()]
    told_apart = {(watts, worth, *held[:keys]) for watts, worth, *held in states}
    best = {
        state
        for state in told_apart
        if not any(
            other != state and other[2:] == state[2:] and other[0] <= state[0] and other[1] >= state[1]
            for other in told_apart
        )
    }
    assert sorted((watts, worth, *held[:keys]) for watts, worth, *held in kept) == sorted(best)
