"""What power costs and earns at the grid: ERCOT's rules, blocks, credits, ramp and notice."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.economics import grid

PRICE = st.floats(-500, 9000)


def test_power_cost_adds_retail_and_transmission_to_the_locational_price() -> None:
    assert grid.power_cost_usd_mwh(-20.0, 12.0) == -8.0
    assert grid.power_cost_usd_mwh(-20.0, 12.0, 100.0) == 92.0


def test_grid_value_is_the_avoided_cost_and_the_payment_of_a_call() -> None:
    assert grid.grid_value_usd_mwh(40.0, None) == 40.0
    assert grid.grid_value_usd_mwh(40.0, 50.0) == 90.0


@pytest.mark.parametrize(
    ("day", "cap"),
    [
        pytest.param(date(2021, 2, 16), 9000.0, id="the winter storm of 2021"),
        pytest.param(date(2021, 12, 31), 9000.0, id="last day of the old cap"),
        pytest.param(date(2022, 1, 1), 5000.0, id="first day of the new one"),
        pytest.param(date(2025, 8, 20), 5000.0, id="later"),
        pytest.param(date(2014, 8, 1), 7000.0, id="2014"),
        pytest.param(date(2000, 1, 1), None, id="before the list"),
    ],
)
def test_offer_cap_is_9000_until_2021_and_5000_from_2022_on(day: date, cap: float | None) -> None:
    assert grid.offer_cap_usd_mwh(day) == cap


def test_quarter_hour_is_settled_as_one() -> None:
    at = datetime(2024, 8, 20, 22, 14, 59, tzinfo=UTC)
    assert grid.settlement_interval_start(at) == datetime(2024, 8, 20, 22, 0, tzinfo=UTC)


def test_settlement_price_weighs_dispatch_prices_by_their_time() -> None:
    assert grid.settlement_price_usd_mwh([(20, 300), (30, 300), (5000, 300)]) == pytest.approx(5050 / 3)
    # A run of dispatch 100 s into an interval: 20 for 400 s, 50 for 500 s.
    assert grid.settlement_price_usd_mwh([(20, 400), (50, 500)]) == pytest.approx(33_000 / 900)


def test_unused_block_is_sold_at_real_time() -> None:
    # 10 MWh bought ahead at 30, 4 used, 6 sold at 1,000: 300 - 6,000.
    assert grid.block_settlement(4, 10, 30, 1000) == grid.BlockSettlement(0, 6, 0, -5700)
    # Two of the six are all that the contract lets go.
    assert grid.block_settlement(4, 10, 30, 1000, sell_back_limit_mwh=2) == grid.BlockSettlement(0, 2, 4, -1700)


def test_use_above_the_block_is_bought_at_real_time() -> None:
    assert grid.block_settlement(12, 10, 30, 50) == grid.BlockSettlement(2, 0, 0, 400)


@given(st.floats(0, 100), st.floats(0, 100), PRICE, PRICE, PRICE)
def test_price_of_the_block_is_sunk(used: float, block: float, price: float, other: float, real_time: float) -> None:
    # What one MWh more costs does not depend on what the block cost.
    def extra(block_price: float) -> float:
        more = grid.block_settlement(used + 1, block, block_price, real_time)
        return more.cost_usd - grid.block_settlement(used, block, block_price, real_time).cost_usd

    assert extra(price) == pytest.approx(extra(other), abs=1e-6)
    assert extra(price) == pytest.approx(real_time, abs=1e-6)


@given(st.floats(0, 100), st.floats(0, 100), PRICE, PRICE, st.floats(0, 50))
def test_energy_of_a_block_adds_up(used: float, block: float, price: float, real_time: float, limit: float) -> None:
    found = grid.block_settlement(used, block, price, real_time, limit)
    assert used + found.sold_mwh + found.unsold_mwh == pytest.approx(block + found.bought_mwh)
    assert found.sold_mwh <= limit


@given(st.floats(0, 100), st.floats(0, 100), PRICE, PRICE)
def test_a_block_in_kilowatt_hours_settles_to_the_same(
    used: float, block: float, price: float, real_time: float
) -> None:
    mwh = grid.block_settlement(used, block, price, real_time)
    kwh = grid.block_settlement(used * 1000, block * 1000, price / 1000, real_time / 1000)
    assert kwh.cost_usd == pytest.approx(mwh.cost_usd, abs=1e-6)


def test_credit_is_paid_for_load_below_the_baseline_only() -> None:
    # 10 MW down to 4 for a quarter of an hour at 80: 6 * 0.25 * 80.
    assert grid.curtailment_credit_usd(10, 4, 900, 80) == pytest.approx(120)
    assert grid.curtailment_credit_usd(10, 12, 900, 80) == 0


def test_load_moves_as_far_as_its_ramp() -> None:
    # 2 MW a minute for five minutes, between 5 and 50 MW.
    assert grid.load_range_mw(30, 2, 300, 5, 50) == (20, 40)
    assert grid.load_range_mw(45, 2, 300, 5, 50) == (35, 50)
    assert grid.load_range_mw(10, 2, 300, 5, 50) == (5, 20)
    assert grid.load_range_mw(30, 0, 300, 5, 50) == (5, 50)
    # Switched off at a minimum load of 15, it is not there within the time.
    assert grid.load_range_mw(0, 2, 300, 15, 50) == (10, 10)
    # Above its cap of 50 it comes down as far as it can.
    assert grid.load_range_mw(70, 2, 300, 5, 50) == (60, 60)


def test_notice_and_ramp_limit_what_a_call_can_take_off() -> None:
    # 40 MW over a minimum of 10: 30 could go; 2 MW a minute in ten minutes: 20.
    assert grid.reduction_mw(40, 10, 2, 600) == 20
    assert grid.reduction_mw(40, 10, 2, 3600) == 30
    assert grid.reduction_mw(40, 10, 0, 0) == 30
    assert grid.reduction_mw(5, 10, 2, 600) == 0
