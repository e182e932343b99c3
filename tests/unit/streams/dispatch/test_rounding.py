"""The selection that the search starts from keeps every limit."""

import random

import numpy as np
import pytest

from streams.domain.choice import choices
from streams.domain.dispatch.dual import dual
from streams.domain.dispatch.problem import problem_of
from streams.domain.dispatch.rounding import repaired
from tests.unit.streams.site_case import site


@pytest.mark.parametrize("seed", range(20))
def test_repaired_selection_keeps_cap_transformers_and_gpus(seed: int) -> None:
    case = site(random.Random(seed), groups=8, jobs=20, gpu_groups=1 + seed % 3, transformers=seed % 4)
    problem = problem_of(choices(case), merged=False)
    prices = dual(problem)
    reduced = prices.reduced(problem)
    losses = reduced.max(axis=1, keepdims=True) - reduced
    # All at their defaults, but for the workloads, which run nowhere.
    near = np.where(problem.jobs, 0, losses.argmin(axis=1)).tolist()
    chosen = repaired(problem, prices, losses, near)
    assert chosen is not None
    assert problem.load_w(chosen) <= problem.cap_w
    parts = (problem.watts, problem.gpus, problem.pool, problem.transformer)
    watts, gpus, pool, transformer = (problem.of(chosen, values) for values in parts)
    for number, units in enumerate(problem.pools):
        assert gpus[pool == number].sum() <= units
    for number, room_w in enumerate(problem.rooms):
        assert watts[transformer == number].sum() <= room_w
