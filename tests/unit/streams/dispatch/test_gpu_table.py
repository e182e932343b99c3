"""The workloads alone, against trying everything."""

import itertools
import random

import pytest

from streams.domain.choice import choices
from streams.domain.dispatch.dual import dual
from streams.domain.dispatch.gpu_table import GpuTable
from streams.domain.dispatch.problem import problem_of
from tests.unit.streams.site_case import site


@pytest.mark.parametrize("seed", range(12))
def test_best_workloads_are_those_that_trying_everything_finds(seed: int) -> None:
    problem = problem_of(choices(site(random.Random(seed), groups=2, jobs=7, gpu_groups=1 + seed % 3)), merged=True)
    prices = dual(problem)
    reduced = prices.reduced(problem)
    table = GpuTable(problem, prices, reduced.max(axis=1, keepdims=True) - reduced)
    value = problem.worth - prices.watt * problem.watts

    def worth(options: tuple[int, ...]) -> float:
        return float(sum(value[c, i] for c, i in zip(table.jobs, options, strict=True)))

    def gpus(options: tuple[int, ...]) -> int:
        return int(sum(problem.gpus[c, i] for c, i in zip(table.jobs, options, strict=True)))

    every = itertools.product((0, 1), repeat=len(table.jobs))
    most = max(worth(options) for options in every if gpus(options) <= problem.pools[0])
    assert table.gain[0][-1] == pytest.approx(most)
    best = table.best()
    chosen = tuple(best[c] for c in table.jobs)
    assert worth(chosen) == pytest.approx(most)
    assert gpus(chosen) <= problem.pools[0]


def test_workloads_with_one_place_come_before_those_with_several_but_for_the_last_group() -> None:
    problem = problem_of(choices(site(random.Random(3), groups=2, jobs=30, gpu_groups=3)), merged=False)
    prices = dual(problem)
    reduced = prices.reduced(problem)
    table = GpuTable(problem, prices, reduced.max(axis=1, keepdims=True) - reduced)
    places = [sorted({pool for pool in problem.pool[c].tolist() if pool >= 0}) for c in table.jobs]
    kinds = [kind for kind, _ in itertools.groupby(places)]
    assert kinds == [[0], [1], [0, 1, 2], [2]]
    # Each group is told apart until its last workload is opened.
    assert table.is_open[places.index([0, 1, 2])].tolist() == [True, True, True]
    assert table.is_open[places.index([2])].tolist() == [False, False, True]
    assert table.is_open[-1].tolist() == [False, False, False]
