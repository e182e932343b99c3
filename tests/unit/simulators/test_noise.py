"""Randomness as a function of (seed, stream, index)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.noise import MeanReverting, Noise


@given(first=st.integers(0, 10_000), count=st.integers(1, 3_000))
def test_a_range_of_normals_is_the_normals_one_by_one(first: int, count: int) -> None:
    noise = Noise(1, "stream")
    found = noise.normals(first, count)
    assert len(found) == count
    probes = {0, count // 2, count - 1}
    assert [found[i] for i in probes] == [Noise(1, "stream").normal(first + i) for i in probes]


@pytest.mark.parametrize("other", [Noise(2, "stream"), Noise(1, "other")])
def test_another_seed_or_stream_gives_other_numbers(other: Noise) -> None:
    assert not np.array_equal(Noise(1, "stream").normals(0, 8), other.normals(0, 8))


def test_the_value_of_a_path_does_not_depend_on_what_was_asked_before() -> None:
    steps = [5_000, 17, 1_024, 5_001, 0]
    one = MeanReverting(Noise(1, "path"), memory=20, sd=3.0)
    assert [one.at(step) for step in steps] == [
        MeanReverting(Noise(1, "path"), memory=20, sd=3.0).at(step) for step in steps
    ]


def test_a_path_goes_on_over_the_seam_of_two_stretches() -> None:
    # Stretches are 1,024 steps long here; a step of an sd of 3 with a memory of 100 moves by 3 * sqrt(2 / 100) = 0.4.
    path = MeanReverting(Noise(3, "path"), memory=100, sd=3.0)
    assert max(abs(path.at(1_024 * k) - path.at(1_024 * k - 1)) for k in range(1, 40)) < 6 * 0.43


def test_a_path_has_its_standard_deviation_and_memory() -> None:
    path = MeanReverting(Noise(4, "path"), memory=10, sd=3.0)
    values = np.array([path.at(step) for step in range(50_000)])
    assert values.std() == pytest.approx(3.0, rel=0.05)
    assert abs(values.mean()) < 0.3
    # Correlation over one memory is 1 / e.
    assert np.corrcoef(values[:-10], values[10:])[0, 1] == pytest.approx(np.exp(-1), abs=0.05)
