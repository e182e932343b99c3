"""Forecasts from price to price: what they hold, when they are fitted anew, and that nothing else matters."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import events as e
from streams.domain.forecast import forecaster as module
from streams.domain.forecast.forecaster import LEAST_DAYS, Forecaster
from streams.domain.forecast.quantile import QuantileMethod, Spread, means
from tests import streams_event
from tests.backtest_case import MONDAY_MS, wavy_prices

MONDAY = datetime.fromtimestamp(MONDAY_MS / 1000, UTC)
HOUR = timedelta(hours=1)
DAYS = 28
WAVY = wavy_prices(days=DAYS + 3).tolist()


@pytest.fixture
def without_boosting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The baselines alone, which are fitted in no time."""
    baselines: dict[str, QuantileMethod] = {n: m for n, m in module.METHODS.items() if isinstance(m, Spread)}
    monkeypatch.setattr(module, "METHODS", baselines)


def prices(count: int, *, known_after: timedelta = timedelta(), values: list[float] | None = None) -> list[e.GridPrice]:
    """Hours of Alberta's pool from `DAYS` before Monday on, each published `known_after` its start."""
    first = MONDAY - timedelta(days=DAYS)
    return [
        e.GridPrice(
            event_id=streams_event.an_id("pool", number),
            settlement_point="AESO_POOL",
            market=e.GridMarket.REAL_TIME,
            observed_at=first + number * HOUR + known_after,
            interval_start=first + number * HOUR,
            interval_s=3600,
            price_usd_mwh=usd_mwh,
        )
        for number, usd_mwh in enumerate((values or WAVY)[:count])
    ]


def told(given_prices: list[e.GridPrice]) -> e.PriceForecast | None:
    """The forecast after some prices."""
    found = Forecaster()
    for price in given_prices:
        found.add(price)
    return found.forecast()


def test_forecast_rests_on_the_newest_price_and_begins_with_its_hour() -> None:
    known = prices(DAYS * 24 + 10)
    found = told(known)
    assert found is not None
    assert (found.settlement_point, found.interval_s) == ("AESO_POOL", 3600)
    assert (found.observed_at, found.price_event_id) == (known[-1].observed_at, known[-1].event_id)
    assert found.fitted_at == MONDAY
    assert [interval.starts_at for interval in found.intervals] == [MONDAY + (9 + n) * HOUR for n in range(6)]
    first = found.intervals[0]
    assert {first.expected_usd_mwh, first.p05_usd_mwh, first.p95_usd_mwh} == {round(known[-1].price_usd_mwh, 2)}
    for interval in found.intervals[1:]:
        quantiles = [getattr(interval, f"p{level}_usd_mwh") for level in ("05", "25", "50", "75", "95")]
        assert quantiles == sorted(quantiles)
        assert quantiles[0] < interval.expected_usd_mwh < quantiles[-1]


def test_the_method_with_the_least_loss_of_the_week_before_is_taken() -> None:
    found = told(prices(DAYS * 24 + 10))
    assert found is not None
    losses = {score.method: score.pinball_loss_usd_mwh for score in found.scores}
    # The wave of a day is learnt; persistence runs behind it, and last week's noise is doubled.
    assert found.method is e.ForecastMethod.BOOSTING
    assert losses[e.ForecastMethod.BOOSTING] < 0.9 * losses[e.ForecastMethod.SAME_HOUR_LAST_WEEK]
    assert losses[e.ForecastMethod.SAME_HOUR_LAST_WEEK] < losses[e.ForecastMethod.PERSISTENCE]


def test_prices_that_walk_at_random_are_forecast_by_persistence() -> None:
    steps = np.random.default_rng(2).normal(0, 5, (DAYS + 1) * 24)
    found = told(prices(DAYS * 24 + 1, values=(200 + steps.cumsum()).tolist()))
    assert found is not None
    losses = {score.method: score.pinball_loss_usd_mwh for score in found.scores}
    assert losses[found.method] == min(losses.values())
    assert found.method is e.ForecastMethod.PERSISTENCE


def test_history_shorter_than_three_weeks_has_no_forecast() -> None:
    first = MONDAY - timedelta(days=LEAST_DAYS)
    known = prices(DAYS * 24 + 1)
    assert told([price for price in known if price.interval_start > first]) is None
    assert told([price for price in known if price.interval_start >= first]) is not None
    assert Forecaster().forecast() is None


@pytest.mark.usefixtures("without_boosting")
def test_history_with_a_hole_where_the_methods_look_has_no_forecast() -> None:
    known = prices(DAYS * 24 + 1)
    hole = (MONDAY - timedelta(days=7), MONDAY)
    assert told([price for price in known if not hole[0] <= price.interval_start < hole[1]]) is None


