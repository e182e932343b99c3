"""Value rules of the contract beyond what Avro's types say."""

from typing import Any

import polars as pl
import pytest

from schemas import events, rule
from schemas.columnar import ROW

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
