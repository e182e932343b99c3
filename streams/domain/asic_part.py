"""The ASIC groups of an interval without the workloads, in parts: those behind each transformer, and those behind none.

A workload draws little beside an ASIC group, so that most of what a dual's bound is too high is known from the parts
alone, whatever the workloads do.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.domain.core import Excess
from streams.domain.core_search import Budget, search
from streams.domain.dual import Dual, dual, priced
from streams.domain.interval import Floats, Interval, Ints, Step

# Each time a smaller gap leaves fewer workloads in doubt, and they leave a smaller one.
ROUNDS = 3
# So many groups together draw what suits any workload, within what is lost.
MANY = 12
# A gap that shrinks by less is not worth another round.
SHRINKS = 0.7


class Part(NamedTuple):
    """Groups that share a limit: `number` is their transformer, or the number of transformers for those behind none.

    `is_own`: which classes of the whole problem they are; `alone`: they and their limit, power of the facility paid for
    where it is a transformer's; `price`: a dual's, of a W of the limit; `jobs_w`: what each option of each workload
    takes of it, W.
    """

    number: int
    is_own: NDArray[np.bool_]
    alone: Interval
    price: float
    jobs_w: Ints


def parts(problem: Interval, prices: Dual) -> list[Part]:
    """Returns the parts, the groups behind no transformer last."""
    is_job = problem.jobs
    feeder = problem.transformer[:, 0]
    jobs = problem.classes(is_job)
    found = []
    for number, room_w in enumerate(problem.rooms):
        is_own = ~is_job & (feeder == number)
        groups = problem.classes(is_own)
        alone = replace(alone_within(groups, room_w), worth=paid(groups, np.array(prices.watt)))
        jobs_w = np.where(jobs.transformer == number, jobs.watts, 0)
        found.append(Part(number, is_own, alone, prices.transformer[number], jobs_w))
    is_own = ~is_job & (feeder < 0)
    groups = replace(problem.classes(is_own), pools=(), rooms=())
    return [*found, Part(len(problem.rooms), is_own, groups, prices.watt, jobs.watts)]


def completed(
    problem: Interval, found: Sequence[Part], placed: Sequence[int], budget: Budget
) -> tuple[list[int] | None, dict[int, float]]:
    """Returns these options of the workloads with the best of each part in what they leave; None if that is too little.

    The groups behind transformers come first, and leave the others what is left of the cap. Beside it what parts lose
    to their share of the bound, where workloads take nothing of their limit.
    """
    is_job = problem.jobs
    chosen = np.zeros(len(is_job), np.int64)
    chosen[is_job] = placed
    at = np.arange(len(placed)), chosen[is_job]
    lost: dict[int, float] = {}
    taken_w = 0
    *behind, free = found
    for part in behind:
        own = part.alone.with_room(part.alone.cap_w - int(part.jobs_w[at].sum()))
        best = search(own, dual(own), None, budget)
        if best is None:
            return None, lost
        chosen[part.is_own] = best
        taken_w += own.load_w(best)
        if not part.jobs_w.any():
            lost[part.number] = _below(part, own.worth_of(best), 0)
    own = free.alone.with_room(free.alone.cap_w - taken_w - int(free.jobs_w[at].sum()))
    # The price of a watt for all is about that of these.
    best = search(own, priced(own, Dual(free.price, (), (), 0.0)), None, budget)
    if best is None:
        return None, lost
    chosen[free.is_own] = best
    return chosen.tolist(), lost


def excess(
    problem: Interval, prices: Dual, found: Sequence[Part], known: Excess, known_worth: int, *, budget: Budget
) -> Excess:
    """Returns by how much the bound is too high for what is worth more than a known selection; `known` is that already.

    What groups behind no transformer can draw depends on those behind one, so that nothing is said of them where there
    are such.
    """
    jobs = problem.classes(problem.jobs)
    reduced = prices.reduced(jobs)
    losses = reduced.max(axis=1, keepdims=True) - reduced
    shared = [p for p in found[:-1] or found if p.number not in known.parts and len(p.alone.watts) <= MANY]
    for _ in range(ROUNDS if shared else 0):
        gap = prices.bound - known.total - known_worth
        if gap < 1:
            break
        is_usable = losses <= gap + known.jobs
        lost = dict(known.parts)
        for part in shared:
            least = np.where(is_usable, part.jobs_w, part.jobs_w.max(axis=1, keepdims=True)).min(axis=1)
            most = np.where(is_usable, part.jobs_w, 0).max(axis=1)
            lost[part.number] = _lost(part, int(least.sum()), int(most.sum()), budget)
        known = Excess(known.jobs, lost)
        if prices.bound - known.total - known_worth > SHRINKS * gap:
            break
    return known


def _lost(part: Part, least_w: int, most_w: int, budget: Budget) -> float:
    """What a part loses at least to its share of the bound, where workloads take from `least_w` to `most_w`.

    Of what they can leave, it takes what suits it: up to there its power is free, as all of the limit is paid for.
    """
    alone, price = part.alone, part.price
    peak = alone.peak_w(price)
    own = replace(alone, cap_w=alone.cap_w - least_w, steps=tuple(_steps(alone, price, peak, least_w, most_w)))
    best = search(own, priced(own, Dual(price, (), (), 0.0)), None, budget)
    if best is None:
        return 0.0
    return _below(part, own.worth_of(best), most_w)


def _below(part: Part, worth: int, most_w: int) -> float:
    """By how much a worth is below a part's share of the bound, where workloads take `most_w`."""
    alone, price = part.alone, part.price
    peak = alone.peak_w(price)
    share = float((alone.worth - price * alone.watts).max(axis=1).sum())
    return max(share + price * (peak - most_w) - alone.penalty(peak) - worth, 0.0)


def _steps(alone: Interval, price: float, peak_w: int, least_w: int, most_w: int) -> Iterable[Step]:
    """The steps of a load that workloads may raise by what suits it, rounded down, so that a bound holds."""
    below = [step for step in alone.steps if step.limit_w < peak_w]
    above = [step for step in alone.steps if step.limit_w > peak_w]
    under = sum(step.penalty_per_w for step in below)
    over = under + sum(step.penalty_per_w for step in alone.steps if step.limit_w == peak_w)
    yield from (Step(step.limit_w - most_w, step.penalty_per_w) for step in below)
    yield Step(peak_w - most_w, max(math.floor(price) - under, 0))
    yield Step(peak_w - least_w, max(math.floor(over - price), 0))
    yield from (Step(step.limit_w - least_w, step.penalty_per_w) for step in above)


def alone_within(problem: Interval, cap_w: int) -> Interval:
    """Returns the problem with a cap and nothing else."""
    none = np.full_like(problem.transformer, -1)
    return replace(problem, transformer=none, pools=(), rooms=(), cap_w=cap_w, steps=())


def paid(problem: Interval, watt: Floats) -> Ints:
    """Returns the worth with power paid for, rounded up, so that a bound holds."""
    worth: Ints = np.ceil(problem.worth - watt * problem.watts).astype(np.int64)
    return worth
