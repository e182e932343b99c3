"""The steps from a relaxation to a whole plan: each keeps its books, and none is better than what is proven."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from streams.domain.plan.integral import whole
from streams.domain.plan.master import Master
from streams.domain.plan.neighbourhood import moves, search
from streams.domain.plan.packing import packed
from streams.domain.plan.problem import PlanProblem
from streams.domain.plan.program import program
from streams.domain.plan.relaxation import relax
from streams.domain.plan.response import NONE, Answer
from streams.domain.plan.rounding import rounded
from streams.domain.plan.running_mode import rechosen
from streams.domain.plan.site_cost import costs
from streams.domain.plan.solve import INTEGRAL, solve_plan
from streams.domain.plan.value import outcome
from tests.plan_case import enlarged, fleet
from tests.plan_program import solved


def all_running(case: PlanProblem) -> Answer:
    """Every group in its first running mode, no job anywhere, no call, power at its price."""
    uncalled = [replace(site, limit_mw=np.full(case.intervals, np.inf)) for site in case.sites]
    case = replace(case, sites=tuple(uncalled))
    master = Master(case)
    modes = np.ones((master.groups, case.intervals), dtype=np.int64)
    duals = master.first_prices(20.0)
    priced = costs(case, master.weights(duals))
    placed = np.full(master.jobs, NONE)
    return Answer(case, master.fleet, master.options, priced, modes, placed, master.power_usd(duals))


@pytest.mark.parametrize("seed", range(4))
def test_running_modes_of_one_interval_are_the_best_of_all(seed: int) -> None:
    case = fleet(seed, sites=1, groups=6, jobs=1, intervals=1, running_modes=2)
    answer = all_running(case)
    rechosen(answer, 0)
    worths = []
    other = all_running(case)
    for choice in product((1, 2), repeat=6):
        for n, mode in enumerate(choice):
            other.set_modes(n, np.array([mode]))
        worths.append(other.worth_usd())
    assert answer.worth_usd() == pytest.approx(max(worths))
    assert max(worths) > min(worths)


@pytest.mark.parametrize("seed", [0, 2, 3])
def test_changed_running_modes_gain_what_is_said_and_loads_are_theirs(seed: int) -> None:
    answer = all_running(fleet(seed, sites=2, groups=12, jobs=2, intervals=12, running_modes=3))
    before = answer.worth_usd()
    gained = rechosen(answer, 0) + rechosen(answer, 1)
    assert gained > 0
    assert answer.worth_usd() - before == pytest.approx(gained)
    anew = replace(answer)
    assert anew.load == pytest.approx(answer.load)
    assert anew.through == pytest.approx(answer.through)


@pytest.mark.parametrize("seed", range(4))
def test_jobs_are_packed_as_whole_ones_into_the_gpus(seed: int) -> None:
    master = Master(fleet(seed, sites=1, groups=3, jobs=12, intervals=12))
    relaxed = relax(master)
    placed, found = packed(master, relaxed).placed, master.options
    taken = placed[placed != NONE]
    assert taken.size
    assert (found.job[taken] == np.flatnonzero(placed != NONE)).all()
    for group, gpus in enumerate(master.problem.gpu_groups):
        mine = taken[found.group[taken] == group]
        used = [found.gpus[mine][(found.start[mine] <= t) & (t < found.stop[mine])].sum() for t in range(12)]
        assert (np.array(used) <= gpus.units).all()


@pytest.mark.parametrize("seed", range(4))
def test_what_packing_proves_is_a_bound_and_gangs_that_share_a_group_badly_make_it_tighter(seed: int) -> None:
    case = fleet(seed, sites=1, groups=2, jobs=8, intervals=12)
    units = case.gpu_groups[0].units
    # Of each group three fifths: one fits, and the relaxation takes a part of the next.
    large = tuple(replace(job, gpus=int(units[0]) * 3 // 5, running_on=None) for job in case.jobs)
    problem = replace(case, jobs=large)
    master, best = Master(problem), whole(problem)
    relaxed = relax(master)
    tighter = master.bound_usd(relaxed.duals, packed(master, relaxed).bound_usd) + master.constant_usd
    assert best is not None
    worth = outcome(problem, best.modes, best.placements).worth_usd
    assert worth <= tighter < relaxed.bound_usd + master.constant_usd - 1


def test_jobs_alone_break_no_cap_where_nothing_else_could_make_room() -> None:
    case = fleet(1, sites=1, groups=1, jobs=12, intervals=12)
    site, base = case.sites[0], sum(group.idle_power_mw for group in case.gpu_groups)
    # Room for twelve busy GPUs.
    small = replace(site, cap_mw=np.full(12, base + 12.5 * case.gpu_groups[0].unit_power_mw), transformers=())
    master = Master(replace(case, sites=(small,), asic_groups=()))
    packing, found = packed(master, relax(master)), master.options
    assert packing.bound_usd == np.inf
    placed = packing.placed
    taken = placed[placed != NONE]
    assert taken.size
    drawn = [found.power_mw[taken][(found.start[taken] <= t) & (t < found.stop[taken])].sum() for t in range(12)]
    assert base + max(drawn) <= small.cap_mw[0]


@pytest.mark.parametrize("seed", [1, 2])
def test_search_betters_a_plan_and_stays_under_the_bound(seed: int) -> None:
    master = Master(fleet(seed, sites=2, groups=8, jobs=6, intervals=24))
    relaxed = relax(master)
    answer = rounded(master, relaxed, packed(master, relaxed).placed)
    before = answer.worth_usd()
    search(answer, moves(master, relaxed.duals), relaxed.bound_usd - before, 0.0)
    assert before < answer.worth_usd() <= relaxed.bound_usd
    assert replace(answer).worth_usd() == pytest.approx(answer.worth_usd())


def test_search_ends_where_the_gap_is_allowed() -> None:
    master = Master(fleet(0, sites=1, groups=6, jobs=4, intervals=12))
    relaxed = relax(master)
    answer = rounded(master, relaxed, packed(master, relaxed).placed)
    modes, gap_usd = answer.modes.copy(), relaxed.bound_usd - answer.worth_usd()
    search(answer, moves(master, relaxed.duals), gap_usd, gap_usd)
    assert (answer.modes == modes).all()


@pytest.mark.parametrize("risk", [0.0, 0.4])
def test_gangs_that_share_a_group_badly_are_planned_to_the_end(risk: float) -> None:
    case = fleet(10, sites=1, groups=2, jobs=8, intervals=12, scenarios=3, risk_weight=risk)
    units = case.gpu_groups[0].units
    large = replace(case, jobs=tuple(replace(job, gpus=int(units[0]) * 3 // 5, running_on=None) for job in case.jobs))
    plan = solve_plan(large)
    assert plan.solver.startswith(INTEGRAL)
    assert plan.status == "OPTIMAL"
    relaxed = relax(Master(large)).bound_usd + Master(large).constant_usd
    assert plan.bound_usd < relaxed - 1


@pytest.mark.parametrize("seed", range(6))
def test_a_small_problem_is_worth_what_a_peer_proves_and_watts_are_not_given_up(seed: int) -> None:
    case = fleet(seed, sites=1, groups=3, jobs=8, intervals=12, running_modes=3)
    cut = replace(case.sites[0], cap_mw=0.61803398 * case.sites[0].cap_mw, ramp_mw=float("inf"), min_load_mw=0.0)
    case = replace(case, sites=(replace(cut, limit_mw=np.full(12, np.inf), transformers=()),))
    case = replace(case, asic_groups=tuple(replace(group, transformer_id=None) for group in case.asic_groups))
    plan, made = solve_plan(case), program(case)
    peer = solved(made, "highs", "output_flag=false\nmip_rel_gap=1e-6\nthreads=1")
    best_usd = peer.objective_value() + made.constant_usd
    assert plan.bound_usd >= best_usd - 1e-3
    assert plan.objective_usd == pytest.approx(best_usd, rel=1.1e-4)
    assert not [found for found in plan.given_up if found.unit == "MW"]


@pytest.mark.parametrize("factor", [0.01, 1.0, 100.0, 1_000.0])
def test_a_plan_is_as_good_for_a_kilowatt_as_for_a_gigawatt(factor: float) -> None:
    # With all power in watts CP-SAT proves another optimum of the larger ones, a tenth worse.
    case = fleet(1, sites=1, groups=2, jobs=3, intervals=48, running_modes=3)
    plan, large = solve_plan(case), solve_plan(enlarged(case, factor))
    assert large.solver.startswith(INTEGRAL)
    assert large.status == "OPTIMAL"
    assert large.bound_usd >= plan.objective_usd * factor * (1 - 1e-9)
    assert large.objective_usd == pytest.approx(plan.objective_usd * factor, rel=2e-4)


def test_a_limit_far_over_all_load_changes_nothing() -> None:
    case = fleet(3, sites=1, groups=2, jobs=5, intervals=12)
    free = replace(case, sites=tuple(replace(site, limit_mw=np.full(12, np.inf)) for site in case.sites))
    far = replace(case, sites=tuple(replace(site, limit_mw=np.full(12, 1e6)) for site in case.sites))
    plan = solve_plan(far)
    assert plan.solver.startswith(INTEGRAL)
    assert plan.objective_usd == pytest.approx(solve_plan(free).objective_usd, rel=1e-4)
