"""An evaluation: the merit order of a facility, break-evens and sensitivities, and what it says of its inputs."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.events import (
    FallbackRule,
    GroupEconomics,
    InputCondition,
    InputFallback,
    PowerMode,
    PowerUse,
    Profitability,
    UseKind,
    WorkloadState,
)
from streams.domain import evaluation
from streams.domain.economics import EconomicsPolicy
from streams.domain.market_state import MarketState
from streams.domain.workload import WorkloadBook
from tests import streams_event as a
from tests.unit.streams.test_market_state import known

# 1e12 * 86,400 / (1e14 * 4,295,032,833) blocks a day, 3.125 + 0.075 BTC each at 100,000 USD, less 2 % for the pool.
HASHPRICE = 8.64e16 / (1e14 * 2**48 / 0xFFFF) * 3.2 * 100_000 * 0.98
WINDOWS = (a.window(15), a.window(15, "tx1-gpu", kind="GPU", readings=16, devices=16, power_w_sum=1600.0))


def evaluated(state: MarketState, *steps: Any, seconds: float = 15) -> Profitability:
    """The evaluation of Texas-1, with workloads in a book."""
    book = WorkloadBook()
    for step in steps:
        book.apply(step)
    found = evaluation.evaluate(
        state,
        book,
        "Texas-1",
        at=a.at(seconds),
        cause_event_id="cause",
        interval_s=300,
        policy=EconomicsPolicy(),
    )
    assert isinstance(found, Profitability)
    return found


def group(found: Profitability, name: str) -> GroupEconomics:
    """One group's entry."""
    return next(entry for entry in found.groups if entry.resource_group_id == name)


def uses_of(found: Profitability, kind: UseKind) -> list[PowerUse]:
    """The uses of a kind."""
    return [use for use in found.uses if use.use is kind]


def test_merit_order_has_each_use_of_the_next_megawatt() -> None:
    waiting = a.transition(facility_id="Texas-1", price_usd_gpu_hour=3.0)
    found = evaluated(known(*WINDOWS), waiting)
    # A busy GPU draws 600 W over an idle one, 660 with cooling; from 30 W of standby ECO is 1.97 kW and earns 120 TH/s.
    hour = HASHPRICE / 24
    expected = [
        (UseKind.GPU_QUEUE, None, 3.0 / 660e-6, 8 * 660e-6),
        (UseKind.GPU_SPOT, None, 2.0 / 660e-6, 16 * 660e-6),
        (UseKind.MINING, PowerMode.ECO, 120 * hour / (1970 * 1.1e-6), 100 * 1970 * 1.1e-6),
        (UseKind.MINING, PowerMode.NORMAL, 30 * hour / (1000 * 1.1e-6), 100 * 1000 * 1.1e-6),
        (UseKind.MINING, PowerMode.TURBO, 20 * hour / (1000 * 1.1e-6), 100 * 1000 * 1.1e-6),
        # 50 miners of 3 kW and 16 idle GPUs, with cooling.
        (UseKind.GRID, None, 40.0, (150_000 + 1600) * 1.1e-6),
    ]
    assert [(use.use, use.mode) for use in found.uses] == [entry[:2] for entry in expected]
    for use, (_, _, value, available) in zip(found.uses, expected, strict=True):
        assert [use.value_usd_mwh, use.margin_usd_mwh, use.available_mw] == pytest.approx(
            [value, value - 40.0, available]
        )
    assert found.fallbacks == []


def test_gpus_that_are_held_take_no_more_power() -> None:
    running = a.transition(to_state=WorkloadState.RUNNING, facility_id="Texas-1", resource_group_id="tx1-gpu", gpus=12)
    waiting = a.transition(workload_id="wl-2", facility_id="Texas-1", gpus=8)
    found = evaluated(known(*WINDOWS), running, waiting)
    assert [use.available_mw for use in uses_of(found, UseKind.GPU_SPOT)] == pytest.approx([4 * 660e-6])
    assert uses_of(found, UseKind.GPU_QUEUE) == []


