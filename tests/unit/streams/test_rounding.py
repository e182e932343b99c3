"""The selection that the search starts from keeps every limit."""

import random

import pytest

from streams.domain.choice import choices
from streams.domain.dual import dual, interval
from streams.domain.rounding import repaired
from tests.unit.streams.allocation_case import site


@pytest.mark.parametrize("seed", range(20))
def test_repaired_selection_keeps_cap_and_gpus(seed: int) -> None:
    problem = interval(choices(site(random.Random(seed), groups=8, jobs=20, gpu_groups=1 + seed % 3)), merged=False)
    prices = dual(problem)
    reduced = [[prices.reduced(option) for option in options] for options in problem.classes]
    chosen = repaired(problem, prices, [[max(values) - value for value in values] for values in reduced])
    assert chosen is not None
    options = [options[i] for options, i in zip(problem.classes, chosen, strict=True)]
    assert sum(option.watts for option in options) <= problem.cap_w
    for pool, units in enumerate(problem.pools):
        assert sum(option.gpus for option in options if option.pool == pool) <= units
