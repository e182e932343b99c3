"""The chain of price levels: worked by hand, a probability in every row, and blind to what is not published."""

from datetime import UTC, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.forecast.chain import PriceChain, fit
from tests.backtest_case import DAY_MS, HISTORY_DAYS, HOUR_MS, MONDAY_MS, published, wavy_prices


def test_class_of_the_day_leans_on_the_chain_of_all_classes() -> None:
    # Eight days at 20 from 0:00 to 4:00 UTC, at 10 otherwise. Into 0:00 to 4:00, 20 is followed by 20 in 3 x 8 = 24
    # steps of 24; at any time in 24 of 32: (24 + 20 x 0.75) / (24 + 20) = 39/44. 10 is followed by 20 in 7 of 7, as
    # the first day has none before it; at any time in 7 of 7 + 8 x 19 = 159: (7 + 20 x 7/159) / 27.
    prices = np.where(np.arange(HISTORY_DAYS * 24) % 24 < 4, 20.0, 10.0)
    chain = fit(published(prices), MONDAY_MS, UTC)
    assert chain.levels_usd_mwh.tolist() == [10.0, 20.0]
    from_10, from_20 = chain.into(MONDAY_MS + 3 * HOUR_MS)
    assert from_20.tolist() == pytest.approx([5 / 44, 39 / 44])
    assert from_10[1] == pytest.approx((7 + 20 * 7 / 159) / 27)
    # Into 4:00 to 8:00, 20 is followed by 10 in 8 of 8: (8 + 20 x 0.25) / 28.
    assert chain.into(MONDAY_MS + 4 * HOUR_MS)[1, 0] == pytest.approx(13 / 28)
    # An hour to the east the same local hours begin an hour earlier; of 31 steps from 20, 8 are to 10.
    east = fit(published(np.roll(prices, -1)), MONDAY_MS, timezone(timedelta(hours=1)))
    assert east.into(MONDAY_MS + 3 * HOUR_MS)[1, 0] == pytest.approx((8 + 20 * 8 / 31) / 28)


def test_price_between_levels_counts_for_both_and_keeps_its_mean() -> None:
    chain = PriceChain(np.array([10.0, 20.0, 100.0]), np.eye(3)[None], UTC)
    # 12.5 is a quarter of the way from 10 to 20, 40 of that from 20 to 100.
    assert chain.weights(np.array([12.5, 40.0, 100.0])).tolist() == [[0.75, 0.25, 0.0], [0.0, 0.75, 0.25], [0, 0, 1]]
    assert (chain.weights(np.array([12.5, 40.0])) @ chain.levels_usd_mwh).tolist() == [12.5, 40.0]
    assert [chain.has_seen(price) for price in (9.0, 10.0, 100.0, 101.0)] == [False, True, True, False]


def test_price_that_never_moved_is_expected_to_stay() -> None:
    chain = fit(published([30.0] * 48), MONDAY_MS, UTC)
    assert (chain.levels_usd_mwh.tolist(), np.unique(chain.transition).tolist()) == ([30.0], [1.0])


def test_chain_without_two_prices_in_turn_is_refused() -> None:
    with pytest.raises(ValueError, match="history has to begin earlier"):
        fit(published([30.0]), MONDAY_MS, UTC)


@settings(max_examples=20, deadline=None)
@given(hour=st.integers(-6 * 24, 6 * 24), seed=st.integers(0, 10_000), delay_ms=st.sampled_from([0, HOUR_MS]))
def test_rows_are_probabilities_and_the_future_is_not_learnt(hour: int, seed: int, delay_ms: int) -> None:
    now_ms = MONDAY_MS + hour * HOUR_MS
    prices = wavy_prices(seed=seed)
    altered = prices.copy()
    altered[HISTORY_DAYS * 24 + hour + (1 if delay_ms == 0 else 0) :] += 1000
    chain, other = (fit(published(series, delay_ms=delay_ms), now_ms, UTC) for series in (prices, altered))
    assert (chain.transition >= 0).all()
    assert np.allclose(chain.transition.sum(axis=2), 1.0, atol=1e-12)
    assert chain.transition.tobytes() == other.transition.tobytes()
    assert chain.levels_usd_mwh.tobytes() == other.levels_usd_mwh.tobytes()
    # The test can fail: once they are published, they are learnt.
    later = now_ms + DAY_MS
    assert fit(published(altered, delay_ms=delay_ms), later, UTC).transition.tobytes() != chain.transition.tobytes()
