"""Snapshots with changed facts, and in what decisions differ."""

from dataclasses import replace
from typing import Any

import pytest

from schemas import events as e
from streams.domain.allocation import modes_of, solve
from streams.domain.whatif import Difference, WhatIfError, assignment, changed, differences, settings
from tests.unit.streams.allocation_case import asic, award, gpu, job, snapshot


def known(**changes: Any) -> e.AllocationSnapshot:
    """A snapshot that says what its prices rest on: LMP 40 and an adder of 10 USD/MWh, BTC at 100,000 USD."""
    facts = {
        "settlement_point": "HB_WEST",
        "lmp_usd_mwh": 40.0,
        "energy_adder_usd_mwh": 10.0,
        "btc_price_usd": 100_000.0,
        "hashprice_usd_ths_day": 0.05,
    }
    return snapshot(asic(), gpu(), job(), **(facts | changes))


def test_higher_lmp_raises_the_cost_of_energy_with_the_adder() -> None:
    case = known(payment_usd_mwh=5.0, signal_id="dr-1", limit_mw=9.0)
    after = changed(case, {"grid.lmp.HB_WEST": 300.0})
    assert (after.lmp_usd_mwh, after.power_cost_usd_mwh, after.grid_value_usd_mwh) == (300.0, 310.0, 315.0)


def test_changes_add_up() -> None:
    after = changed(known(), {"facility.Texas-1.energy_adder_usd_mwh": 20.0, "grid.lmp.HB_WEST": 300.0})
    assert after.power_cost_usd_mwh == 320.0
    assert changed(after, {"facility.Texas-1.transmission_usd_mwh": 150.0}).power_cost_usd_mwh == 470.0


def test_decided_interval_of_the_horizon_follows_and_the_others_do_not() -> None:
    horizon = [e.HorizonInterval(power_cost_usd_mwh=50.0, source="REAL_TIME") for _ in range(2)]
    after = changed(known(horizon=horizon), {"grid.power_cost_usd_mwh": 90.0})
    assert [interval.power_cost_usd_mwh for interval in after.horizon] == [90.0, 50.0]


@pytest.mark.parametrize(
    ("path", "value"),
    [("market.BTC-USD", 150_000.0), ("market.hashprice_usd_ths_day", 0.075)],
    ids=["BTC", "hashprice"],
)
def test_mining_revenue_is_proportional_to_btc_and_hashprice(path: str, value: float) -> None:
    after = changed(known(), {path: value})
    # Half as much again: NORMAL 80 and TURBO 100 USD/h.
    assert [option.revenue_usd_h for option in after.groups[0].modes] == pytest.approx([0.0, 120.0, 150.0])
    assert after.hashprice_usd_ths_day == pytest.approx(0.075)
    assert after.workloads == known().workloads


@pytest.mark.parametrize(
    ("path", "field", "value"),
    [
        ("facility.Texas-1.cap_mw", "cap_mw", 80.0),
        ("facility.Texas-1.pue_ratio", "pue_ratio", 1.5),
        ("grid.limit_mw", "limit_mw", 2.0),
        ("grid.payment_usd_mwh", "payment_usd_mwh", 70.0),
    ],
)
def test_fact_is_set(path: str, field: str, value: float) -> None:
    after = changed(known(signal_id="dr-1", limit_mw=5.0), {path: value})
    assert getattr(after, field) == value


def test_cap_of_one_transformer_is_set_and_decides_what_runs_behind_it() -> None:
    # At 30 USD/MWh TURBO (1.5 MW) earns 55 USD/h and NORMAL (1 MW) 50: with 1.2 MW behind t1, its group is held back.
    m1, m2 = (replace(asic(name), transformer_id=fed_by) for name, fed_by in (("m1", "t1"), ("m2", "t2")))
    caps = [e.TransformerLimit(transformer_id=name, cap_mw=2.0) for name in ("t1", "t2")]
    case = known(groups=[m1, m2], workloads=[], transformers=caps, power_cost_usd_mwh=30.0)
    after = changed(case, {"facility.Texas-1.transformer.t1.cap_mw": 1.2})
    assert [(limit.transformer_id, limit.cap_mw) for limit in after.transformers] == [("t1", 1.2), ("t2", 2.0)]
    assert (modes_of(solve(case)), modes_of(solve(after))) == (
        {"m1": "TURBO", "m2": "TURBO"},
        {"m1": "NORMAL", "m2": "TURBO"},
    )


