"""The price of bitcoin over a year: as volatile, fat-tailed and clustered as the recorded one, and without seams."""

import numpy as np
import pytest
from numpy.typing import NDArray

from simulators.bitcoin import LEVEL_USD, BitcoinPrice
from simulators.market import BTC, Market
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS
from tests.simulators_world import START_MS


@pytest.fixture(scope="module")
def returns() -> NDArray[np.float64]:
    """Hourly log returns of a year."""
    return np.asarray(np.diff(np.log(BitcoinPrice(1).hourly_usd(START_MS, 8_760))))


def _correlation(values: NDArray[np.float64], lag: int) -> float:
    return float(np.corrcoef(values[:-lag], values[lag:])[0, 1])


def test_returns_are_as_spread_as_the_recorded_ones(returns: NDArray[np.float64]) -> None:
    # Recorded: standard deviation 0.532 %, half of the returns within -0.213 % and +0.237 %, 1 % below -1.63 %.
    assert returns.std() == pytest.approx(0.00532, rel=0.15)
    assert np.percentile(returns, [1, 25, 75]) == pytest.approx([-0.0163, -0.0021, 0.0024], rel=0.2)


def test_returns_have_fat_tails_and_large_ones_come_together(returns: NDArray[np.float64]) -> None:
    # Recorded: excess kurtosis 9.4; correlation of magnitudes 0.28 after an hour, 0.14 after a day, of returns -0.01.
    assert 4 < np.mean((returns / returns.std()) ** 4) - 3 < 20
    assert _correlation(abs(returns), 1) == pytest.approx(0.28, abs=0.1)
    assert _correlation(abs(returns), 24) == pytest.approx(0.14, abs=0.08)
    assert _correlation(returns, 1) == pytest.approx(0, abs=0.05)


def test_the_price_comes_back_to_its_level() -> None:
    daily = BitcoinPrice(2).hourly_usd(START_MS, 4 * 8_760)[::24]
    assert LEVEL_USD / 2 < daily.min() < LEVEL_USD * 0.95
    assert LEVEL_USD * 1.05 < daily.max() < LEVEL_USD * 2


def test_minutes_lead_from_hour_to_hour_without_a_seam() -> None:
    price = BitcoinPrice(3)
    path = np.log([price.usd(START_MS + k * MINUTE_MS) for k in range(2 * 1440 + 1)])
    assert np.exp(path[::60]) == pytest.approx(price.hourly_usd(START_MS, 49))
    steps = np.diff(path)
    # Over the hours' ends a minute moves as it does within them; sqrt(60) minutes make an hour's 0.5 %.
    assert abs(steps[59::60]).mean() == pytest.approx(abs(steps).mean(), rel=0.5)
    assert steps.std() * np.sqrt(60) == pytest.approx(0.0053, rel=0.5)


def test_ticks_from_the_middle_are_those_of_the_whole() -> None:
    middle = START_MS + 90 * MINUTE_MS
    whole = list(Market(1).ticks(START_MS, START_MS + 3 * HOUR_MS))
    later = list(Market(1).ticks(middle, START_MS + 3 * HOUR_MS))
    assert later == [tick for tick in whole if tick.observed_at >= later[0].observed_at]
    assert sum(tick.instrument == BTC for tick in later) == 90


def test_the_path_does_not_depend_on_what_was_asked_before() -> None:
    one = BitcoinPrice(1)
    asked = [START_MS, START_MS + 900 * DAY_MS, START_MS + 59 * MINUTE_MS, START_MS - 900 * DAY_MS, START_MS]
    assert [one.usd(at_ms) for at_ms in asked] == [BitcoinPrice(1).usd(at_ms) for at_ms in asked]
