"""Value rules of the contract beyond what Avro's types say."""

from typing import Any

import polars as pl
import pytest

from schemas import events, rule
from schemas.reject import ROW

AWARD: dict[str, Any] = {
    "capacity_mw": 1.0,
    "price_usd_mw_h": 9.0,
    "penalty_usd_mwh": 0.0,
    "starts_at": 0,
    "ends_at": 60_000,
}


@pytest.mark.parametrize(
    "wrong",
    [{"capacity_mw": -1.0}, {"price_usd_mw_h": float("nan")}, {"penalty_usd_mwh": -0.5}, {"ends_at": 0}],
    ids=lambda wrong: next(iter(wrong)),
)
def test_award_that_no_decision_could_count_is_refused(wrong: dict[str, Any]) -> None:
    rows = [[], [AWARD], [AWARD, AWARD | wrong]]
    frame = pl.DataFrame({ROW: [0, 1, 2], "capacity_awards": rows})
    found = rule.violations(events.Facility, frame)
    assert [(reject.row, reject.error) for reject in found] == [(2, rule.RULE_ERROR)]
    assert found[0].reason.startswith("capacity_awards: must have amounts of zero or more, and end after they start")


@pytest.mark.parametrize("wrong", [{"expected_usd_mwh": float("inf")}, {"p25_usd_mwh": 60.0}])
def test_forecast_whose_quantiles_are_none_is_refused(wrong: dict[str, Any]) -> None:
    levels = (("p05", 10.0), ("p25", 30.0), ("p50", 50.0), ("p75", 50.0), ("p95", 90.0))
    interval = {"expected_usd_mwh": 48.0} | {f"{level}_usd_mwh": usd_mwh for level, usd_mwh in levels}
    frame = pl.DataFrame({ROW: [0, 1, 2], "intervals": [[], [interval], [interval, interval | wrong]]})
    found = rule.violations(events.PriceForecast, frame)
    assert [(reject.row, reject.error) for reject in found] == [(2, rule.RULE_ERROR)]
    assert found[0].reason.startswith("intervals: must have finite prices, and quantiles that rise with their level")
