"""A batch of messages sets off no search for cycles, and cycles are still found."""

import gc
from collections.abc import Iterator

import pytest

from hcp import collector


@pytest.fixture
def relaxed() -> Iterator[None]:
    before = gc.get_threshold()
    gc.collect()
    collector.relax()
    yield
    gc.set_threshold(*before)


@pytest.mark.usefixtures("relaxed")
def test_a_batch_sets_off_no_search_and_cycles_are_still_found() -> None:
    searches: list[str] = []

    def note(phase: str, _info: dict[str, int]) -> None:
        searches.append(phase)

    gc.callbacks.append(note)
    try:
        batch = [[number] for number in range(380_000)]
        assert searches == []
        batch += [[number] for number in range(150_000)]
        assert searches
    finally:
        gc.callbacks.remove(note)
