"""What tightens the bound of a large plan: it stays a bound, and is as tight as the method can make it."""

from dataclasses import replace

import numpy as np
import pytest

from streams.domain.plan import branching, packing
from streams.domain.plan.branching import branched
from streams.domain.plan.integral import whole
from streams.domain.plan.master import Master
from streams.domain.plan.packing import packed
from streams.domain.plan.problem import PlanProblem
from streams.domain.plan.relaxation import relax
from streams.domain.plan.response import NONE
from streams.domain.plan.value import outcome
from tests.plan_case import fleet


def best_usd(problem: PlanProblem) -> float:
    found = whole(problem)
    assert found is not None
    return outcome(problem, found.modes, found.placements).worth_usd


@pytest.mark.parametrize("seed", [0, 3])
def test_tree_that_is_searched_to_the_end_proves_the_best_plan_of_groups_with_one_mode(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without GPUs, whose power at a price fills what groups leave.
    case = replace(fleet(seed, sites=2, groups=4, jobs=0, intervals=16, running_modes=1), gpu_groups=())
    master, best = Master(case), best_usd(case)
    duals = relax(master).duals
    monkeypatch.setattr(branching, "MAX_NODES", 1)
    alone = branched(master, duals) + master.constant_usd
    monkeypatch.setattr(branching, "MAX_NODES", 10_000)
    assert branched(master, duals) + master.constant_usd == pytest.approx(best, rel=1e-4)
    assert alone > best + 1e-3 * abs(best)


@pytest.mark.parametrize("seed", range(3))
def test_sites_apart_with_jobs_at_their_prices_are_a_bound(seed: int) -> None:
    case = fleet(seed, sites=2, groups=3, jobs=6, intervals=12)
    master = Master(case)
    relaxed = relax(master)
    jobs_usd, _ = master.losses_usd(relaxed.duals)
    bound_usd = branched(master, relaxed.duals) + jobs_usd + master.constant_usd
    assert best_usd(case) <= bound_usd + 1e-6 * abs(bound_usd)
    assert bound_usd <= relaxed.bound_usd + master.constant_usd + 1e-6 * abs(bound_usd)


def test_price_scenarios_of_the_tail_tie_sites_together_and_prove_nothing_apart() -> None:
    master = Master(fleet(1, sites=2, groups=2, jobs=2, intervals=6, scenarios=4, risk_weight=0.5))
    assert branched(master, relax(master).duals) == np.inf


@pytest.mark.parametrize("seed", [1, 2])
def test_options_that_lose_more_than_a_packing_is_short_of_change_neither_packing_nor_bound(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = fleet(seed, sites=1, groups=2, jobs=14, intervals=12)
    crowded = replace(case, gpu_groups=tuple(replace(group, units=group.units // 2) for group in case.gpu_groups))
    master = Master(crowded)
    relaxed = relax(master)
    paid = master.paid_usd(relaxed.duals)
    monkeypatch.setattr(packing, "ENOUGH_RATIO", 0.0)
    few = packed(master, relaxed)
    most_usd, loss_usd = master.losses_usd(relaxed.duals)
    assert (paid[few.placed[few.placed != NONE]].sum()) <= few.bound_usd <= most_usd + 1e-3
    monkeypatch.setattr(Master, "losses_usd", lambda *_: (most_usd, np.zeros(loss_usd.size)))
    every = packed(master, relaxed)
    assert paid[few.placed[few.placed != NONE]].sum() == pytest.approx(paid[every.placed[every.placed != NONE]].sum())
    assert few.bound_usd == pytest.approx(every.bound_usd, rel=1e-4)
    assert (loss_usd > most_usd - paid[few.placed[few.placed != NONE]].sum()).any()
