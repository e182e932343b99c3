"""The transmission charge by ERCOT's four coincident peaks, and what avoiding one is worth."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.economics import coincident_peak as peak


def test_charge_is_the_rate_times_the_mean_of_four_peaks() -> None:
    # 60 USD/kW-year on 10, 10, 0 and 20 MW: 60 * 10,000 kW.
    assert peak.transmission_charge_usd_year(60, [10, 10, 0, 20]) == 600_000
    # 5 USD a kW and month is the same rate.
    assert peak.transmission_charge_usd_year(5 * 12, [10, 10, 0, 20]) == 600_000


def test_there_are_four_peaks() -> None:
    with pytest.raises(ValueError, match="must have 4 entries"):
        peak.transmission_charge_usd_year(60, [10, 10, 10])


def test_megawatt_off_at_a_sure_peak_saves_a_quarter_of_its_rate() -> None:
    # 60,000 USD a MW and year over four peaks: 15,000 for a quarter of a MWh.
    assert peak.avoided_charge_usd_mwh(60, 1.0) == 60_000
    assert peak.avoided_charge_usd_mwh(60, 0.01) == pytest.approx(600)
    saved = peak.transmission_charge_usd_year(60, [1] * 4) - peak.transmission_charge_usd_year(60, [1, 0, 1, 1])
    assert saved == peak.avoided_charge_usd_mwh(60, 1.0) * 0.25


@pytest.mark.parametrize("month", range(1, 13))
def test_chances_of_a_month_add_up_to_its_one_peak_from_june_to_september_only(month: int) -> None:
    start = datetime(2025, month, 1, 6, tzinfo=UTC)
    quarters = (start + timedelta(minutes=15 * n) for n in range(31 * 96))
    central = timedelta(hours=-5)
    total = sum(peak.prior_peak_probability(at) for at in quarters if (at + central).month == month)
    assert total == pytest.approx(1.0 if month in (6, 7, 8, 9) else 0.0)


def test_no_peak_at_night_or_on_a_sunday() -> None:
    # 2024-08-20 was a Tuesday, 17:00 Central is 22:00 UTC; the 25th a Sunday.
    assert peak.prior_peak_probability(datetime(2024, 8, 20, 22, tzinfo=UTC)) == pytest.approx(0.25 / (22 * 4))
    assert peak.prior_peak_probability(datetime(2024, 8, 20, 9, tzinfo=UTC)) == 0
    assert peak.prior_peak_probability(datetime(2024, 8, 25, 22, tzinfo=UTC)) == 0


def test_two_equal_hours_share_the_chance() -> None:
    found = peak.peak_probabilities(np.array([80_000.0, 80_000.0]), 1000.0, 0.0)
    assert found == pytest.approx([0.5, 0.5], abs=1e-6)


def test_one_hour_passes_the_peak_so_far_by_the_normal_distribution() -> None:
    # One standard deviation below the peak so far: 1 - 0.8413.
    assert peak.peak_probabilities(np.array([79_000.0]), 1000.0, 80_000.0) == pytest.approx([0.15866], abs=1e-5)


def test_of_two_hours_the_chance_is_that_of_their_difference() -> None:
    # P(X > Y) for means 1,000 apart and a deviation of sqrt(2) * 1000 is Phi(0.70711) = 0.76025.
    found = peak.peak_probabilities(np.array([81_000.0, 80_000.0]), 1000.0, 0.0)
    assert found == pytest.approx([0.76025, 0.23975], abs=1e-4)


def test_hours_that_cannot_pass_the_peak_have_no_chance() -> None:
    assert peak.peak_probabilities(np.array([60_000.0, 61_000.0]), 1000.0, 80_000.0).tolist() == [0, 0]
    assert peak.peak_probabilities(np.array([]), 1000.0, 80_000.0).size == 0


@given(st.lists(st.floats(70_000, 85_000), min_size=1, max_size=12), st.floats(300, 3000), st.floats(0, 86_000))
def test_chances_are_a_distribution_in_the_order_of_the_loads(loads: list[float], sd: float, so_far: float) -> None:
    found = peak.peak_probabilities(np.array(loads), sd, so_far)
    assert found.min() >= 0
    assert found.sum() <= 1 + 1e-6
    by_load = found[np.argsort(loads, kind="stable")]
    assert bool(np.all(np.diff(by_load) >= -1e-9))
