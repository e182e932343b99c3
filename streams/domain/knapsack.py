"""The exact optimum of one interval's choices, without a solver library: a multiple-choice knapsack with GPU pools.

The GPUs of a facility are taken as one pool first, a relaxation; the workloads chosen are then packed into the groups,
and where that succeeds the optimum of the relaxation is the optimum. Else the groups are searched as they are; at once
where not even the workloads of step 1 can be packed. In the same way only transformers that the dual puts a price on
count at first, and those that the optimum without them overloads are added.

Floors are left out too; where the optimum is short of one, the load is counted from the other end, and floors are then
the soft limits. Where that answer keeps the limits left out in turn, it is the optimum.

1. Workloads alone, watts at the dual's price: the best use of the GPUs.
2. ASIC groups alone, with the power that these workloads leave: those behind each transformer, watts of the facility at
   the dual's price, then the others. This is the first known selection (`streams.domain.asic_part`).
3. What the parts lose to the dual's bound, each for itself: by so much less can anything beat the known selection.
4. All together, workloads first; only what may beat the known selection is looked at, which is little by then.

D. Pisinger, "A minimal algorithm for the multiple-choice knapsack problem", EJOR 83 (1995), has the search for one
limit (`streams.domain.core_search`); pools, transformers and the soft limit are added. Work is limited in states, never
in time.
"""

from dataclasses import dataclass, replace

import numpy as np

from streams.domain import asic_part
from streams.domain.choice import Choices
from streams.domain.core import Excess
from streams.domain.core_search import Budget, search
from streams.domain.dual import Dual, dual, priced
from streams.domain.interval import Interval, interval, mirrored
from streams.domain.selection import Selection, is_short, keeps_limits, overloaded

NAME = "hcp knapsack 3"
# About 20 milliseconds. What needs more is left to a general solver.
STATE_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best selection, its worth in money units an hour, penalties taken off, and the prices of the limits."""

    selection: Selection
    worth: int
    prices: Dual


def optimum(found: Choices, state_limit: int = STATE_LIMIT) -> Optimum | None:
    """Returns the best selection; None where this way finds none, or takes more than `state_limit`.

    That is where nothing keeps the limits, or where floors and limits are in each other's way.
    """
    budget = Budget(state_limit)
    first = _wants_less(found)
    for above_floors in (first, not first):
        best = _optimum(found, budget, above_floors=above_floors)
        if best is None:
            return None
        if keeps_limits(found, best.selection) if above_floors else not is_short(found, best.selection):
            return best
    return None


def _wants_less(found: Choices) -> bool:
    """Whether less than a floor is drawn even where nothing is scarce."""
    most: dict[str, int] = {}
    for place in found.places:
        name = place.workload.workload_id
        most[name] = max(most.get(name, 0), place.extra_w)
    wanted_w = sum(max(options, key=lambda c: (c.worth, c.extra_w)).extra_w for options in found.modes.values())
    return any(wanted_w + sum(most.values()) < floor.extra_w for floor in found.floors)


def _optimum(found: Choices, budget: Budget, *, above_floors: bool) -> Optimum | None:
    """The optimum without floors, or with floors and without limits of the load."""
    tight: set[int] = set()
    pool: Dual | None = None
    for merged in (True, False) if len(found.gpus) > 1 else (True,):
        whole = interval(found, merged=merged)
        if above_floors:
            whole = mirrored(whole, found.floors)
        # What a GPU is worth in one pool is about what it is worth in each group.
        prices = dual(whole) if pool is None else priced(whole, replace(pool, gpu=pool.gpu * len(whole.pools)))
        pool = prices
        tight.update(t for t, price in enumerate(prices.transformer) if price > 0)
        jobs = _jobs_alone(whole, prices)
        own = priced(jobs, Dual(0.0, prices.gpu, (), 0.0))
        placed = search(jobs, own, None, budget)
        if placed is None:
            return None
        # Where not even these find room in the groups, those chosen in the end hardly ever do.
        if merged and _selection(found, whole, [0] * len(found.modes) + placed) is None:
            continue
        lost = own.bound - jobs.worth_of(placed)
        while True:
            some = sorted(tight)
            problem, paid = whole.behind(some), prices.behind(some)
            groups = asic_part.parts(problem, paid)
            known, behind = asic_part.completed(problem, groups, placed, budget)
            excess = Excess(lost, behind)
            if known is not None:
                excess = asic_part.excess(problem, paid, groups, excess, problem.worth_of(known), budget=budget)
            chosen = search(problem, paid, known, budget, excess)
            if chosen is None:
                return None
            selection = _selection(found, whole, chosen)
            if selection is None:
                break
            over = set() if above_floors else overloaded(found, selection)
            if over <= tight:
                # No limit of the load has a price where a floor holds it up.
                limits = Dual(0.0, prices.gpu, (0.0,) * len(found.transformers), 0.0) if above_floors else prices
                return Optimum(selection, whole.worth_of(chosen), limits)
            tight |= over
    return None


def _jobs_alone(problem: Interval, prices: Dual) -> Interval:
    """The workloads with their power paid for."""
    jobs = problem.classes(problem.jobs)
    worth = asic_part.paid(jobs, prices.watts(jobs.transformer))
    return replace(asic_part.alone_within(jobs, 0), watts=np.zeros_like(jobs.watts), worth=worth, pools=jobs.pools)


def _selection(found: Choices, problem: Interval, chosen: list[int]) -> Selection | None:
    """Names what was chosen and packs the workloads, those with one place and the large first; None if it fails."""
    modes = {group: options[i].mode for (group, options), i in zip(found.modes.items(), chosen, strict=False)}
    open_places = [own[i] for own, i in zip(problem.places, chosen[len(modes) :], strict=True) if i > 0]
    free = dict(found.gpus)
    homes: dict[str, str] = {}
    for own in sorted(open_places, key=lambda p: (len(p) > 1, -p[0].workload.gpus)):
        fits = [p for p in own if free[p.group] >= p.workload.gpus]
        if not fits:
            return None
        best = min(fits, key=lambda p: free[p.group])
        free[best.group] -= best.workload.gpus
        homes[best.workload.workload_id] = best.group
    return Selection(modes, homes)