def test_transformer_that_is_not_there_is_refused_with_those_that_are() -> None:
    case = snapshot(transformers=[e.TransformerLimit(transformer_id="t1", cap_mw=2.0)])
    with pytest.raises(WhatIfError, match=r"no facility\.Texas-1\.transformer\.t9\.cap_mw; .*\.t1\.cap_mw"):
        changed(case, {"facility.Texas-1.transformer.t9.cap_mw": 1.0})


def test_revenue_of_one_workload_is_set() -> None:
    after = changed(snapshot(gpu(), job("a"), job("b")), {"workload.b.revenue_usd_h": 3.0})
    assert [workload.revenue_usd_h for workload in after.workloads] == [10.0, 3.0]


def test_every_setting_at_its_own_value_changes_nothing() -> None:
    case = known(
        signal_id="dr-1",
        limit_mw=5.0,
        payment_usd_mwh=5.0,
        grid_value_usd_mwh=55.0,
        capacity_awards=[award()],
        transformers=[e.TransformerLimit(transformer_id="t1", cap_mw=2.0)],
    )
    for path, setting in settings(case).items():
        assert changed(case, {path: setting.value}) == case, path


def test_award_of_another_size_is_held() -> None:
    case = snapshot(asic(), capacity_awards=[award()])
    after = changed(case, {"capacity.ECRS.0.capacity_mw": 0.5, "capacity.ECRS.0.price_usd_mw_h": 7.0})
    assert after.capacity_awards == [award(capacity_mw=0.5, price_usd_mw_h=7.0)]
    assert (solve(case).capacity_usd_h, solve(after).capacity_usd_h) == (10.0, 3.5)


def test_unknown_path_is_refused_with_all_that_can_be_set() -> None:
    with pytest.raises(WhatIfError) as refused:
        changed(known(), {"grid.lmp.HB_NORTH": 300.0})
    assert str(refused.value) == (
        "this decision has no grid.lmp.HB_NORTH; what can be set: facility.Texas-1.cap_mw,"
        " facility.Texas-1.energy_adder_usd_mwh, facility.Texas-1.pue_ratio, facility.Texas-1.transmission_usd_mwh,"
        " grid.lmp.HB_WEST, grid.power_cost_usd_mwh, market.BTC-USD, market.hashprice_usd_ths_day,"
        " workload.w1.revenue_usd_h"
    )


def test_snapshot_that_does_not_say_its_prices_can_still_have_another_cost() -> None:
    assert set(settings(snapshot())) == {
        "facility.Texas-1.cap_mw",
        "facility.Texas-1.pue_ratio",
        "grid.power_cost_usd_mwh",
    }


def test_impossible_value_is_refused() -> None:
    with pytest.raises(WhatIfError, match=r"pue_ratio must be a number of at least 1, got 0\.5"):
        changed(known(), {"facility.Texas-1.pue_ratio": 0.5})


def test_assignment_is_path_and_number() -> None:
    assert assignment("grid.lmp.HB_WEST=-12.5") == ("grid.lmp.HB_WEST", -12.5)


@pytest.mark.parametrize("text", ["grid.lmp.HB_WEST", "=3", "a=b", "a=nan", "a=inf"])
def test_assignment_of_anything_else_is_refused(text: str) -> None:
    with pytest.raises(WhatIfError, match=r"PATH=NUMBER, such as grid\.lmp\.HB_WEST=300"):
        assignment(text)


def test_decision_does_not_differ_from_itself() -> None:
    assert differences(solve(known()), solve(known())) == []


def test_differences_name_totals_and_groups() -> None:
    case = snapshot(asic())
    # NORMAL at 50 USD/MWh earns 30 USD/h; at 90 it is off.
    assert differences(solve(case), solve(changed(case, {"grid.power_cost_usd_mwh": 90.0}))) == [
        Difference("Texas-1", "margin USD/h", "30.00", "0.00"),
        Difference("Texas-1", "load MW", "1.000", "0.000"),
        Difference("Texas-1", "mining MW", "1.000", "0.000"),
        Difference("Texas-1", "left to the grid MW", "0.500", "1.500"),
        Difference("m1", "mode", "NORMAL", "OFF"),
        Difference("m1", "power MW", "1.000", "0.000"),
        Difference("m1", "margin USD/h", "30.00", "0.00"),
        Difference(
            "m1",
            "why",
            "NORMAL: earns 80.0 $/MWh at a cost of 50.0, its best margin",
            "OFF: could earn 80.0 $/MWh at a cost of 90.0, no mode earns its power",
        ),
    ]
