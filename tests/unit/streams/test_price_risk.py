"""Price scenarios: what they are measured from, and what a plan that minds them does."""

import os
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from schemas import events as e
from streams.domain.allocation import solve
from streams.domain.forecast.point import towards
from streams.domain.price_risk import (
    ERRORS_USD_MWH,
    LEADS_S,
    PROBABILITY,
    RiskPolicy,
    errors_usd_mwh,
    with_scenarios,
)
from streams.domain.whatif import at_power_cost
from tests.unit.streams.allocation_case import asic, snapshot
from tests.unit.streams.test_planning import ahead

RECORDED = Path(os.environ.get("HCP_TEST_DATA", "not-given"))
HALF = RiskPolicy(weight=0.5, tail=0.1)
MINE = asic(options=((e.PowerMode.NORMAL, 1.0, 80.0),))


def at_risk(policy: RiskPolicy, *costs: float) -> e.AllocationSnapshot:
    """A mine that earns 80 USD/MWh, with hours ahead at these costs."""
    return snapshot(
        MINE,
        power_cost_usd_mwh=costs[0],
        horizon=with_scenarios(ahead(*costs), 300, policy),
        risk_weight=policy.weight,
        risk_tail=policy.tail,
        scenario_probability=list(PROBABILITY) if policy.weight else [],
    )


def test_scenarios_leave_what_is_expected_and_know_the_price_of_now() -> None:
    errors = np.array(errors_usd_mwh([0, 450, 900, 14_400, 20_000]))
    assert sum(PROBABILITY) == pytest.approx(1.0)
    assert errors @ np.array(PROBABILITY) == pytest.approx(np.zeros(5))
    assert errors[0].tolist() == [0.0] * 6
    assert errors[1] == pytest.approx(errors[2] / 2)  # halfway to the first lead
    assert errors[3].tolist() == errors[4].tolist()
    # Mean of the recorded errors at 15 minutes: -0.18.
    assert errors[2] == pytest.approx(np.array([row[1] for row in ERRORS_USD_MWH]) + 0.13, abs=0.01)


def test_risk_without_weight_changes_nothing() -> None:
    horizon = ahead(50.0, 60.0)
    assert with_scenarios(horizon, 300, RiskPolicy()) == horizon
    assert solve(at_risk(RiskPolicy(), 50.0, 60.0)) == solve(snapshot(MINE, horizon=horizon))


def test_plan_that_minds_bad_prices_rests_where_the_margin_is_thin() -> None:
    # An hour ahead the worst tenth is dearer by (1 % of 173.2, 4 % of 23.6, 5 % of 5.1) / 10 %, about 29 USD/MWh: half
    # of it is more than the margin of 10. The price of the first interval is known.
    costs = [70.0] * 13
    assert [entry.mining_mw for entry in solve(at_risk(RiskPolicy(), *costs)).horizon] == [1.0] * 13
    minded = [entry.mining_mw for entry in solve(at_risk(HALF, *costs)).horizon]
    assert (minded[0], minded[12]) == (1.0, 0.0)
    wide = [40.0] * 13
    assert [entry.mining_mw for entry in solve(at_risk(HALF, *wide)).horizon] == [1.0] * 13


def test_more_weight_never_expects_to_use_more() -> None:
    costs = [float(60 + (7 * n) % 25) for n in range(24)]
    loads = [
        sum(entry.mining_mw for entry in solve(at_risk(RiskPolicy(weight), *costs)).horizon)
        for weight in (0.0, 0.1, 0.3, 0.6, 1.0)
    ]
    assert loads == sorted(loads, reverse=True)
    assert loads[0] > loads[-1]


def test_another_cost_of_now_keeps_the_risk_of_the_hours_ahead() -> None:
    case = at_risk(HALF, 70.0, 70.0)
    after = at_power_cost(case, 300.0)
    assert [entry.power_cost_usd_mwh for entry in after.horizon] == [300.0, 70.0]
    assert after.horizon[1] == case.horizon[1]


@pytest.mark.parametrize("changes", [{"weight": -0.1}, {"weight": 1.1}, {"tail": 0.0}, {"weight": float("nan")}])
def test_share_that_is_none_is_refused(changes: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="weight must be from 0 to 1"):
        replace(HALF, **changes)


@pytest.mark.skipif(not RECORDED.is_dir(), reason="needs recorded prices: HCP_TEST_DATA names their folder")
def test_table_is_what_the_recorded_prices_say() -> None:
    real_time, day_ahead = recorded("rtm_spp_15min", 900), np.repeat(recorded("dam_spp_hourly", 3600), 4)
    asked = 16 * 96 + np.arange(573 * 96)  # from 5 February 2024 on, in quarter hours since midnight of 20 January

    def error(lead: int) -> NDArray[np.float64]:
        elapsed_ms = np.full(len(asked), lead * 900_000)
        forecast = towards(real_time[asked], day_ahead[asked], day_ahead[asked + lead], elapsed_ms)
        return real_time[asked + lead] - forecast

    errors = np.column_stack([error(lead) for lead in range(1, 17)])
    errors = errors[np.argsort(errors.mean(axis=1))]
    cuts = np.round(np.cumsum(PROBABILITY)[:-1] * len(errors)).astype(int)
    found = [[float(part[:, lead // 900 - 1].mean()) for lead in LEADS_S[1:]] for part in np.split(errors, cuts)]
    assert len(errors) == 55_008
    assert np.array(found) == pytest.approx(np.array(ERRORS_USD_MWH)[:, 1:], abs=0.006)


def recorded(name: str, interval_s: int) -> NDArray[np.float64]:
    """Prices of the hub average from 20 January 2024 on, an entry an interval."""
    frame = pl.read_csv(RECORDED / f"ercot_{name}_HB_HUBAVG_2024_2025.csv")
    start = frame["interval_start_utc"].str.to_datetime("%Y-%m-%dT%H:%M:%SZ")
    seconds = (start - datetime(2024, 1, 20)).dt.total_seconds()  # noqa: DTZ001 - both are UTC
    assert (seconds.diff().drop_nulls() == interval_s).all(), "a price is missing"
    return frame.filter(seconds >= 0)["price_usd_per_mwh"].to_numpy()
