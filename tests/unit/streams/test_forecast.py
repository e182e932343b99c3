"""Forecasts: what they read, and how they are judged."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.forecast import point
from streams.domain.forecast.backtest import scores
from streams.domain.forecast.boosting import Boosting, features
from streams.domain.forecast.history import PriceHistory, Published, Times, empty
from streams.domain.forecast.pinball import pinball_loss
from streams.domain.forecast.quantile import Horizon, Spread, samples
from tests.backtest_case import DAY_MS, HISTORY_DAYS, HOUR_MS, MONDAY_MS, published, wavy_prices

ASKED = np.array([MONDAY_MS], np.int64)
HORIZON = Horizon(HOUR_MS, 4)


def _history(prices: list[float], auction: list[float] | None = None) -> PriceHistory:
    """Hours that end at the moment of asking; the auction's go on for as many hours as it has more."""
    start_ms = MONDAY_MS - len(prices) * HOUR_MS + np.arange(len(auction or prices), dtype=np.int64) * HOUR_MS
    real_time = Published(HOUR_MS, start_ms[: len(prices)], start_ms[: len(prices)] + HOUR_MS, np.array(prices))
    if auction is None:
        return PriceHistory(real_time, empty(HOUR_MS))
    known_ms = np.full(len(auction), start_ms[0] - DAY_MS)
    return PriceHistory(real_time, Published(HOUR_MS, start_ms, known_ms, np.array(auction)))


def test_pinball_loss_by_hand() -> None:
    # 0.1 x (50 - 20) = 3 and 0.9 x (50 - 30) = 18 below the actual, 0.1 x (60 - 50) = 1 above: means 10.5 and 2.
    loss = pinball_loss(np.array([50.0, 50.0]), np.array([[20.0, 30.0], [20.0, 60.0]]), np.array([0.1, 0.9]))
    assert loss.tolist() == pytest.approx([10.5, 2.0])


def test_value_is_unknown_before_it_is_published() -> None:
    series = published([1.0, 2.0, 3.0])
    start_ms = series.start_ms
    asked: Times = start_ms + HOUR_MS - 1
    assert np.isnan(series.at(start_ms, asked)).all()
    assert series.at(start_ms, asked + 1).tolist() == [1.0, 2.0, 3.0]
    assert series.newest(asked + 1, back=1).tolist()[1:] == [1.0, 2.0]
    assert series.known(int(start_ms[1]) + HOUR_MS).values.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("starts", "known", "values"),
    [
        pytest.param([0, 0], [0, 0], [1.0, 1.0], id="start twice"),
        pytest.param([0, 1], [1, 0], [1.0, 1.0], id="published out of order"),
        pytest.param([0, 1], [0, 0], [1.0, np.nan], id="not a number"),
        pytest.param([0, 1], [0, 0], [1.0], id="lengths differ"),
    ],
)
def test_series_that_is_not_one_is_refused(starts: list[int], known: list[int], values: list[float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Published(1, np.array(starts), np.array(known), np.array(values))


def test_deviation_from_day_ahead_halves_in_an_hour() -> None:
    history = _history([40.0], [30.0, 30.0, 50.0])
    # Now 10 over the auction. The price is of an hour ago: 30 + 10/2 for this hour, 50 + 10/4 for the next.
    asked = np.repeat(ASKED, 2)
    assert point.blend(history, asked, HORIZON.deliveries(MONDAY_MS)[:2]).tolist() == [35.0, 52.5]
    assert point.day_ahead(history, asked, HORIZON.deliveries(MONDAY_MS)[:2]).tolist() == [30.0, 50.0]


def test_baselines_are_the_newest_price_and_that_of_a_week_before() -> None:
    history = _history([*range(168)])
    assert point.persistence(history, ASKED, ASKED).tolist() == [167.0]
    assert point.last_week(history, ASKED, ASKED).tolist() == [0.0]


@given(hour=st.integers(0, 7 * 24 - 1), seed=st.integers(0, 1000))
def test_no_feature_or_forecast_looks_ahead(hour: int, seed: int) -> None:
    prices = wavy_prices(seed=seed)
    altered = prices.copy()
    altered[HISTORY_DAYS * 24 + hour :] += 1000
    now_ms = MONDAY_MS + hour * HOUR_MS
    deliveries = HORIZON.deliveries(now_ms)
    asked = np.full(len(deliveries), now_ms)
    # Prices are known as their hour ends, the auction's a day before it begins.
    auction, other_auction = prices.copy(), prices.copy()
    other_auction[HISTORY_DAYS * 24 + hour + 25 :] += 1000
    one, other = (
        PriceHistory(published(real_time), published(ahead, delay_ms=-DAY_MS))
        for real_time, ahead in ((prices, auction), (altered, other_auction))
    )
    assert np.array_equal(features(one, asked, deliveries), features(other, asked, deliveries), equal_nan=True)
    fitted = [Spread(point.persistence).fit(history, HORIZON, now_ms) for history in (one, other)]
    quantiles = [model.quantiles(one, asked, deliveries) for model in fitted]
    assert np.array_equal(quantiles[0], quantiles[1])


def test_boosting_is_deterministic_rises_with_the_level_and_gives_known_prices_as_they_are() -> None:
    at_start = PriceHistory(published(wavy_prices(days=15), delay_ms=0), empty(HOUR_MS))
    deliveries = HORIZON.deliveries(MONDAY_MS)
    asked = np.full(len(deliveries), MONDAY_MS)
    one, other = (
        Boosting().fit(at_start.known(MONDAY_MS), HORIZON, MONDAY_MS).quantiles(at_start, asked, deliveries)
        for _ in range(2)
    )
    assert one.tobytes() == other.tobytes()
    assert (np.diff(one, axis=1) >= 0).all()
    assert one[0].tolist() == [float(at_start.real_time.at(deliveries[:1], asked[:1])[0])] * 5


def test_samples_have_answers_that_were_published_before_the_end() -> None:
    history = PriceHistory(published(wavy_prices()), empty(HOUR_MS))
    found = samples(history, HORIZON, start_ms=MONDAY_MS - DAY_MS, end_ms=MONDAY_MS)
    assert len(found.actual) > 0
    assert (found.delivery_ms + HOUR_MS < MONDAY_MS).all()
    assert (found.delivery_ms >= found.asked_ms).all()


def test_persistence_is_perfect_where_prices_stand_still() -> None:
    history = PriceHistory(published([30.0] * 24 * (HISTORY_DAYS + 2)), empty(HOUR_MS))
    methods = {"persistence": Spread(point.persistence), "last week": Spread(point.last_week)}
    *_, found = scores(history, methods, HORIZON, start_ms=MONDAY_MS, end_ms=MONDAY_MS + DAY_MS, refit_ms=DAY_MS)
    assert found["persistence"].mean.tolist() == [0.0] * 4
    assert found["persistence"].answers.tolist() == found["last week"].answers.tolist()


def test_forecast_without_a_past_is_refused() -> None:
    with pytest.raises(ValueError, match="history has to begin earlier"):
        Spread(point.persistence).fit(_history([1.0]), HORIZON, MONDAY_MS - DAY_MS)
