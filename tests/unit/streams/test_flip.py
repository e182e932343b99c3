"""What would have made a decision another one."""

import random
from dataclasses import replace
from typing import Any

import pytest

from schemas import events as e
from streams.domain import flip
from streams.domain.allocation import solve
from streams.domain.flip import Alternative, Flip, alternatives
from streams.domain.whatif import at_power_cost
from tests.unit.streams.allocation_case import asic, gpu, job, snapshot
from tests.unit.streams.site_case import site


def told(flips: dict[str, Flip]) -> dict[str, tuple[Any, str]]:
    """Price (Any, to be compared with approx) and what is done then, by group."""
    return {name: (found.price, found.does) for name, found in flips.items()}


def power_flips(case: e.AllocationSnapshot) -> dict[str, tuple[Any, str]]:
    return told(flip.power_flips(case, solve(case)))


def btc_flips(case: e.AllocationSnapshot) -> dict[str, tuple[Any, str]]:
    return told(flip.btc_flips(case, solve(case)))


def test_group_flips_where_its_last_half_megawatt_breaks_even() -> None:
    # NORMAL at 50. TURBO's last 0.5 MW earn 20 USD/h: below 40 USD/MWh it is TURBO. NORMAL breaks even at 80, farther.
    assert power_flips(snapshot(asic())) == {"m1": (pytest.approx(40.0, abs=0.01), "TURBO")}


def test_nearest_flip_may_lie_above() -> None:
    flips = power_flips(snapshot(asic(), power_cost_usd_mwh=75.0))
    assert flips == {"m1": (pytest.approx(80.0, abs=0.01), "OFF")}


def test_btc_price_flips_a_group_where_the_revenue_pays_for_more_power() -> None:
    # TURBO's last 0.5 MW earn 20 USD/h at 100,000 USD and cost 25: 125,000. NORMAL is off below 62,500, farther.
    flips = btc_flips(snapshot(asic(), btc_price_usd=100_000.0))
    assert flips == {"m1": (pytest.approx(125_000.0, abs=10.0), "TURBO")}


def test_btc_flips_need_a_price_to_start_from() -> None:
    assert btc_flips(snapshot(asic())) == {}


def test_gpus_flip_at_what_their_workload_earns() -> None:
    # 10 USD/h for 4 kW: 2,500 USD/MWh.
    assert power_flips(snapshot(gpu(), job())) == {"g1": (pytest.approx(2500.0, abs=0.01), "0 GPUs busy")}


def test_group_that_never_changes_is_left_out() -> None:
    assert power_flips(snapshot(gpu())) == {}


def test_flip_beside_another_group_counts_the_power_that_gets_scarce() -> None:
    # 1 MW for two groups of a MW. "rich" has it up to 70 USD/MWh; "poor" would run from below 60, but never gets it.
    poor = asic("poor", ((e.PowerMode.NORMAL, 1.0, 60.0),))
    rich = asic("rich", ((e.PowerMode.NORMAL, 1.0, 70.0),))
    flips = power_flips(snapshot(poor, rich, cap_mw=1.0))
    assert flips == {"rich": (pytest.approx(70.0, abs=0.01), "OFF")}


@pytest.mark.parametrize("seed", range(3))
def test_decision_at_the_flip_is_another_and_just_before_it_the_same(seed: int) -> None:
    case = site(random.Random(seed), groups=4, jobs=3)
    own = {g.resource_group_id: g for g in solve(case).allocations}
    for name, (price, _) in power_flips(case).items():
        side = 0.02 if price < case.power_cost_usd_mwh else -0.02
        there, before = (
            next(g for g in solve(at_power_cost(case, at)).allocations if g.resource_group_id == name)
            for at in (price, price + side)
        )
        assert (there.power_mode, there.gpus_busy) != (own[name].power_mode, own[name].gpus_busy)
        assert (before.power_mode, before.gpus_busy) == (own[name].power_mode, own[name].gpus_busy)


def test_alternatives_say_what_each_other_mode_would_have_cost() -> None:
    # At 50 USD/MWh: NORMAL 80 - 50 = 30 USD/h, TURBO 100 - 75 = 25, OFF 0.
    case = snapshot(asic())
    assert alternatives(case, solve(case)) == [
        Alternative("m1", e.PowerMode.TURBO, 5.0),
        Alternative("m1", e.PowerMode.OFF, 30.0),
    ]


def test_alternative_counts_what_it_would_have_lost_in_the_intervals_that_it_binds() -> None:
    # A stop now would have to rest in two more intervals: 30 USD/h in each of them is 60 of this one.
    running = replace(asic(), current_mode=e.PowerMode.NORMAL, held_s=3600, min_down_s=900)
    ahead = [e.HorizonInterval(power_cost_usd_mwh=50.0, source="FORECAST")] * 5
    dispatch = snapshot(replace(running, planned_modes=[e.PowerMode.NORMAL] * 4), ahead_usd_mwh=[50.0] * 4)
    for case in (dispatch, snapshot(running, horizon=ahead)):
        losses = {found.mode: found.loss_usd_h for found in alternatives(case, solve(case))}
        assert losses == pytest.approx({e.PowerMode.TURBO: 5.0, e.PowerMode.OFF: 90.0})


def test_mode_over_the_cap_is_no_alternative() -> None:
    case = snapshot(asic(), cap_mw=1.2)
    assert alternatives(case, solve(case)) == [Alternative("m1", e.PowerMode.OFF, 30.0)]


def test_alternative_counts_what_the_other_groups_do_then() -> None:
    # 1 MW for two: with "rich" off, "poor" runs for 10 USD/h in place of 20.
    poor = asic("poor", ((e.PowerMode.NORMAL, 1.0, 60.0),))
    rich = asic("rich", ((e.PowerMode.NORMAL, 1.0, 70.0),))
    case = replace(snapshot(poor, rich), cap_mw=1.0)
    assert alternatives(case, solve(case)) == [
        Alternative("poor", e.PowerMode.NORMAL, 10.0),
        Alternative("rich", e.PowerMode.OFF, 10.0),
    ]
