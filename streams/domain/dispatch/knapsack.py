"""The exact optimum of one interval's choices, without a solver library: a multiple-choice knapsack.

Each ASIC group takes one of its modes, each workload one place or none (classes and options: Kellerer, Pferschy,
Pisinger, "Knapsack Problems", 2004, chapter 11), within the load, the GPUs and the transformers. One search does it
(`core_search`), on relaxations that are hardly ever wrong, each of which is checked:

1. The GPUs of all groups are one pool. The workloads chosen are then packed into the groups; where that succeeds, the
   optimum of the relaxation is the optimum. Else the groups are searched as they are.
2. Only transformers that the dual puts a price on count. Those that the optimum overloads are added.
3. Floors of the load are left out. Where the optimum is short of one, the load is counted from the other end, and
   floors are then the soft limits; the hard ones are left out in turn. Where that answer keeps them, it is the optimum.

Work is limited in states, never in time, so the same choices give the same answer.
"""

import math
from dataclasses import dataclass, replace

from streams.domain.choice import Choices
from streams.domain.dispatch.core_search import Budget, search
from streams.domain.dispatch.dual import Dual, dual, priced
from streams.domain.dispatch.problem import Problem, mirrored, problem_of
from streams.domain.selection import Selection, is_short, keeps_limits, overloaded

NAME = "hcp knapsack 6"
# Tens of milliseconds. What needs more is left to a general solver.
STATE_LIMIT = 300_000


@dataclass(frozen=True, slots=True)
class Optimum:
    """The best selection, its worth in money units an hour, penalties taken off, and the prices of the limits.

    `floor_price`: what a W less of load would be worth where floors hold it up, money units an hour.
    """

    selection: Selection
    worth: int
    prices: Dual
    floor_price: float


def optimum(found: Choices, state_limit: int = STATE_LIMIT) -> Optimum | None:
    """Returns the best selection; None where this way finds none, or takes more than `state_limit`.

    None is found where nothing keeps the limits, and where floors and limits are in each other's way.
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
    if not found.floors:
        return False
    most: dict[str, int] = {}
    for place in found.places:
        name = place.workload.workload_id
        most[name] = max(most.get(name, 0), place.extra_w)
    wanted_w = sum(max(options, key=lambda c: (c.worth, c.extra_w)).extra_w for options in found.modes.values())
    return any(wanted_w + sum(most.values()) < floor.extra_w for floor in found.floors)


def _optimum(found: Choices, budget: Budget, *, above_floors: bool) -> Optimum | None:
    """The optimum without floors, or with floors and without limits of the load."""

    def problem(*, merged: bool) -> Problem:
        whole = problem_of(found, merged=merged)
        return mirrored(whole, found.floors) if above_floors else whole

    whole = problem(merged=True)
    prices = dual(whole)
    tight = set() if above_floors else {t for t, price in enumerate(prices.transformer) if price > 0}
    chosen = _within_transformers(found, whole, prices, budget, tight)
    if chosen is None:
        return None
    selection = _selection(found, whole, chosen)
    if len(found.gpus) > 1 and _options(whole, chosen, selection) != chosen:
        most, whole = whole.worth_of(chosen), problem(merged=False)
        # What a GPU is worth in one pool is about what it is worth in each group.
        prices = priced(whole, replace(prices, gpu=prices.gpu * len(whole.pools)))
        near = _options(whole, chosen, selection)
        chosen = _within_transformers(found, whole, prices, budget, tight, near=near, most=most)
        if chosen is None:
            return None
        selection = _selection(found, whole, chosen)
    if not above_floors:
        return Optimum(selection, whole.worth_of(chosen), prices, 0.0)
    # No limit of the load has a price where a floor holds it up.
    limits = Dual(0.0, prices.gpu, (0.0,) * len(found.transformers), 0.0)
    return Optimum(selection, whole.worth_of(chosen), limits, prices.watt)


def _within_transformers(
    found: Choices,
    whole: Problem,
    prices: Dual,
    budget: Budget,
    tight: set[int],
    *,
    near: list[int] | None = None,
    most: float = math.inf,
) -> list[int] | None:
    """The optimum that overloads none of the transformers; those that count are added to `tight`."""
    while True:
        some = sorted(tight)
        chosen = search(whole.behind(some), prices.behind(some), budget, near, most)
        if chosen is None or not whole.rooms:
            return chosen
        selection = _selection(found, whole, chosen)
        over = overloaded(found, selection)
        if over <= tight or _options(whole, chosen, selection) != chosen:
            return chosen
        most = whole.worth_of(chosen)
        tight |= over


def _selection(found: Choices, problem: Problem, chosen: list[int]) -> Selection:
    """Names what was chosen and packs the workloads, those with one place and the large first; some find no room."""
    modes = {group: options[i].mode for (group, options), i in zip(found.modes.items(), chosen, strict=False)}
    open_places = [own[i] for own, i in zip(problem.places, chosen[len(modes) :], strict=True) if i > 0]
    free = dict(found.gpus)
    homes: dict[str, str] = {}
    for own in sorted(open_places, key=lambda p: (len(p) > 1, -p[0].workload.gpus)):
        fits = [p for p in own if free[p.group] >= p.workload.gpus]
        if fits:
            best = min(fits, key=lambda p: free[p.group])
            free[best.group] -= best.workload.gpus
            homes[best.workload.workload_id] = best.group
    return Selection(modes, homes)


def _options(problem: Problem, chosen: list[int], selection: Selection) -> list[int]:
    """Options of the groups as chosen, of the workloads where they found room."""
    homes = set(selection.places.items())
    jobs = [
        next((i for i, own in enumerate(options) if any((p.workload.workload_id, p.group) in homes for p in own)), 0)
        for options in problem.places
    ]
    return chosen[: len(chosen) - len(jobs)] + jobs