@pytest.mark.usefixtures("without_boosting")
@given(seed=st.integers(0, 1000))
def test_neither_order_nor_copies_nor_late_corrections_matter(seed: int) -> None:
    known = prices(DAYS * 24 + 10)
    random_ = random.Random(seed)
    corrected = [
        replace(price, event_id=price.event_id + "-2", price_usd_mwh=0.0, observed_at=price.observed_at + HOUR / 2)
        for price in random_.sample(known, 20)
    ]
    mixed = [*known, *random_.sample(known, 20), *corrected]
    random_.shuffle(mixed)
    assert told(mixed) == told(known)


@pytest.mark.usefixtures("without_boosting")
@given(hours=st.integers(0, 47))
def test_a_forecaster_that_has_run_for_days_says_what_one_says_that_begins_now(hours: int) -> None:
    known = prices(DAYS * 24 + 48)
    running = Forecaster()
    found = None
    for number, price in enumerate(known[: DAYS * 24 + hours + 1]):
        running.add(price)
        if number >= DAYS * 24:
            found = running.forecast()
    assert found is not None
    assert found == told(known[: DAYS * 24 + hours + 1])


@pytest.mark.usefixtures("without_boosting")
def test_prices_of_a_day_are_learnt_from_when_it_is_over() -> None:
    known = prices(DAYS * 24 + 24)
    altered = [replace(price, price_usd_mwh=price.price_usd_mwh + 500) for price in known]
    changed_today = [*known[: DAYS * 24], *altered[DAYS * 24 : DAYS * 24 + 9], known[DAYS * 24 + 9]]
    one, other = told(known[: DAYS * 24 + 10]), told(changed_today)
    assert one is not None
    assert other is not None
    assert (one.scores, one.intervals) == (other.scores, other.intervals)
    tomorrow = prices(DAYS * 24 + 25)[-1]
    one, other = told([*known, tomorrow]), told([*known[: DAYS * 24], *altered[DAYS * 24 :], tomorrow])
    assert one is not None
    assert other is not None
    assert one.scores != other.scores


@pytest.mark.usefixtures("without_boosting")
def test_history_that_is_loaded_later_is_learnt_from() -> None:
    known = prices(DAYS * 24 + 10)
    found = Forecaster()
    for price in known[-48:]:
        found.add(price)
    assert found.forecast() is None
    for price in known[:-48]:
        found.add(price)
    assert found.forecast() == told(known)


@pytest.mark.usefixtures("without_boosting")
@pytest.mark.parametrize("delay", [timedelta(seconds=5), timedelta(minutes=40)])
def test_a_price_that_comes_within_its_hour_counts_as_known_at_its_start(delay: timedelta) -> None:
    at_start, later = told(prices(DAYS * 24 + 10)), told(prices(DAYS * 24 + 10, known_after=delay))
    assert at_start is not None
    assert later == replace(at_start, observed_at=at_start.observed_at + delay)


@pytest.mark.usefixtures("without_boosting")
def test_a_price_that_comes_when_its_hour_is_over_is_followed_by_a_forecast_of_the_running_hour() -> None:
    found = told(prices(DAYS * 24 + 10, known_after=HOUR + timedelta(minutes=2)))
    assert found is not None
    assert found.intervals[0].starts_at == MONDAY + 10 * HOUR
    assert found.intervals[0].p05_usd_mwh < found.intervals[0].p95_usd_mwh


@pytest.mark.usefixtures("without_boosting")
def test_a_price_of_an_interval_far_ahead_does_not_stay_the_newest() -> None:
    known = prices(DAYS * 24 + 10)
    wrong = replace(known[-2], event_id="of another year", interval_start=MONDAY + timedelta(days=365))
    assert told([*known[:-1], wrong, known[-1]]) == told(known)


@pytest.mark.usefixtures("without_boosting")
def test_intervals_shorter_than_any_markets_have_no_forecast() -> None:
    known = prices(DAYS * 24 + 10)
    assert told([replace(price, interval_s=60) for price in known]) is None
    assert told([replace(price, interval_s=900) for price in known]) is None  # hours hold one quarter of theirs


def test_mean_of_a_quantile_function_by_hand() -> None:
    # Flat at 0 up to 5 %, then lines to 10, 20, 30 and 100, flat there: 0 + 0.2 x 5 + 0.25 x 15 + 0.25 x 25 + 0.2 x 65
    # + 0.05 x 100 = 29.
    assert means(np.array([[0.0, 10.0, 20.0, 30.0, 100.0]])).tolist() == pytest.approx([29.0])
