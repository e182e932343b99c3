"""What the load of a site costs, interval by interval: energy, spilt energy, and the penalties of limits and ramps."""

from dataclasses import dataclass

import numpy as np

from streams.domain.penalty import PENALTY_USD_MWH, Rule
from streams.domain.plan.problem import Floats, Ints, PlanProblem


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """What the load of a site costs: all (sites, intervals), MW and USD/MWh; `hours` of an interval.

    `reserves`: floors of capacity awards, and what each MWh under one costs.
    """

    hours: float
    cap: Floats
    limit: Floats
    least: Floats
    kept: Floats
    price: Floats
    spill_price: Floats
    ramp: Floats
    before: Floats
    reserves: tuple[tuple[Floats, Floats], ...] = ()

    def usd(self, at: Ints | int | tuple[int, Ints], load: Floats) -> Floats:
        """Cost of loads at sites (..., intervals), or at a site in some intervals, without ramps."""
        cost = self.price[at] * load + self.spill_price[at] * np.maximum(self.kept[at] - load, 0.0)
        cost += PENALTY_USD_MWH[Rule.FACILITY_CAP] * np.maximum(load - self.cap[at], 0.0)
        cost += PENALTY_USD_MWH[Rule.GRID_LIMIT] * np.maximum(load - self.limit[at], 0.0)
        cost += PENALTY_USD_MWH[Rule.MINIMUM_LOAD] * np.maximum(self.least[at] - load, 0.0)
        for floor, step_usd_mwh in self.reserves:
            cost += step_usd_mwh[at] * np.maximum(floor[at] - load, 0.0)
        return np.asarray(cost * self.hours)

    def ramp_usd(self, site: Ints | int, change: Floats) -> Floats:
        """Penalty of changes of load (...), MW, at sites that broadcast with them."""
        return PENALTY_USD_MWH[Rule.RAMP] * self.hours * np.maximum(np.abs(change) - self.ramp[site], 0.0)


def costs(problem: PlanProblem, weights: Floats) -> Costs:
    """Returns the costs of load of a problem, each scenario with its weight."""
    sites = problem.sites

    def stacked(rows: list[Floats]) -> Floats:
        return np.array(rows).reshape(len(sites), problem.intervals)

    return Costs(
        hours=problem.interval_s / 3600,
        cap=stacked([s.cap_mw for s in sites]),
        limit=stacked([s.limit_mw for s in sites]),
        least=stacked([np.full(problem.intervals, s.min_load_mw or -np.inf) for s in sites]),
        kept=stacked([s.block_mw - s.sell_back_mw for s in sites]),
        price=stacked([weights @ s.cost_usd_mwh + s.payment_usd_mwh for s in sites]),
        spill_price=stacked([weights @ np.maximum(s.cost_usd_mwh, 0.0) for s in sites]),
        ramp=np.array([s.ramp_mw for s in sites]),
        before=np.array([np.nan if s.load_before_mw is None else s.load_before_mw for s in sites]),
        reserves=tuple(_reserve(problem, k) for k in range(max((len(s.reserves) for s in sites), default=0))),
    )


def _reserve(problem: PlanProblem, k: int) -> tuple[Floats, Floats]:
    """Floor and step of the k-th reserve of each site, (sites, intervals); zero where a site has fewer."""
    shape = (len(problem.sites), problem.intervals)
    floor, step_usd_mwh = np.zeros(shape), np.zeros(shape)
    for n, site in enumerate(problem.sites):
        if k < len(site.reserves):
            floor[n], step_usd_mwh[n] = site.reserves[k].floor_mw, site.reserves[k].step_usd_mwh
    return floor, step_usd_mwh
