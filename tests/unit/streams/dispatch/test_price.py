"""What one more unit of a limit is worth in a decision."""

from dataclasses import replace

import pytest

from schemas import events as e
from streams.domain.allocation import solve
from tests.unit.streams.allocation_case import asic, gpu, job, running, snapshot


def test_one_megawatt_more_of_a_transformer_has_its_price() -> None:
    # TURBO's half a MW more earns 20 - 15 USD/h: 10 a MW.
    limits = [e.TransformerLimit(transformer_id=name, cap_mw=mw) for name, mw in (("t1", 1.25), ("t2", 9.0))]
    m1 = replace(asic("m1"), transformer_id="t1")
    decision = solve(snapshot(m1, asic("m2"), transformers=limits, power_cost_usd_mwh=30.0))
    assert decision.binding_limits == [
        e.BindingLimit(rule="transformer cap", subject="t1", interval=0, unit="MW", usd_h=10.0)
    ]


def test_one_megawatt_more_of_a_broken_call_is_worth_the_penalty() -> None:
    kept = running("w1", "g1", cost_usd=1000.0)
    decision = solve(snapshot(asic(), gpu(), kept, power_cost_usd_mwh=30.0, signal_id="dr-1", limit_mw=0.0))
    assert [(limit.rule, limit.usd_h) for limit in decision.binding_limits] == [("grid limit", 100_000.0)]


def test_one_more_megawatt_is_worth_the_margin_of_the_mode_that_it_would_complete() -> None:
    # Cap 1.25 MW at 30 USD/MWh: NORMAL draws 1 MW; TURBO's 0.5 MW more would earn 20 - 15 = 5 USD/h, 10 for a MW.
    decision = solve(snapshot(asic(), power_cost_usd_mwh=30.0, cap_mw=1.25))
    assert decision.binding_limits == [
        e.BindingLimit(rule="facility cap", subject="Texas-1", interval=0, unit="MW", usd_h=10.0)
    ]


def test_grid_limit_that_binds_has_the_price_and_the_cap_has_none() -> None:
    decision = solve(snapshot(asic(), power_cost_usd_mwh=30.0, signal_id="dr-1", limit_mw=1.25))
    assert decision.binding_limits == [
        e.BindingLimit(rule="grid limit", subject="Texas-1", interval=0, unit="MW", usd_h=10.0)
    ]


def test_one_more_gpu_is_worth_what_the_first_workload_without_room_bids() -> None:
    # 8 GPUs: 4 at 3 USD each, then 8 more wanted at 2.50, less 1 kW at 50 USD/MWh: 2.45.
    (limit,) = solve(snapshot(gpu(), job("a", 4, 12.0), job("b", 8, 20.0))).binding_limits
    assert (limit.rule, limit.subject, limit.unit) == ("GPUs in service", "g1", "GPU")
    assert limit.usd_h == pytest.approx(2.45)


def test_what_is_not_scarce_has_no_price() -> None:
    assert solve(snapshot(asic(), gpu(), job())).binding_limits == []
