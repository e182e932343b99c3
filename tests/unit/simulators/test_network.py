"""The bitcoin network: arrivals, the rule of difficulty, fees; the same from wherever it is looked at."""

from itertools import groupby, pairwise

import numpy as np
import pytest

from schemas.events import NetworkStats
from simulators.network import EPOCH_BLOCKS, Network, next_difficulty
from simulators.timeline import DAY_MS, SECOND_MS, to_ms
from tests.simulators_world import START_MS

RECORDED_MS = 1_755_895_678 * SECOND_MS  # 2025-08-22T20:47:58Z


@pytest.fixture(scope="module")
def blocks() -> list[NetworkStats]:
    """Blocks of 60 days, of five epochs."""
    return list(Network(1).blocks(START_MS, START_MS + 60 * DAY_MS))


def test_heights_are_in_sequence_over_the_ends_of_epochs(blocks: list[NetworkStats]) -> None:
    heights = [block.block_height for block in blocks]
    assert heights == list(range(heights[0], heights[0] + len(heights)))
    times = [block.observed_at for block in blocks]
    assert times == sorted(times)
    assert {block.block_subsidy_btc for block in blocks} == {3.125}


def test_heights_are_counted_from_a_recorded_block() -> None:
    first = next(Network(5).blocks(RECORDED_MS, RECORDED_MS + DAY_MS))
    assert (first.block_height, to_ms(first.observed_at)) == (911_232, RECORDED_MS)
    # Blocks of 30 days before, so 4,320 with a standard deviation of 66.
    early = next(Network(5).blocks(RECORDED_MS - 30 * DAY_MS, RECORDED_MS))
    assert 911_232 - early.block_height == pytest.approx(4_320, abs=600)


def test_gaps_between_blocks_are_exponential(blocks: list[NetworkStats]) -> None:
    gaps = np.diff([block.observed_at.timestamp() for block in blocks])
    # An exponential's standard deviation is its mean, quantile p is -ln(1 - p) of it; the mean follows the hashrate.
    assert gaps.mean() == pytest.approx(600, rel=0.08)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert np.percentile(gaps / gaps.mean(), [25, 50, 75, 95]) == pytest.approx([0.288, 0.693, 1.386, 2.996], rel=0.06)


def test_each_epochs_difficulty_follows_from_the_times_of_the_one_before(blocks: list[NetworkStats]) -> None:
    epochs = [list(group) for _, group in groupby(blocks, lambda block: block.block_height // EPOCH_BLOCKS)]
    whole = [epoch for epoch in epochs if len(epoch) == EPOCH_BLOCKS]
    assert len(whole) >= 3
    for epoch, after in pairwise(epochs):
        assert {block.difficulty for block in epoch} == {epoch[0].difficulty}
        if len(epoch) == EPOCH_BLOCKS:
            took_s = (epoch[-1].observed_at - epoch[0].observed_at).total_seconds()
            assert after[0].difficulty == pytest.approx(next_difficulty(epoch[0].difficulty, took_s), rel=1e-6)


@pytest.mark.parametrize(
    ("weeks", "expected"),
    [(2, 100.0), (1, 200.0), (4, 50.0), (0.1, 400.0), (20, 25.0)],
    ids=["on time", "twice as fast", "half as fast", "at most four up", "at most four down"],
)
def test_difficulty_is_set_by_the_time_taken_within_a_factor_of_four(weeks: float, expected: float) -> None:
    assert next_difficulty(100.0, weeks * 7 * 86_400) == pytest.approx(expected)


def test_fees_are_as_the_recorded_ones_and_grow_with_the_gap(blocks: list[NetworkStats]) -> None:
    fees = np.array([block.block_fees_btc for block in blocks])
    # Recorded: 0.0030, 0.0090, 0.0173, 0.0290 and 0.0556 BTC at these percentiles; correlation with the gap 0.65.
    recorded = [0.0030, 0.0090, 0.0173, 0.0290, 0.0556]
    assert np.percentile(fees, [5, 25, 50, 75, 95]) == pytest.approx(recorded, rel=0.12)
    gaps = np.diff([block.observed_at.timestamp() for block in blocks])
    assert np.corrcoef(gaps, fees[1:])[0, 1] > 0.5


def test_network_hashrate_is_that_of_the_difficulty_at_ten_minute_blocks(blocks: list[NetworkStats]) -> None:
    # difficulty * 2^32 hashes a block, over 600 s.
    assert blocks[0].network_hashrate_ths == pytest.approx(blocks[0].difficulty * 2**32 / 600 / 1e12)


def test_blocks_do_not_depend_on_where_one_looks_first(blocks: list[NetworkStats]) -> None:
    network = Network(1)
    for day in (45, 3, 59, -400, 14):
        start_ms = START_MS + day * DAY_MS
        found = list(network.blocks(start_ms, start_ms + DAY_MS))
        assert found == list(Network(1).blocks(start_ms, start_ms + DAY_MS))
        if day >= 0:
            assert found == [b for b in blocks if start_ms <= to_ms(b.observed_at) < start_ms + DAY_MS]


def test_there_are_no_blocks_before_the_first() -> None:
    assert list(Network(1).blocks(0, DAY_MS)) == []