def test_block_is_sold_back_up_to_its_limit_and_the_rest_not_bought() -> None:
    # 0.165 MW in use of a block of 0.1: 0.065 is bought beside it; of the block 0.04 may be sold.
    facility = a.facility(block_mw=0.1, sell_back_limit_mw=0.04, recorded_at=a.at(0))
    found = evaluated(known(*WINDOWS, facility))
    assert [use.available_mw for use in uses_of(found, UseKind.SELL_BACK)] == pytest.approx([0.04])
    assert [use.available_mw for use in uses_of(found, UseKind.GRID)] == pytest.approx([0.16676 - 0.1])
    # Of a block of 0.19 nearly 0.024 is sold already.
    facility = a.facility(block_mw=0.19, sell_back_limit_mw=0.04, recorded_at=a.at(0))
    found = evaluated(known(*WINDOWS, facility))
    assert [use.available_mw for use in uses_of(found, UseKind.SELL_BACK)] == pytest.approx([0.04 - (0.19 - 0.16676)])
    assert uses_of(found, UseKind.GRID) == []


def test_call_pays_on_top_of_the_avoided_cost() -> None:
    found = evaluated(known(*WINDOWS, a.signal(10)))
    (call,) = uses_of(found, UseKind.DEMAND_RESPONSE)
    assert (call.value_usd_mwh, call.margin_usd_mwh, found.grid_value_usd_mwh) == (90.0, 50.0, 90.0)


def test_margins_and_break_evens_of_miners_by_hand() -> None:
    found = group(evaluated(known(*WINDOWS)), "tx1-asic")
    value = 170 * HASHPRICE / 24 / 0.0044
    assert found.best_mode is PowerMode.TURBO
    assert found.efficiency_j_th == pytest.approx(4000 / 170)
    assert found.value_usd_mwh == pytest.approx(value)
    assert found.margin_usd_h == pytest.approx((value - 40) * 0.0044 * 100)
    assert found.break_even_btc_usd == pytest.approx(100_000 * 40 / value)
    assert found.break_even_difficulty == pytest.approx(1e14 * value / 40)
    assert found.break_even_gpu_hour_usd is None


def test_break_even_of_gpus_is_the_energy_of_an_hour() -> None:
    found = group(evaluated(known(*WINDOWS)), "tx1-gpu")
    # 700 W with 10 % of cooling for an hour at 40 USD/MWh.
    assert found.break_even_gpu_hour_usd == pytest.approx(0.77e-3 * 40)
    assert found.margin_usd_h == pytest.approx(16 * (2.0 - 0.77e-3 * 40))


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        pytest.param(a.tick(1, 101_000.0), "btc_sensitivity_usd_mwh", id="BTC"),
        pytest.param(a.network(1, 1.01e14), "difficulty_sensitivity_usd_mwh", id="difficulty"),
        pytest.param(a.price(1, 30.3), "power_sensitivity_usd_mwh", id="power"),
        pytest.param(a.gpu_tick(1, 2.02), "gpu_hour_sensitivity_usd_mwh", id="GPU-hour"),
    ],
)
@pytest.mark.parametrize("name", ["tx1-asic", "tx1-gpu"])
def test_sensitivity_is_what_one_percent_more_changes(changed: Any, field: str, name: str) -> None:
    before, after = (group(evaluated(state), name) for state in (known(*WINDOWS), known(*WINDOWS, changed)))
    change = after.margin_usd_mwh - before.margin_usd_mwh
    assert getattr(before, field) == pytest.approx(change, abs=1e-9)


@given(st.floats(-200, 5000), st.floats(1000, 500_000))
def test_break_even_price_of_bitcoin_is_where_the_margin_is_nothing(lmp: float, btc_usd: float) -> None:
    found = group(evaluated(known(*WINDOWS, a.price(1, lmp), a.tick(1, btc_usd))), "tx1-asic")
    if found.break_even_btc_usd is None:
        assert lmp + 10 <= 0
    else:
        even = evaluated(known(*WINDOWS, a.price(1, lmp), a.tick(1, found.break_even_btc_usd)))
        mode = next(p for p in a.miners().modes if p.mode is found.best_mode)
        value = mode.hashrate_ths * even.hashprice_usd_ths_day / 24 / (mode.power_w * 1.1e-6)
        assert value == pytest.approx(lmp + 10, rel=1e-9)


