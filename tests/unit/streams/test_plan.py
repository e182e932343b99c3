"""The planner against the same problem as one mixed-integer program, and against what must hold for any plan."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.events import PowerMode
from streams.domain.penalty import ORDER, PENALTY_USD_MWH, Rule
from streams.domain.plan.master import Master
from streams.domain.plan.placement import gang_gpus
from streams.domain.plan.problem import (
    AsicGroup,
    Floats,
    GpuGroup,
    Job,
    Mode,
    Placement,
    Plan,
    PlanProblem,
    Reserve,
    Site,
)
from streams.domain.plan.program import chosen, program
from streams.domain.plan.solve import COLUMN_GENERATION, INTEGRAL, solve_plan
from streams.domain.plan.value import outcome
from tests.plan_case import fleet
from tests.plan_program import solved

SEEDS = st.integers(min_value=0, max_value=10_000)
FEW = settings(max_examples=8, deadline=None)


def site(cost_usd_mwh: list[float], **changes: object) -> Site:
    count = len(cost_usd_mwh)
    free = Site(
        facility_id="S",
        cap_mw=np.full(count, 100.0),
        cost_usd_mwh=np.array([cost_usd_mwh]),
        probability=np.ones(1),
        limit_mw=np.full(count, np.inf),
        payment_usd_mwh=np.zeros(count),
        block_mw=np.zeros(count),
    )
    return replace(free, **changes)  # type: ignore[arg-type]


def asic(count: int, **changes: object) -> AsicGroup:
    """A group of 1 MW that earns 60 USD an hour."""
    group = AsicGroup(
        group_id="A",
        facility_id="S",
        modes=(Mode(PowerMode.OFF, 0.0, 0.0), Mode(PowerMode.NORMAL, 1.0, 60.0)),
        mode_before=0,
        held=99,
        start_cost_usd=0.0,
        stop_cost_usd=0.0,
        change_cost_usd=0.0,
        min_up=1,
        min_down=1,
        available=np.ones(count, dtype=np.bool_),
    )
    return replace(group, **changes)  # type: ignore[arg-type]


def award(count: int, usd_mwh: float) -> Reserve:
    """A capacity award of 1 MW."""
    return Reserve("ECRS", np.ones(count), np.ones(count), short_usd_mwh=usd_mwh, step_usd_mwh=usd_mwh)


def gpus(count: int, units: int) -> GpuGroup:
    return GpuGroup("G", "S", np.full(count, units, dtype=np.int64), idle_power_mw=0.0, unit_power_mw=0.001)


def job(name: str, **changes: object) -> Job:
    base = Job(job_id=name, gpus=8, intervals=2, revenue_usd_h=16.0, priority=1, groups=("G",))
    return replace(base, **changes)  # type: ignore[arg-type]


def problem(
    place: Site, *, asics: tuple[AsicGroup, ...] = (), jobs: tuple[Job, ...] = (), units: int = 8
) -> PlanProblem:
    count = place.cap_mw.size
    return PlanProblem(
        interval_s=3600,
        intervals=count,
        sites=(place,),
        asic_groups=asics,
        gpu_groups=(gpus(count, units),) if jobs else (),
        jobs=jobs,
    )


def modes(plan: Plan, group: str = "A") -> list[int]:
    return [int(mode) for mode in plan.modes[group]]


def assert_physical(case: PlanProblem, plan: Plan) -> None:
    """Every group in a mode that it has, off where it is out; every job whole, where it may be, on GPUs there."""
    for group in case.asic_groups:
        chosen_modes = plan.modes[group.group_id]
        assert chosen_modes.shape == (case.intervals,)
        assert chosen_modes.min() >= 0
        assert chosen_modes.max() < len(group.modes)
        assert not chosen_modes[~group.available].any()
    used = {group.group_id: np.zeros(case.intervals, dtype=np.int64) for group in case.gpu_groups}
    islands = {group.group_id: group.island_gpus for group in case.gpu_groups}
    for entry in case.jobs:
        place = plan.placements.get(entry.job_id)
        if place is None:
            continue
        assert place.group_id in ((entry.running_on,) if entry.running_on else entry.groups)
        assert 0 <= place.start < place.stop <= case.intervals
        if entry.running_on:
            assert place.start == 0
            assert place.stop <= entry.intervals
        else:
            assert place.stop == min(place.start + entry.intervals, case.intervals)
        used[place.group_id][place.start : place.stop] += (
            entry.gpus if entry.running_on else gang_gpus(entry.gpus, islands[place.group_id])
        )
    for gpu in case.gpu_groups:
        assert (used[gpu.group_id] <= gpu.units).all()


def given_up_amounts(plan: Plan) -> dict[tuple[str, str, int], float]:
    return {(found.rule, found.subject, found.interval): found.amount for found in plan.given_up}


def assert_limits(case: PlanProblem, plan: Plan) -> None:
    """What is over a limit of a site is named with its amount, and nothing else is."""
    named = {key: amount for key, amount in given_up_amounts(plan).items() if key[0] != Rule.DEADLINE}
    found: dict[tuple[str, str, int], float] = {}
    for place in case.sites:
        load = plan.load_mw[place.facility_id]
        before = load[0] if place.load_before_mw is None else place.load_before_mw
        previous = np.concatenate([[before], load[:-1]])
        over: dict[str, Floats] = {
            Rule.FACILITY_CAP: load - place.cap_mw,
            Rule.GRID_LIMIT: load - place.limit_mw,
            Rule.RAMP: np.abs(load - previous) - place.ramp_mw,
            Rule.MINIMUM_LOAD: place.min_load_mw - load,
        }
        for rule, excess in over.items():
            found.update({(rule, place.facility_id, int(t)): float(excess[t]) for t in np.flatnonzero(excess > 1e-6)})
    sites = {place.facility_id for place in case.sites}
    assert {key: pytest.approx(amount) for key, amount in found.items()} == {
        key: amount for key, amount in named.items() if key[1] in sites
    }


@pytest.fixture(scope="module", autouse=True, params=[INTEGRAL, COLUMN_GENERATION])
def method(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every test holds for both ways to plan; small problems would all take the first."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == COLUMN_GENERATION:
            patch.setattr("streams.domain.plan.integral.MAX_COLUMNS", 0)
        yield request.param


def test_method_is_the_one_asked_for(method: str) -> None:
    assert solve_plan(problem(site([50.0, 50.0]), asics=(asic(2),))).solver.startswith(method)


def test_group_runs_where_power_is_under_its_break_even() -> None:
    plan = solve_plan(problem(site([50.0, 70.0, 50.0]), asics=(asic(3),)))
    # Two hours at a margin of 60 - 50.
    assert modes(plan) == [1, 0, 1]
    assert plan.status == "OPTIMAL"
    assert [plan.objective_usd, plan.bound_usd] == pytest.approx([20.0, 20.0])


def test_group_runs_through_a_loss_that_is_under_the_wear_of_a_restart() -> None:
    # Resting saves 10 USD and a restart costs 12.
    plan = solve_plan(problem(site([50.0, 70.0, 45.0]), asics=(asic(3, mode_before=1, start_cost_usd=12.0),)))
    assert modes(plan) == [1, 1, 1]


def test_minimum_run_and_rest_are_kept() -> None:
    case = problem(site([70.0, 55.0, 70.0, 70.0, 50.0, 50.0]), asics=(asic(6, min_up=3),))
    # A run of three hours earns at best 10 + 10 - 10 = 10, or 20 where the horizon ends it.
    assert modes(solve_plan(case)) == [0, 0, 0, 0, 1, 1]
    case = problem(site([70.0, 50.0, 50.0, 50.0]), asics=(asic(4, held=1, min_down=3),))
    assert modes(solve_plan(case)) == [0, 0, 1, 1]


def test_cap_goes_to_who_earns_most_with_a_mw_and_has_a_price() -> None:
    small = asic(2, group_id="B", modes=(Mode(PowerMode.OFF, 0.0, 0.0), Mode(PowerMode.NORMAL, 1.0, 70.0)))
    plan = solve_plan(problem(site([50.0, 50.0], cap_mw=np.ones(2)), asics=(asic(2), small)))
    assert (modes(plan), modes(plan, "B")) == ([0, 0], [1, 1])
    # One more MW would run A as well: between 10 USD an hour (A's) and 20 (B's).
    assert {(p.rule, p.subject, p.interval) for p in plan.shadow_prices} == {
        ("facility cap", "S", 0),
        ("facility cap", "S", 1),
    }
    assert all(10 - 1e-6 <= p.usd_h <= 20 + 1e-6 for p in plan.shadow_prices)


def test_gang_waits_until_all_its_gpus_are_free_and_the_better_one_goes_first() -> None:
    plan = solve_plan(problem(site([50.0] * 4), jobs=(job("cheap"), job("dear", revenue_usd_h=24.0))))
    assert plan.placements == {"cheap": Placement("G", 2, 4), "dear": Placement("G", 0, 2)}


def test_of_equal_jobs_the_one_of_higher_priority_runs() -> None:
    jobs = (job("low", intervals=3), job("high", intervals=3, priority=2))
    assert list(solve_plan(problem(site([50.0] * 3), jobs=jobs)).placements) == ["high"]


@pytest.mark.parametrize(("wanted", "taken"), [(1, 1), (3, 4), (5, 8), (8, 8), (9, 16), (17, 24)])
def test_gang_takes_a_power_of_two_or_whole_islands(wanted: int, taken: int) -> None:
    assert gang_gpus(wanted, 8) == taken


def test_running_job_is_stopped_where_a_better_one_pays_for_it() -> None:
    runs = job("runs", intervals=4, running_on="G", preemption_cost_usd=20.0)
    # The other earns 40 an hour for two hours: more than 16 an hour for four and the cost of stopping.
    plan = solve_plan(problem(site([50.0] * 4), jobs=(runs, job("rich", revenue_usd_h=80.0, intervals=4))))
    assert plan.placements == {"rich": Placement("G", 0, 4)}
    dear = replace(runs, preemption_cost_usd=500.0)
    plan = solve_plan(problem(site([50.0] * 4), jobs=(dear, job("rich", revenue_usd_h=80.0, intervals=4))))
    assert plan.placements == {"runs": Placement("G", 0, 4)}


def test_deadline_is_met_at_a_loss_that_is_under_its_penalty_and_named_where_it_is_not() -> None:
    # 8 GPUs draw 8 kW: at 5,000 USD/MWh two hours cost 80 USD and earn 32.
    late = job("late", deadline=2, sla_penalty_usd=100.0)
    assert solve_plan(problem(site([5000.0] * 3), jobs=(late,))).placements == {"late": Placement("G", 0, 2)}
    plan = solve_plan(problem(site([5000.0] * 3), jobs=(replace(late, sla_penalty_usd=40.0),)))
    assert plan.placements == {}
    assert [(f.rule, f.subject, f.penalty_usd) for f in plan.given_up] == [("deadline", "late", 40.0)]


def test_block_that_cannot_be_sold_back_is_used() -> None:
    # At 70 USD/MWh the group would rest and 1 MW be sold; where only 0.2 MW can be, 0.8 MWh of its use cost nothing.
    case = problem(site([70.0], block_mw=np.ones(1)), asics=(asic(1),))
    assert modes(solve_plan(case)) == [0]
    case = problem(site([70.0], block_mw=np.ones(1), sell_back_mw=0.2), asics=(asic(1),))
    assert modes(solve_plan(case)) == [1]


def test_risk_counts_the_dear_scenario() -> None:
    prices = np.array([[40.0], [75.0]])
    two = replace(site([0.0]), cost_usd_mwh=prices, probability=np.array([0.9, 0.1]))
    case = replace(problem(two, asics=(asic(1),)), risk_tail=0.1)
    # Expected cost 43.5, in the tail 75: with half the weight on the tail 59.25, with nine tenths 71.85.
    assert [modes(solve_plan(replace(case, risk_weight=w))) for w in (0.0, 0.5, 0.9)] == [[1], [1], [0]]
    assert solve_plan(replace(case, risk_weight=0.5)).objective_usd == pytest.approx(60 - 59.25)


def test_what_is_given_up_goes_in_the_written_order() -> None:
    assert (Rule.DEADLINE, Rule.CAPACITY, *PENALTY_USD_MWH) == ORDER
    assert list(PENALTY_USD_MWH.values()) == sorted(PENALTY_USD_MWH.values())
    # It has to run on, the call wants it off: the minimum run goes before the limit of the grid.
    called = site([50.0, 50.0], limit_mw=np.zeros(2))
    plan = solve_plan(problem(called, asics=(asic(2, mode_before=1, held=0, min_up=2),)))
    assert modes(plan) == [0, 0]
    assert [(f.rule, f.amount, f.unit) for f in plan.given_up] == [("minimum run", 2.0, "intervals")]


def test_impossible_caps_have_an_answer_that_names_them() -> None:
    case = replace(problem(site([50.0], cap_mw=np.ones(1), base_mw=3.0), asics=(asic(1),)))
    plan = solve_plan(case)
    assert modes(plan) == [0]
    assert [(f.rule, f.subject, f.amount) for f in plan.given_up] == [("facility cap", "S", 2.0)]


def test_nothing_to_plan_is_a_plan() -> None:
    plan = solve_plan(problem(site([50.0, 50.0])))
    assert (plan.modes, plan.placements, plan.objective_usd) == ({}, {}, 0.0)


@pytest.mark.parametrize("seed", range(3))
def test_plan_is_close_to_the_exact_program_and_its_bound_is_not_under_it(seed: int) -> None:
    case = fleet(seed, sites=1, groups=3, jobs=4, intervals=12)
    made = program(case)
    exact = solved(made, "scip")
    values = np.asarray(exact.variable_values())
    optimum = exact.objective_value() + made.constant_usd
    assert outcome(case, *chosen(case, made, values)).worth_usd == pytest.approx(optimum, abs=0.01)
    plan = solve_plan(case)
    assert plan.bound_usd >= optimum - 0.01
    assert plan.objective_usd >= optimum - 0.02 * abs(optimum)


@FEW
@given(SEEDS, st.integers(min_value=1, max_value=2), st.sampled_from([0.0, 0.5]))
def test_no_rule_is_broken_unnamed_and_the_bound_holds(seed: int, sites: int, risk: float) -> None:
    case = fleet(seed, sites=sites, groups=3, jobs=5, intervals=12, scenarios=3, risk_weight=risk)
    plan = solve_plan(case)
    assert_physical(case, plan)
    assert_limits(case, plan)
    assert plan.objective_usd == pytest.approx(outcome(case, plan.modes, plan.placements).worth_usd)
    assert plan.bound_usd >= plan.objective_usd
    rest = {group.group_id: np.zeros(12, dtype=np.int64) for group in case.asic_groups}
    assert plan.objective_usd >= outcome(case, rest, {}).worth_usd - 1e-6


@FEW
@given(SEEDS)
def test_more_cap_lowers_neither_bound_nor_worth_beyond_the_gap(seed: int) -> None:
    case = fleet(seed, sites=1, groups=3, jobs=3, intervals=12)
    # What a call pays for goes by the cap itself.
    unpaid = replace(case.sites[0], payment_usd_mwh=np.zeros(12))
    wider = replace(unpaid, cap_mw=unpaid.cap_mw * 1.1)
    less, more = (solve_plan(replace(case, sites=(place,))) for place in (unpaid, wider))
    assert more.bound_usd >= less.objective_usd - 1e-6


@FEW
@given(SEEDS, st.floats(min_value=1.0, max_value=40.0))
def test_higher_price_of_power_raises_no_load(seed: int, more_usd: float) -> None:
    # Without caps and calls groups are apart, so it holds for each; an award's floor is given up as power gets dear.
    random = np.random.default_rng(seed)
    place = site(random.uniform(30, 80, 8).tolist(), reserves=(award(8, 12.0),))
    groups = (asic(8, min_up=3, min_down=2), asic(8, group_id="B", start_cost_usd=5.0))
    dear = replace(place, cost_usd_mwh=place.cost_usd_mwh + more_usd)
    before, after = (solve_plan(problem(where, asics=groups)) for where in (place, dear))
    assert after.load_mw["S"].sum() <= before.load_mw["S"].sum() + 1e-9
    assert before.status == after.status == "OPTIMAL"


@FEW
@given(SEEDS)
def test_twice_the_money_is_twice_the_worth(seed: int) -> None:
    prices = np.random.default_rng(seed).uniform(30, 80, 8).tolist()
    case = problem(site(prices, reserves=(award(8, 12.0),)), asics=(asic(8, start_cost_usd=5.0),))
    double = replace(
        case,
        sites=(replace(case.sites[0], cost_usd_mwh=case.sites[0].cost_usd_mwh * 2, reserves=(award(8, 24.0),)),),
        asic_groups=(
            replace(
                case.asic_groups[0],
                modes=tuple(replace(m, revenue_usd_h=2 * m.revenue_usd_h) for m in case.asic_groups[0].modes),
                start_cost_usd=10.0,
            ),
        ),
    )
    one, two = solve_plan(case), solve_plan(double)
    assert two.objective_usd == pytest.approx(2 * one.objective_usd)


def test_same_problem_same_bytes_with_and_without_the_last_plan() -> None:
    case = fleet(5, sites=1, groups=3, jobs=4, intervals=24)
    first, second = solve_plan(case), solve_plan(case)
    warm, again = solve_plan(case, first), solve_plan(case, first)
    for one, two in ((first, second), (warm, again)):
        assert {k: v.tobytes() for k, v in one.modes.items()} == {k: v.tobytes() for k, v in two.modes.items()}
        assert (one.placements, one.objective_usd, one.bound_usd) == (two.placements, two.objective_usd, two.bound_usd)
        assert (one.shadow_prices, one.given_up) == (two.shadow_prices, two.given_up)
    assert warm.bound_usd == pytest.approx(first.bound_usd, rel=2e-2)


@FEW
@given(SEEDS)
def test_any_prices_prove_a_bound(seed: int) -> None:
    case = fleet(seed, sites=1, groups=3, jobs=3, intervals=12)
    master = Master(case)
    prices = master.first_prices()
    # Power that is too dear for the groups is left to the site's own columns, and is worth as much there.
    prices[master.frame.load_row] -= np.random.default_rng(seed).uniform(0, 20, master.frame.load_row.shape)
    assert master.priced(prices).bound_usd + master.constant_usd >= solve_plan(case).objective_usd
