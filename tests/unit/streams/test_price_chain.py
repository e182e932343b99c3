"""The chain of price levels: worked by hand, a probability in every row, and blind to what is not published."""

import math
from collections.abc import Sequence
from datetime import UTC, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.forecast.chain import PriceChain, fit
from streams.domain.forecast.history import Floats, PriceHistory, empty
from tests.backtest_case import DAY_MS, HISTORY_DAYS, HOUR_MS, MONDAY_MS, published, wavy_prices

NO_AUCTION = math.nan


def prices_of(real_time: Sequence[float] | Floats, *, delay_ms: int = HOUR_MS) -> PriceHistory:
    return PriceHistory(published(real_time, delay_ms=delay_ms), empty(HOUR_MS))


def test_class_of_the_day_leans_on_the_chain_of_all_classes() -> None:
    # Eight days at 20 from 0:00 to 4:00 UTC, at 10 otherwise. Into 0:00 to 4:00, 20 is followed by 20 in 3 x 8 = 24
    # steps of 24; at any time in 24 of 32: (24 + 20 x 0.75) / (24 + 20) = 39/44. 10 is followed by 20 in 7 of 7, as
    # the first day has none before it; at any time in 7 of 7 + 8 x 19 = 159: (7 + 20 x 7/159) / 27.
    prices = np.where(np.arange(HISTORY_DAYS * 24) % 24 < 4, 20.0, 10.0)
    chain = fit(prices_of(prices), MONDAY_MS, UTC)
    assert chain.levels_usd_mwh.tolist() == [10.0, 20.0]
    from_10, from_20 = chain.into(MONDAY_MS + 3 * HOUR_MS, NO_AUCTION)
    assert from_20.tolist() == pytest.approx([5 / 44, 39 / 44])
    assert from_10[1] == pytest.approx((7 + 20 * 7 / 159) / 27)
    # Into 4:00 to 8:00, 20 is followed by 10 in 8 of 8: (8 + 20 x 0.25) / 28.
    assert chain.into(MONDAY_MS + 4 * HOUR_MS, NO_AUCTION)[1, 0] == pytest.approx(13 / 28)
    # An hour to the east the same local hours begin an hour earlier; of 31 steps from 20, 8 are to 10.
    east = fit(prices_of(np.roll(prices, -1)), MONDAY_MS, timezone(timedelta(hours=1)))
    assert east.into(MONDAY_MS + 3 * HOUR_MS, NO_AUCTION)[1, 0] == pytest.approx((8 + 20 * 8 / 31) / 28)


def test_band_of_the_auction_leans_on_the_chain_of_all_hours() -> None:
    # Odd days stay at 10 and even ones go between 10 and 20 by the hour; the auction has 50 for these, 5 for those, and
    # none for the last day, an even one: four days of seven have 5, so it is the middle, and 50 is above nine in ten.
    even = np.arange(HISTORY_DAYS * 24) // 24 % 2 == 1
    prices = np.where(even & (np.arange(HISTORY_DAYS * 24) % 2 == 1), 20.0, 10.0)
    auction = published(np.where(even, 50.0, 5.0)[: (HISTORY_DAYS - 1) * 24], delay_ms=0)
    chain = fit(PriceHistory(published(prices), auction), MONDAY_MS, UTC)
    assert chain.bounds_usd_mwh.tolist() == [5.0, 50.0]
    # From 10 to 20: 4 x 12 = 48 of the 8 x 24 - 1 - 47 = 144 steps from 10 in all. From 4:00 to 8:00, in the three even
    # days with a price 2 of 2 steps each, in the four odd ones 0 of 4 each, in the last day 2 of 2.
    at_ms, every = MONDAY_MS + 4 * HOUR_MS, 48 / 144
    assert chain.into(at_ms, 50.0)[0, 1] == pytest.approx((6 + 20 * every) / 26)
    assert chain.into(at_ms, 5.0)[0, 1] == pytest.approx(20 * every / 36)
    assert chain.into(at_ms, NO_AUCTION)[0, 1] == pytest.approx((2 + 20 * every) / 22)
    # A price that the auction has not had before goes by the chain of all hours.
    assert chain.into(at_ms, 4.0)[0, 1] == pytest.approx(every)


def test_price_between_levels_counts_for_both_and_keeps_its_mean() -> None:
    chain = PriceChain(np.array([10.0, 20.0, 100.0]), np.eye(3)[None], np.empty(0), UTC)
    # 12.5 is a quarter of the way from 10 to 20, 40 of that from 20 to 100.
    assert chain.weights(np.array([12.5, 40.0, 100.0])).tolist() == [[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0, 0, 1]]
    assert (chain.weights(np.array([12.5, 40.0])) @ chain.levels_usd_mwh).tolist() == [12.5, 40.0]
    assert [chain.has_seen(price) for price in (9.0, 10.0, 100.0, 101.0)] == [False, True, True, False]


def test_price_that_never_moved_is_expected_to_stay() -> None:
    chain = fit(prices_of([30.0] * 48), MONDAY_MS, UTC)
    assert (chain.levels_usd_mwh.tolist(), np.unique(chain.transition).tolist()) == ([30.0], [1.0])


def test_chain_without_two_prices_in_turn_is_refused() -> None:
    with pytest.raises(ValueError, match="history has to begin earlier"):
        fit(prices_of([30.0]), MONDAY_MS, UTC)


@settings(max_examples=20, deadline=None)
@given(hour=st.integers(-6 * 24, 6 * 24), seed=st.integers(0, 10_000), delay_ms=st.sampled_from([0, HOUR_MS]))
def test_rows_are_probabilities_and_the_future_is_not_learnt(hour: int, seed: int, delay_ms: int) -> None:
    now_ms = MONDAY_MS + hour * HOUR_MS
    prices = wavy_prices(seed=seed)
    altered = prices.copy()
    altered[HISTORY_DAYS * 24 + hour + (1 if delay_ms == 0 else 0) :] += 1000
    chain, other = (fit(prices_of(series, delay_ms=delay_ms), now_ms, UTC) for series in (prices, altered))
    assert (chain.transition >= 0).all()
    assert np.allclose(chain.transition.sum(axis=2), 1.0, atol=1e-12)
    assert chain.transition.tobytes() == other.transition.tobytes()
    assert chain.levels_usd_mwh.tobytes() == other.levels_usd_mwh.tobytes()
    # The test can fail: once they are published, they are learnt.
    later = now_ms + DAY_MS
    assert fit(prices_of(altered, delay_ms=delay_ms), later, UTC).transition.tobytes() != chain.transition.tobytes()
