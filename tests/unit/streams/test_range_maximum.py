"""The greatest value in ranges, against looking at each of them."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.range_maximum import NONE, greatest

RANGES = st.lists(st.integers(-100, 100), min_size=1, max_size=40).flatmap(
    lambda values: st.tuples(
        st.just(values),
        st.lists(st.tuples(st.integers(0, len(values)), st.integers(0, len(values))), min_size=1, max_size=20),
    )
)


@given(RANGES)
def test_greatest_of_each_range_is_that_of_its_values(case: tuple[list[int], list[tuple[int, int]]]) -> None:
    values, ranges = case
    start, end = (np.array(ends) for ends in zip(*ranges, strict=True))
    expected = [max(values[a:b], default=NONE) for a, b in ranges]
    assert greatest(np.array(values), start, np.maximum(end, start)).tolist() == expected
