"""The size of batches climbs to what the store takes best, within the memory."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.batch_size import BatchPolicy, BatchSize
from projections.pipeline import TOGETHER

MIB = 2**20


def settled(seconds: Callable[[int], float], memory_mib: int = 1024, batches: int = 200) -> list[int]:
    """The sizes of the last 50 of many full batches that take so long."""
    size = BatchSize(BatchPolicy(memory_mib * MIB))
    seen = []
    for _ in range(batches):
        seen.append(size.current)
        size.observe(size.current, seconds(size.current))
    return seen[-50:]


def test_where_each_transaction_costs_much_batches_grow_to_the_bound() -> None:
    # 100 ms a transaction and 1 us a message: the larger the better, up to what fits in memory: 64 MiB / 9 / 1,000 B.
    sizes = settled(lambda n: 0.1 + n * 1e-6, memory_mib=64)
    assert max(sizes) == 64 * MIB // 9 // 1_000
    assert min(sizes) > 64 * MIB // 9 // 1_000 / 4


def test_where_large_batches_get_slow_the_size_stays_near_the_best() -> None:
    # Rate n / (0.02 + n/1e6 + (n/5e4)**3) has its maximum where 0.02 = 2 (n/5e4)**3, at n = 10,772.
    sizes = settled(lambda n: 0.02 + n * 1e-6 + (n / 5e4) ** 3)
    assert 10_772 / 4 < sorted(sizes)[len(sizes) // 2] < 10_772 * 4


def test_a_batch_that_was_not_full_teaches_nothing() -> None:
    size = BatchSize(BatchPolicy(1024 * MIB))
    before = size.current
    size.observe(before - 1, 0.001)
    size.observe(10, 10.0)
    assert size.current == before


def test_larger_messages_make_smaller_batches_at_once() -> None:
    size = BatchSize(BatchPolicy(64 * MIB))
    size.bound(100_000)
    # 64 MiB / 9 / (1,000 + 5 * 100,000) is 14, less than the smallest batch.
    assert size.current == 150


@given(st.lists(st.tuples(st.integers(0, 10**6), st.floats(0, 100), st.floats(0, 10**6)), max_size=60))
def test_the_size_never_leaves_its_bounds(observed: list[tuple[int, float, float]]) -> None:
    policy = BatchPolicy(100 * MIB)
    size = BatchSize(policy)
    for messages, seconds, payload in observed:
        size.observe(messages, seconds)
        size.bound(payload)
        assert policy.smallest <= size.current <= max(policy.smallest, policy.largest(payload))


@pytest.mark.parametrize("payload", [0.0, 97.0, 1000.0])
def test_nine_batches_of_the_largest_size_fit_into_the_memory(payload: float) -> None:
    policy = BatchPolicy(256 * MIB)
    assert 9 * policy.largest(payload) * (1000 + 5 * payload) <= 256 * MIB


@pytest.mark.parametrize("payload", [0.0, 97.0, 1000.0])
def test_where_rows_are_reduced_more_batches_fit_into_the_memory(payload: float) -> None:
    policy = BatchPolicy(256 * MIB, TOGETHER)
    largest = policy.largest(payload)
    assert largest * (3 * (1000 + 5 * payload) + 24 * (150 + 2 * payload)) <= 256 * MIB
    assert 16 * largest > 9 * BatchPolicy(256 * MIB).largest(payload)
    # As large at once: each transaction takes ten of them, so their own size is not what it costs.
    size = BatchSize(policy)
    assert size.current == 12_000
    size.bound(payload)
    size.observe(10 * largest, 1.0)
    assert size.current == largest


def test_much_the_same_rate_leaves_the_size_alone_for_a_while() -> None:
    size = BatchSize(BatchPolicy(1024 * MIB))
    seen = []
    for number in range(4 * 6):
        seen.append(size.current)
        # The first rate makes the size grow once; those after it differ by 1 %, which is noise.
        size.observe(size.current, size.current / (1e6 * (1 + 0.01 * (number // 4 % 2))))
    assert seen == [12_000] * 4 + [18_000] * 20
