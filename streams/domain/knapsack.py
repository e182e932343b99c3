"""The exact optimum of one interval's choices, without a solver library: a multiple-choice knapsack with GPU pools.

The GPUs of a facility are taken as one pool first, a relaxation; the workloads chosen are then packed into the groups,
and where that succeeds the optimum of the relaxation is the optimum. Else the groups are searched as they are; at once
where not even the workloads of step 1 can be packed.

1. Workloads alone, watts at the dual's price: the best use of the GPUs.
2. ASIC groups alone, with the power that these workloads leave: the first known selection.
3. Both together, workloads first; only what may beat the known selection is looked at, which is little by then.

D. Pisinger, "A minimal algorithm for the multiple-choice knapsack problem", EJOR 83 (1995), has the search for one
limit (`streams.domain.core_search`); pools and the soft limit are added. Work is limited in states, never in time.
"""

from dataclasses import dataclass, replace
from math import ceil

from streams.domain.choice import Choices, PlaceChoice, Selection
from streams.domain.core_search import Budget, search
from streams.domain.dual import Dual, Interval, dual, interval, priced

NAME = "hcp knapsack 2"
# About 20 milliseconds. What needs more is left to a general solver.
STATE_LIMIT = 100_000


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best selection, its worth in money units an hour, penalties taken off, and the prices of the limits."""

    selection: Selection
    worth: int
    prices: Dual


def optimum(found: Choices, state_limit: int = STATE_LIMIT) -> Optimum | None:
    """Returns the best selection; None where nothing keeps the cap or the search takes more than `state_limit`."""
    budget = Budget(state_limit)
    for merged in (True, False) if len(found.gpus) > 1 else (True,):
        problem = interval(found, merged=merged)
        prices = dual(problem)
        jobs = _jobs_alone(problem, prices, len(found.modes))
        paid = priced(jobs, 0.0, prices.gpu)
        placed = search(jobs, paid, None, budget)
        if merged and len(found.gpus) > 1 and placed is not None:
            # Where not even these find room in the groups, those chosen in the end hardly ever do.
            rest = [0] * len(found.modes)
            if _selection(found, problem, [*rest, *placed]) is None:
                continue
        # The dual's bound, with what the workloads can really earn in place of what GPUs would sell for.
        bound = prices.bound if placed is None else prices.bound + jobs.worth(placed) - paid.bound
        chosen = _best(problem, prices, bound, placed, budget)
        if chosen is None:
            return None
        selection = _selection(found, problem, chosen)
        if selection is not None:
            return Optimum(selection, problem.worth(chosen), prices)
    return None


def _best(problem: Interval, prices: Dual, bound: float, placed: list[int] | None, budget: Budget) -> list[int] | None:
    """The best options of all classes; `placed`: those of the workloads alone."""
    known: list[int] | None = None
    if placed is not None:
        asics = _asics_alone(problem, len(problem.classes) - len(placed), placed)
        modes = search(asics, dual(asics), None, budget)
        known = None if modes is None else [*modes, *placed]
    if known is not None and problem.worth(known) > bound - 1:
        return known
    return search(problem, prices, known, budget)


def _jobs_alone(problem: Interval, prices: Dual, groups: int) -> Interval:
    """The workloads with their power paid for; worth is rounded up, so that the bound holds."""
    classes = tuple(
        tuple(o._replace(watts=0, worth=ceil(o.worth - prices.watt * o.watts)) for o in options)
        for options in problem.classes[groups:]
    )
    return replace(problem, classes=classes, cap_w=0, limit_w=0)


def _asics_alone(problem: Interval, groups: int, placed: list[int]) -> Interval:
    """The ASIC groups with the power that the workloads leave."""
    taken_w = sum(options[i].watts for options, i in zip(problem.classes[groups:], placed, strict=True))
    return replace(
        problem,
        classes=problem.classes[:groups],
        pools=(),
        cap_w=problem.cap_w - taken_w,
        limit_w=problem.limit_w - taken_w,
    )


def _selection(found: Choices, problem: Interval, chosen: list[int]) -> Selection | None:
    """Names what was chosen and packs the workloads, those with one place and the large first; None if it fails."""
    modes = {group: options[i].mode for (group, options), i in zip(found.modes.items(), chosen, strict=False)}
    places: dict[str, list[PlaceChoice]] = {}
    for place in found.places:
        places.setdefault(place.workload.workload_id, []).append(place)
    numbers = {group: number for number, group in enumerate(found.gpus)} if len(problem.pools) > 1 else {}
    open_places: list[list[PlaceChoice]] = []
    first = len(modes)
    for own, options, i in zip(places.values(), problem.classes[first:], chosen[first:], strict=True):
        if i > 0:
            is_option = (options[i].watts, options[i].worth, options[i].pool)
            open_places.append([p for p in own if (p.extra_w, p.worth, numbers.get(p.group, 0)) == is_option])
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
