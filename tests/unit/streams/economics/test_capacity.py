"""What standing ready pays, and what not delivering costs."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.economics import capacity
from streams.domain.economics.capacity import NON_SPINNING, RESPONSIVE, CapacityObligation

TEN = CapacityObligation(RESPONSIVE, capacity_mw=10, price_usd_mw_h=12, penalty_usd_mwh=500)


def test_capacity_is_paid_whether_it_is_called_or_not() -> None:
    # 10 MW for two hours at 12 USD a MW and hour.
    assert capacity.capacity_payment_usd(TEN, carried_mw=10, duration_s=7200) == 240


def test_what_is_not_carried_is_charged_back_and_more_is_not_paid() -> None:
    assert capacity.capacity_payment_usd(TEN, carried_mw=4, duration_s=3600) == 48
    assert capacity.capacity_payment_usd(TEN, carried_mw=15, duration_s=3600) == 120


def test_missing_delivery_costs_its_penalty() -> None:
    # 6 of 10 MW delivered for a quarter of an hour: one MWh short.
    assert capacity.non_performance_usd(TEN, delivered_mw=6, duration_s=900) == 500
    assert capacity.non_performance_usd(TEN, delivered_mw=11, duration_s=900) == 0


def test_a_load_carries_what_it_can_shed_in_time() -> None:
    # 2 MW a minute: 20 MW in the ten minutes of responsive reserve, all 45 above the minimum in the thirty of non-spin.
    assert capacity.qualified_mw(50, 5, 2, RESPONSIVE) == 20
    assert capacity.qualified_mw(50, 5, 2, NON_SPINNING) == 45
    assert capacity.qualified_mw(0, 0, 2, RESPONSIVE) == 0


@given(st.floats(0, 100), st.floats(0, 100), st.floats(0, 1000), st.floats(0, 1e5))
def test_delivering_more_never_costs_more(mw: float, more: float, price: float, duration_s: float) -> None:
    obligation = CapacityObligation(RESPONSIVE, 50, price, price)
    before, after = (capacity.non_performance_usd(obligation, x, duration_s) for x in (mw, mw + more))
    assert after <= before
    paid, paid_more = (capacity.capacity_payment_usd(obligation, x, duration_s) for x in (mw, mw + more))
    assert paid <= paid_more


def test_an_obligation_below_zero_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="capacity_mw must be zero or more"):
        capacity.capacity_payment_usd(CapacityObligation(RESPONSIVE, -1, 12), 0, 3600)