@given(st.floats(-200, 5000), st.floats(0, 1000))
def test_dearer_power_never_raises_a_margin(lmp: float, dearer: float) -> None:
    before, after = (evaluated(known(*WINDOWS, a.price(1, lmp + extra))) for extra in (0.0, dearer))
    for one, other in zip(before.groups, after.groups, strict=True):
        assert other.margin_usd_h is not None
        assert one.margin_usd_h is not None
        assert other.margin_usd_h <= one.margin_usd_h + 1e-9


def test_next_block_of_a_halving_pays_half() -> None:
    last = replace(a.network(1), block_height=1_049_999)
    found = evaluated(known(*WINDOWS, last))
    # The block that is mined now is 1,050,000: 1.5625 BTC and the fees.
    assert found.hashprice_usd_ths_day == pytest.approx(HASHPRICE * (1.5625 + 0.075) / 3.2)


def test_stale_inputs_are_told_with_the_rules_that_were_followed() -> None:
    found = evaluated(known(*WINDOWS, a.day_ahead(3, 55.0)), seconds=3 * 3600 + 1)
    assert [(f.name, f.condition, f.rule) for f in found.fallbacks] == [
        ("fleet.windows/tx1-asic", InputCondition.STALE, FallbackRule.LAST_KNOWN),
        ("fleet.windows/tx1-gpu", InputCondition.STALE, FallbackRule.LAST_KNOWN),
        ("grid.prices/HB_WEST", InputCondition.STALE, FallbackRule.DAY_AHEAD_OF_HOUR),
        ("market.ticks/BTC-USD", InputCondition.STALE, FallbackRule.LAST_KNOWN_LESS_RISK),
        ("market.ticks/H100-HOUR-USD", InputCondition.STALE, FallbackRule.LAST_KNOWN),
        ("network.stats/bitcoin", InputCondition.STALE, FallbackRule.LAST_KNOWN),
    ]
    assert [found.lmp_usd_mwh, found.day_ahead_usd_mwh, found.load_mw] == pytest.approx([55.0, 55.0, 0.16676])
    assert {r.name for r in found.inputs if not r.is_stale} == {"grid.prices/HB_WEST/DAY_AHEAD"}


def test_group_that_never_reported_counts_at_standby_and_says_so() -> None:
    found = evaluated(known(a.window(15)))
    assert found.fallbacks == [
        InputFallback(
            name="fleet.windows/tx1-gpu",
            condition=InputCondition.MISSING,
            rule=FallbackRule.IDLE_POWER,
            value=0.0016,
        )
    ]
    assert group(found, "tx1-gpu").load_mw == pytest.approx(0.0016)


def test_transmission_charge_is_part_of_the_cost_at_a_possible_peak() -> None:
    # Noon is in January; 22:00 UTC of a Tuesday in August is 17:00 Central, a possible peak.
    state = known(*WINDOWS)
    state.add(a.facility(transmission_usd_kw_year=60, recorded_at=a.at(-1)))
    assert evaluated(state).transmission_usd_mwh == 0
    summer = (datetime(2026, 8, 18, 22, tzinfo=UTC) - a.NOON).total_seconds()
    found = evaluated(state, seconds=summer)
    # August 2026 has 21 working days, and 10 of weekends that count 0.4: one of 16 quarter hours in one of 25 days.
    assert found.transmission_usd_mwh == pytest.approx(60_000 / (25 * 16))
    assert found.power_cost_usd_mwh == pytest.approx(40 + found.transmission_usd_mwh)
    elsewhere = known(*WINDOWS, a.facility(grid_operator="AESO", transmission_usd_kw_year=60, recorded_at=a.at(0)))
    assert evaluated(elsewhere, seconds=summer).transmission_usd_mwh == 0


def test_same_inputs_give_the_same_evaluation() -> None:
    assert evaluated(known(*WINDOWS)) == evaluated(known(*reversed(WINDOWS)))
