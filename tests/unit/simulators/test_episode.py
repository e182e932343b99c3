"""Episodes are a function of time, as frequent and as long as their law says."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulators.episode import Episodes, Law
from simulators.noise import Noise
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS
from tests.simulators_world import share_of

LAW = Law(10 * DAY_MS, (4 * HOUR_MS, 20 * HOUR_MS), DAY_MS)
SIZE = 20_000


def episodes(law: Law = LAW, size: int = SIZE, seed: int = 1) -> Episodes:
    return Episodes(Noise(seed, "test"), size, law)


@given(st.integers(0, 200 * DAY_MS), st.lists(st.integers(0, 200 * DAY_MS), max_size=3))
def test_what_holds_at_a_time_does_not_depend_on_what_was_asked_before(at_ms: int, before: list[int]) -> None:
    fresh, used = episodes(size=300), episodes(size=300)
    for other_ms in before:
        used.at(other_ms)
    expected, found = fresh.at(at_ms), used.at(at_ms)
    assert found.member.tolist() == expected.member.tolist()
    assert found.until_ms.tolist() == expected.until_ms.tolist()
    assert (found.from_ms <= at_ms).all()
    assert (found.until_ms > at_ms).all()


def test_a_spell_holds_from_its_start_to_its_end_and_no_longer() -> None:
    known = episodes(size=300)
    spell = known.at(30 * DAY_MS)
    member, from_ms, until_ms = (int(column[0]) for column in (spell.member, spell.from_ms, spell.until_ms))
    held = [member in known.at(at_ms).member for at_ms in (from_ms - 1, from_ms, until_ms - 1, until_ms)]
    assert held == [False, True, True, False]
    assert 4 * HOUR_MS <= until_ms - from_ms <= 20 * HOUR_MS


@pytest.mark.parametrize("hour", [0, 1, 12, 23])
def test_the_share_that_has_one_is_that_of_the_law_at_any_time_of_a_block(hour: int) -> None:
    # 12 h of 10 days are 5 %; sd of the share of 20,000 is 0.15 %, and few have two at once.
    assert share_of(LAW) == 0.05
    shares = [len(np.unique(episodes(seed=seed).at(hour * HOUR_MS + 40 * DAY_MS).member)) / SIZE for seed in range(8)]
    assert np.mean(shares) == pytest.approx(share_of(LAW), abs=0.0025)


def test_the_same_episodes_are_the_same_object() -> None:
    known = episodes(size=10)
    first = known.at(DAY_MS)
    edge_ms = min([*first.until_ms.tolist(), 2 * DAY_MS])
    assert known.at(DAY_MS + MINUTE_MS) is first or len(first) != len(known.at(DAY_MS + MINUTE_MS))
    assert known.at(edge_ms) is not first


def test_what_is_over_names_ends_of_this_block_and_the_one_before() -> None:
    known = episodes()
    at_ms = 40 * DAY_MS + 6 * HOUR_MS
    over = known.over(at_ms)
    assert (over.until_ms <= at_ms).all()
    assert (over.from_ms >= 39 * DAY_MS).all()
    # Of 2,000 that started the day before three quarters have ended by 06:00, and ten of the day: 1,500, sd 37.
    assert len(over) == pytest.approx(1500, abs=150)


def test_a_law_whose_episodes_outlast_a_block_is_refused() -> None:
    with pytest.raises(ValueError, match="expected lengths within a block"):
        Law(10 * DAY_MS, (HOUR_MS, 2 * DAY_MS), DAY_MS)
    with pytest.raises(ValueError, match="expected lengths within a block"):
        Law(HOUR_MS, (1, 2), DAY_MS)
