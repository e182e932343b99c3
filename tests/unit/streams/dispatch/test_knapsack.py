"""The knapsack search against CP-SAT and against trying everything, and its limit."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas import events as e
from streams.domain.allocation import modes_of, solve
from streams.domain.choice import MONEY_PER_USD, Choices, Floor, choices
from streams.domain.dispatch import core_search, cp_sat, knapsack
from streams.domain.dispatch.dual import dual
from streams.domain.dispatch.merit_order import merit_order
from streams.domain.dispatch.problem import problem_of
from streams.domain.penalty import Rule
from streams.domain.selection import extra_w, overloaded, worth
from tests.unit.streams.allocation_case import asic, gpu, job, running, snapshot, snapshots
from tests.unit.streams.site_case import held_up, site, within_plan


def assert_keeps_the_limits(found: Choices, best: knapsack.Optimum) -> None:
    used = dict.fromkeys(found.gpus, 0)
    for place in found.places:
        if best.selection.places.get(place.workload.workload_id) == place.group:
            used[place.group] += place.workload.gpus
    assert set(best.selection.modes) == set(found.modes)
    assert extra_w(found, best.selection) <= found.cap_extra_w
    assert all(used[group] <= units for group, units in found.gpus.items())
    assert overloaded(found, best.selection) == set()
    assert worth(found, best.selection) == best.worth


def assert_is_that_of_the_general_solver(found: Choices) -> None:
    best = knapsack.optimum(found)
    selection, status, _ = cp_sat.best(found, merit_order(found))
    assert best is not None
    assert_keeps_the_limits(found, best)
    assert (status, worth(found, selection)) == ("OPTIMAL", best.worth)


@settings(max_examples=100, deadline=None)
@given(snapshots())
def test_optimum_is_that_of_the_general_solver(case: e.AllocationSnapshot) -> None:
    assert_is_that_of_the_general_solver(choices(replace(case, capacity_awards=[])))


@settings(max_examples=100, deadline=None)
@given(snapshots())
def test_optimum_with_floors_is_that_of_the_general_solver_or_left_to_it(case: e.AllocationSnapshot) -> None:
    found = choices(case)
    if knapsack.optimum(found) is not None:
        assert_is_that_of_the_general_solver(found)


@pytest.mark.parametrize("seed", range(24))
def test_optimum_above_floors_is_that_of_the_general_solver(seed: int) -> None:
    draw = random.Random(seed)
    found = choices(held_up(draw, site(draw, groups=8, jobs=10, gpu_groups=1 + seed % 2)))
    assert_is_that_of_the_general_solver(found)


def test_floor_and_transformer_in_each_others_way_are_left_to_the_general_solver() -> None:
    # At 30 USD/MWh m1 loses 10 USD/h a MW and m2 20. A floor of 1 MW at 50 USD would turn m1 on, but t1 carries 0.5.
    m1, m2 = (asic(name, ((e.PowerMode.NORMAL, 1.0, usd),)) for name, usd in (("m1", 20.0), ("m2", 10.0)))
    found = choices(fed(*behind("t1", m1), m2, t1=0.5))
    found = replace(found, floors=(Floor(Rule.MINIMUM_LOAD, "Texas-1", 1_000_000, 50),))
    assert knapsack.optimum(found) is None
    (selection, status, _) = cp_sat.best(found, merit_order(found))
    assert (selection.modes, status) == ({"m1": "OFF", "m2": "NORMAL"}, "OPTIMAL")


@pytest.mark.parametrize("seed", range(24))
def test_optimum_of_a_whole_site_is_that_of_the_general_solver(seed: int) -> None:
    case = site(random.Random(seed), groups=12, jobs=30, gpu_groups=1 + seed % 2, transformers=seed % 4)
    assert_is_that_of_the_general_solver(choices(case))


@pytest.mark.parametrize("seed", range(12))
def test_optimum_within_a_plan_is_that_of_the_general_solver(seed: int) -> None:
    draw = random.Random(seed)
    case = within_plan(draw, site(draw, groups=12, jobs=20, gpu_groups=1 + seed % 2, transformers=seed % 3))
    assert_is_that_of_the_general_solver(choices(case))


def behind(name: str, *parts: e.GroupInput) -> list[e.GroupInput]:
    """These groups behind a transformer."""
    return [replace(part, transformer_id=name) for part in parts]


def fed(*parts: e.GroupInput | e.WorkloadInput, **caps_mw: float) -> e.AllocationSnapshot:
    """A facility at 30 USD/MWh with transformers of these caps."""
    limits = [e.TransformerLimit(transformer_id=name, cap_mw=mw) for name, mw in caps_mw.items()]
    return snapshot(*parts, transformers=limits, power_cost_usd_mwh=30.0)


@pytest.mark.parametrize("seed", range(40))
def test_optimum_of_few_groups_beside_many_workloads_is_that_of_the_general_solver(seed: int) -> None:
    # Whole modes of a few large groups leave much of the limits, which then are the workloads' to use.
    draw = random.Random(seed)
    case = site(draw, groups=1 + seed % 5, jobs=14, gpu_groups=1 + seed % 2, transformers=seed % 3)
    gpus = [replace(g, unit_power_mw=draw.uniform(0.0006, 0.02)) if g.unit_power_mw else g for g in case.groups]
    assert_is_that_of_the_general_solver(choices(replace(case, groups=gpus)))


@pytest.mark.parametrize("seed", [*range(6), 57, 69, 105, 128, 133])
def test_optimum_of_workloads_behind_several_transformers_is_that_of_the_general_solver(seed: int) -> None:
    # At six of these a workload's place is right for the transformer that it is behind, and for that alone.
    draw = random.Random(seed)
    case = site(draw, groups=1 + seed % 5, jobs=14, gpu_groups=2 + seed % 2, transformers=2 + seed % 3)
    gpus = [replace(g, unit_power_mw=draw.uniform(0.0006, 0.02)) if g.unit_power_mw else g for g in case.groups]
    assert_is_that_of_the_general_solver(choices(replace(case, groups=gpus)))


def tight(draw: random.Random, transformers: int = 2) -> e.AllocationSnapshot:
    """A few miners of any size behind transformers that bind, as the cap does: whole modes hardly ever fit."""
    parts = []
    for n in range(draw.randrange(4, 9)):
        powers = sorted(draw.uniform(0.2, 2.0) for _ in range(3))
        modes = zip((e.PowerMode.ECO, e.PowerMode.NORMAL, e.PowerMode.TURBO), powers, strict=True)
        group = asic(f"m{n}", tuple((mode, mw, mw * draw.uniform(35, 90)) for mode, mw in modes))
        feeder = n % (transformers + 1)
        parts.append(replace(group, transformer_id=None if feeder == transformers else f"t{feeder}"))
    most_mw = {part.resource_group_id: part.modes[-1].power_mw for part in parts}
    caps_mw = dict.fromkeys((f"t{n}" for n in range(transformers)), 0.0)
    for part in parts:
        if part.transformer_id is not None:
            caps_mw[part.transformer_id] += most_mw[part.resource_group_id]
    caps_mw = {name: mw * draw.uniform(0.3, 0.8) for name, mw in caps_mw.items()}
    return replace(fed(*parts, **caps_mw), cap_mw=sum(most_mw.values()) * draw.uniform(0.3, 0.8))


@pytest.mark.parametrize("seed", range(30))
def test_optimum_behind_tight_transformers_is_that_of_the_general_solver(seed: int) -> None:
    assert_is_that_of_the_general_solver(choices(tight(random.Random(seed), 1 + seed % 3)))


def soft(seed: int, transformers: int = 2) -> Choices:
    """Such a site with a limit that is worth breaking at times: power over it costs about what it earns."""
    draw = random.Random(seed)
    found = choices(tight(draw, transformers))
    limit_w = round(found.cap_extra_w * draw.uniform(0.5, 1.0))
    return replace(found, limit_extra_w=limit_w, penalty_per_w=draw.randrange(5, 60))


@pytest.mark.parametrize("seed", range(30))
def test_optimum_over_a_soft_limit_is_that_of_the_general_solver(seed: int) -> None:
    assert_is_that_of_the_general_solver(soft(seed, seed % 3))


def test_search_that_judges_all_states_finds_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    cases = [choices(tight(random.Random(seed))) if seed % 2 else soft(seed) for seed in range(60)]
    bests = [knapsack.optimum(found) for found in cases]
    # All states are judged then.
    monkeypatch.setattr(core_search, "FEW", 0)
    for found, best in zip(cases, bests, strict=True):
        again = knapsack.optimum(found)
        assert best is not None
        assert again is not None
        assert again.worth == best.worth


@pytest.mark.parametrize("seed", range(6))
def test_bound_of_the_prices_is_never_below_the_optimum(seed: int) -> None:
    found = choices(site(random.Random(seed), groups=10, jobs=20, gpu_groups=1 + seed % 3))
    best = knapsack.optimum(found)
    assert best is not None
    for merged in (True, False):
        assert dual(problem_of(found, merged=merged)).bound >= best.worth - 1


def test_workloads_that_fit_the_gpus_together_but_no_group_are_searched_group_by_group() -> None:
    # 9 GPUs for 3 workloads of 3: as one pool all of them run, but groups of 4 and 5 hold one each.
    found = choices(snapshot(gpu("g1", 4), gpu("g2", 5), job("a", 3), job("b", 3, 11.0), job("c", 3, 12.0)))
    best = knapsack.optimum(found)
    assert best is not None
    assert sorted(best.selection.places) == ["b", "c"]
    assert_keeps_the_limits(found, best)


def test_transformer_holds_back_its_own_groups_and_no_other() -> None:
    # TURBO (1.5 MW) earns 55 USD/h, NORMAL (1 MW) 50: 2.5 MW behind t1 carry one of each, m3 is free.
    m1, m2 = behind("t1", asic("m1"), asic("m2"))
    decision = solve(fed(m1, m2, asic("m3"), t1=2.6))
    assert (decision.solver, decision.objective_usd_h) == (knapsack.NAME, 160.0)
    assert sorted(modes_of(decision).values()) == ["NORMAL", "TURBO", "TURBO"]
    assert modes_of(decision)["m3"] == "TURBO"


def test_group_held_back_by_its_transformer_says_so() -> None:
    # 1.4 MW carry NORMAL; TURBO alone needs 1.5, and both of a pair in NORMAL leave too little for one more step.
    (m1,) = behind("t1", asic("m1"))
    m2, m3 = behind("t2", asic("m2"), asic("m3"))
    decision = solve(fed(m1, m2, m3, t1=1.4, t2=2.4))
    assert [group.reason.partition(", ")[2] for group in decision.allocations] == [
        "TURBO would earn more, limited by transformer t1",
        "TURBO would earn more, limited by transformer t2",
        "TURBO would earn more, limited by transformer t2",
    ]


def test_transformer_that_is_slack_on_average_binds_where_a_whole_mode_is_too_much() -> None:
    # At 30 USD/MWh m1 leaves 100 USD/h a MW, m2 20 and m3 32. On average the cap of 1 MW goes to m1 (0.3) and m3 (0.7).
    # In whole modes m1 and m2 (30 + 6) beat m3 (32), but are 0.6 MW behind a transformer of 0.5.
    m1, m2 = behind(
        "t1", *(asic(name, ((e.PowerMode.NORMAL, 0.3, usd),)) for name, usd in (("m1", 39.0), ("m2", 15.0)))
    )
    m3 = asic("m3", ((e.PowerMode.NORMAL, 1.0, 62.0),))
    case = replace(fed(m1, m2, m3, t1=0.5), cap_mw=1.0)
    assert dual(problem_of(choices(case), merged=True)).transformer == (0.0,)
    decision = solve(case)
    assert (decision.solver, decision.objective_usd_h) == (knapsack.NAME, 32.0)


def test_gpus_share_the_transformer_of_the_miners_beside_them() -> None:
    # 8 GPUs draw 8 kW behind t1, whose 1.005 MW carry NORMAL and five of them: the one of four runs.
    (m1, g1) = behind("t1", asic("m1"), gpu("g1"))
    decision = solve(fed(m1, g1, job("a", 4, 10.0), job("b", 4, 9.0), t1=1.005))
    assert decision.solver == knapsack.NAME
    assert modes_of(decision) == {"m1": "NORMAL"}
    assert [group.workload_ids for group in decision.allocations] == [[], ["a"]]
    assert decision.allocations[1].reason.endswith("1 waiting, limited by transformer t1")


def test_workload_goes_to_the_gpus_whose_transformer_has_room() -> None:
    (m1, g1), (g2,) = behind("t1", asic("m1"), gpu("g1")), behind("t2", gpu("g2"))
    decision = solve(fed(m1, g1, g2, job("a"), t1=1.002, t2=1.0))
    assert [group.workload_ids for group in decision.allocations] == [[], [], ["a"]]
    assert modes_of(decision) == {"m1": "NORMAL"}


def test_large_workload_finds_room_beside_small_ones() -> None:
    # 4 + 4 GPUs for 4, 2 and 2: the small ones have to share a group.
    found = choices(snapshot(gpu("g1", 4), gpu("g2", 4), job("a", 2), job("b", 2), job("c", 4)))
    best = knapsack.optimum(found)
    assert best is not None
    assert sorted(best.selection.places) == ["a", "b", "c"]


def test_broken_call_is_worth_its_penalty_where_stopping_costs_more() -> None:
    # Stopping it costs 1,000 USD in 5 minutes, 12,000 USD/h; 4 kW over the limit cost 400.
    found = choices(snapshot(gpu(), running("w1", "g1", cost_usd=1000.0), signal_id="dr-1", limit_mw=0.0))
    best = knapsack.optimum(found)
    assert best is not None
    assert best.selection.places == {"w1": "g1"}
    # 10 - 0.2 of energy + 12,000 of preemption avoided - 400.
    assert best.worth == 11_609_800_000


def test_beyond_its_limit_the_general_solver_decides_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    case = site(random.Random(1), groups=8, jobs=12, gpu_groups=1)
    ours = solve(case)
    assert ours.solver == knapsack.NAME
    found = choices(case)
    assert knapsack.optimum(found, state_limit=3) is None
    monkeypatch.setattr(knapsack, "optimum", lambda _: None)
    theirs = solve(case)
    assert theirs.solver == f"{knapsack.NAME}, {cp_sat.name()}"
    assert (theirs.status, theirs.objective_usd_h) == ("OPTIMAL", ours.objective_usd_h)


def test_cap_that_nothing_keeps_is_left_to_the_general_solver() -> None:
    only_on = replace(asic(), modes=asic().modes[1:])
    assert knapsack.optimum(choices(snapshot(only_on, cap_mw=0.5))) is None


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_more_cap_never_lowers_the_worth(seed: int, tenths: int) -> None:
    case = site(random.Random(seed), groups=6, jobs=8, gpu_groups=2)
    less, more = (knapsack.optimum(choices(replace(case, cap_mw=case.cap_mw + mw))) for mw in (0.0, tenths / 10))
    assert less is not None
    assert more is not None
    assert more.worth >= less.worth


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 100))
def test_dearer_power_never_raises_the_load(seed: int, usd_mwh: int) -> None:
    case = site(random.Random(seed), groups=6, jobs=8, gpu_groups=2)
    dearer = replace(case, power_cost_usd_mwh=case.power_cost_usd_mwh + usd_mwh)
    cheap, dear = (choices(c) for c in (case, dearer))
    first, second = knapsack.optimum(cheap), knapsack.optimum(dear)
    assert first is not None
    assert second is not None
    # Worth is rounded to a unit for each choice: of 20 choices, 20 units at a W's price of at least 1 USD/MWh.
    assert extra_w(dear, second.selection) <= extra_w(cheap, first.selection) + 20


def test_equal_groups_are_no_trouble() -> None:
    # 30 groups of 1 MW, room for 17.5: 2^30 selections, 30 states.
    groups = [asic(f"m{n:02}", ((e.PowerMode.NORMAL, 1.0, 80.0),)) for n in range(30)]
    best = knapsack.optimum(choices(snapshot(*groups, cap_mw=17.5)))
    assert best is not None
    assert best.worth == 17 * 30 * MONEY_PER_USD
