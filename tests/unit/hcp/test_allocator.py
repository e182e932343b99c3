"""The memory of one batch is there for the next."""

import resource

import pytest

from hcp import allocator

_PART_BYTES = 24 * 2**20


def faults_of_a_batch() -> int:
    """Pages that the system had to give for three large pieces."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    parts = [b"x" * _PART_BYTES for _ in range(3)]
    assert len(parts) == 3
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_the_second_batch_takes_no_new_pages() -> None:
    if not allocator.keep_memory():
        pytest.skip("the C library is not glibc")
    first = faults_of_a_batch()
    assert faults_of_a_batch() <= first / 10 + 100
