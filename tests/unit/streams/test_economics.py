"""Formulas of `streams.domain.economics`, by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import PowerMode, PowerModePoint
from streams.domain import economics


def test_hashprice_is_the_share_of_blocks_times_their_reward() -> None:
    # A terahash a second makes 1e12 * 86,400 = 8.64e16 hashes a day. At difficulty 65,535 / 2^48 a block takes one hash
    # on average, so at 8.64e16 times that difficulty it finds one block a day: 3 BTC + 1 BTC of fees at 50,000 USD,
    # less 5 %.
    difficulty = 8.64e16 * 65_535 / 2**48
    found = economics.hashprice_usd_ths_day(50_000, difficulty, 3, 1, 0.05)
    assert math.isclose(found, 190_000, rel_tol=1e-12)


def test_hashprice_on_a_known_day_is_that_of_the_market() -> None:
    # 20 April 2024, block 840,000: difficulty 86.39 T, subsidy 3.125 BTC, BTC about 64,000 USD. Without fees:
    # 8.64e16 / (86.39e12 * 4,295,032,833) = 2.3285e-7 blocks * 3.125 * 64,000 = 0.04657 USD/TH/day.
    found = economics.hashprice_usd_ths_day(64_000, 86.39e12, 3.125, 0, 0)
    assert math.isclose(found, 0.04657, rel_tol=1e-3)


def test_difficulty_of_a_hashrate_gives_a_block_every_ten_minutes() -> None:
    difficulty = economics.difficulty_of_hashrate(6e8)
    # The whole network earns 144 blocks a day: 6e8 TH/s * hashprice = 144 * 1 BTC * 1 USD.
    assert math.isclose(economics.hashprice_usd_ths_day(1, difficulty, 1, 0, 0) * 6e8, 144, rel_tol=1e-12)


def test_break_even_price_of_one_megawatt_is_its_hourly_revenue() -> None:
    # 1 MW earning 24 USD/TH/day on 50 TH/s: 50 * 24 / 24 = 50 USD an hour, for 1 MWh.
    assert economics.break_even_price(hashrate_ths=50, power_w=1_000_000, hashprice=24) == 50.0


def test_cooling_lowers_the_break_even_price() -> None:
    # The same earns 50 USD for 1.25 MWh at the meter: 40 USD/MWh.
    assert economics.break_even_price(hashrate_ths=50, power_w=1_000_000, hashprice=24, pue_ratio=1.25) == 40.0


def test_value_of_a_mode_is_its_break_even_price() -> None:
    point = PowerModePoint(mode=PowerMode.ECO, power_w=2000, hashrate_ths=100)
    # 100 TH/s * 0.06 / 24 = 0.25 USD an hour on 2 kW * 1.25 = 2.5 kW: 100 USD/MWh.
    found = economics.mode_economics(point, hashprice=0.06, pue_ratio=1.25)
    assert found == economics.ModeEconomics(PowerMode.ECO, 0.0025, 0.25, 100.0)


@pytest.mark.parametrize(
    ("power_cost", "best"),
    [
        # Margins an hour of 1 kW earning 0.10 and 2 kW earning 0.15: the second kW earns 0.05, so 50 USD/MWh decides.
        pytest.param(40.0, PowerMode.TURBO, id="cheap power runs the mode that earns most"),
        pytest.param(60.0, PowerMode.ECO, id="dear power runs the efficient mode"),
        pytest.param(50.0, PowerMode.ECO, id="where both earn the same the one that draws less"),
    ],
)
def test_best_mode_follows_the_power_price(power_cost: float, best: PowerMode) -> None:
    modes = [
        economics.ModeEconomics(PowerMode.ECO, 1.0, 100.0, 100.0),
        economics.ModeEconomics(PowerMode.TURBO, 2.0, 150.0, 75.0),
    ]
    found = economics.best_mode(modes, power_cost)
    assert found is not None
    assert found.mode is best


def test_gpu_value_is_the_gpu_hours_in_a_megawatt_hour() -> None:
    # 500 W * 1.25 = 625 W: 1,600 GPU-hours in a MWh at 2 USD.
    assert economics.gpu_value_usd_mwh(2.0, 500, 1.25) == 3200.0


def test_power_cost_adds_retail_to_the_locational_price() -> None:
    assert economics.power_cost_usd_mwh(-20.0, 12.0) == -8.0


def test_grid_value_is_the_avoided_cost_and_the_payment_of_a_call() -> None:
    assert economics.grid_value_usd_mwh(40.0, None) == 40.0
    assert economics.grid_value_usd_mwh(40.0, 50.0) == 90.0


@pytest.mark.parametrize("power_w", [0.0, -1.0, math.nan, math.inf])
def test_power_that_is_not_positive_is_refused_by_name(power_w: float) -> None:
    with pytest.raises(ValueError, match="power_w must be positive"):
        economics.break_even_price(1, power_w, 1)


@given(st.floats(1, 1e6), st.floats(1, 1e4), st.floats(1e-3, 1), st.floats(1.1, 100))
def test_break_even_depends_on_efficiency_and_hashprice_only(
    power_w: float, hashrate: float, hashprice: float, factor: float
) -> None:
    one = economics.break_even_price(hashrate, power_w, hashprice)
    many = economics.break_even_price(hashrate * factor, power_w * factor, hashprice)
    assert math.isclose(one, many, rel_tol=1e-9)
