"""The steps from a relaxation to a whole plan: each keeps its books, and none is better than what is proven."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest

from streams.domain.plan.exact import exact
from streams.domain.plan.master import Master
from streams.domain.plan.neighbourhood import moves, search
from streams.domain.plan.packing import packed
from streams.domain.plan.problem import PlanProblem
from streams.domain.plan.relaxation import relax
from streams.domain.plan.response import NONE, Answer
from streams.domain.plan.rounding import rounded
from streams.domain.plan.running_mode import rechosen
from streams.domain.plan.site_cost import costs
from streams.domain.plan.solve import COLUMN_GENERATION, EXACT, solve_plan
from streams.domain.plan.value import outcome
from tests.plan_case import fleet


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
    master, best = Master(problem), exact(problem)
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


def test_what_the_nodes_leave_open_is_planned_by_column_generation_too_and_the_better_one_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = fleet(10, sites=1, groups=4, jobs=6)
    monkeypatch.setattr("streams.domain.plan.exact.MAX_NODES", 1)
    alone, both = exact(case), solve_plan(case)
    assert alone is not None
    monkeypatch.setattr("streams.domain.plan.exact.MAX_COLUMNS", 0)
    generated = solve_plan(case)
    assert both.solver.startswith(f"{EXACT}, {COLUMN_GENERATION}")
    worth_usd = outcome(case, alone.modes, alone.placements).worth_usd
    assert both.objective_usd == max(worth_usd, generated.objective_usd)
    assert both.bound_usd == min(alone.proof.bound_usd, generated.bound_usd)
