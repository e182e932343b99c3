"""The loop of column generation: price, add, solve, until the bound meets the mix of schedules."""

from dataclasses import dataclass

import numpy as np

from streams.domain.plan.master import Master
from streams.domain.plan.problem import Floats

TOLERANCE_RATIO = 2e-5
"""The relaxation is done where its bound is this close to its optimum: a fiftieth of the gap that a plan may have."""
MAX_ROUNDS = 200
SMOOTHING = 0.5
"""Weight of the best bound's prices. 0.5 and 0.8 took the same number of rounds, within one."""
LADDER_USD_MWH = (0.0, 10.0, 20.0, 40.0, 80.0)
"""First prices over the cost of energy: schedules for caps that bind a little and a lot."""
WHOLE = 1 - 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class Relaxation:
    """Proven bound without the constant part, the duals that prove it, share of each column."""

    bound_usd: float
    duals: Floats
    shares: Floats


def relax(master: Master) -> Relaxation:
    """Generates schedules until the bound meets the mix of them."""
    bound, center = np.inf, master.first_prices()
    for over in LADDER_USD_MWH:
        duals = master.first_prices(over)
        priced = master.priced(duals)
        master.append(master.answers(priced))
        if priced.bound_usd < bound:
            bound, center = priced.bound_usd, duals
    for _ in range(MAX_ROUNDS):
        optimum, duals, shares = master.solve()
        if bound - optimum <= TOLERANCE_RATIO * max(abs(bound + master.constant_usd), 1.0):
            break
        added = 0
        for tried in (SMOOTHING * center + (1 - SMOOTHING) * duals, duals):
            priced = master.priced(tried)
            added += master.append(master.answers(priced))
            if priced.bound_usd < bound:
                bound, center = priced.bound_usd, tried
        if not added:
            break
    return Relaxation(bound, center, shares)
