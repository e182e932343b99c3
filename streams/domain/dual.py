"""Prices of power and GPUs at which each choice of an interval, taken for itself, comes nearest to keeping the limits.

The Lagrangian dual of the interval's problem (Kellerer, Pferschy, Pisinger, "Knapsack Problems", 2004, section 11.2).
Watts and GPUs get a price, the limits go, and what is left falls apart into a maximum for each group and workload:

    bound(l, m) = sum over c of max over i of (worth - l * watts - m[pool] * gpus) + most(l) + sum of m[pool] * units
    most(l) = max over load of l * load - penalty * (load over the limit)
            = l * limit + max(l - penalty, 0) * (cap - limit)

Every price gives an upper bound. For power alone the best price is that of the linear relaxation: the slope of the edge
of the choices' convex hulls at which the limit is reached. With GPUs the prices are found in turn, which ends at
the relaxation's price for one pool, and near it for more. Floats steer the search only; they decide no comparison finer
than half a money unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import NamedTuple

from streams.domain.choice import Choices

# Prices settle in two or three rounds; more of them would only make the bound a little tighter.
ROUNDS = 4


class Option(NamedTuple):
    """One choice of a class: W over the base, worth in money units an hour, and the GPUs that it takes from a pool."""

    watts: int
    worth: int
    gpus: int = 0
    pool: int = -1


@dataclass(frozen=True, slots=True)
class Interval:
    """The problem in numbers: exactly one option of each class.

    `pools`: units of each GPU group. The load is at most `cap_w`; each W over `limit_w` (the cap or less) costs
    `penalty_per_w`.
    """

    classes: tuple[tuple[Option, ...], ...]
    pools: tuple[int, ...]
    cap_w: int
    limit_w: int
    penalty_per_w: int

    def worth(self, chosen: Sequence[int]) -> int:
        """Worth of an option of each class, given by number, money units an hour, the penalty taken off."""
        options = [options[i] for options, i in zip(self.classes, chosen, strict=True)]
        excess = max(sum(o.watts for o in options) - self.limit_w, 0)
        return sum(o.worth for o in options) - excess * self.penalty_per_w


@dataclass(frozen=True, slots=True)
class Dual:
    """Prices in money units an hour, for a W and for a GPU of each pool, and the bound that they prove."""

    watt: float
    gpu: tuple[float, ...]
    bound: float

    def reduced(self, option: Option) -> float:
        """Worth of an option after its power and GPUs are paid for."""
        paid = self.watt * option.watts
        return option.worth - (paid if option.pool < 0 else paid + self.gpu[option.pool] * option.gpus)

    def most(self, problem: Interval) -> float:
        """What a load can be paid at most at the price of a watt, the penalty taken off."""
        over = max(self.watt - problem.penalty_per_w, 0.0) * (problem.cap_w - problem.limit_w)
        return self.watt * problem.limit_w + over


def interval(found: Choices, *, merged: bool) -> Interval:
    """Returns the choices as numbers: a class for each ASIC group, then one for each workload, "runs nowhere" first.

    `merged`: all GPUs are one pool, a relaxation in which places that cost and earn the same are one option.
    """
    pool_of = {group: 0 if merged else number for number, group in enumerate(found.gpus)}
    jobs: dict[str, dict[Option, None]] = {}
    for place in found.places:
        option = Option(place.extra_w, place.worth, place.workload.gpus, pool_of[place.group])
        jobs.setdefault(place.workload.workload_id, {Option(0, 0): None})[option] = None
    groups = (tuple(Option(c.extra_w, c.worth) for c in options) for options in found.modes.values())
    units = tuple(found.gpus.values())
    cap = found.cap_extra_w
    return Interval(
        classes=(*groups, *map(tuple, jobs.values())),
        pools=(sum(units),) if merged else units,
        cap_w=cap,
        limit_w=cap if found.limit_extra_w is None else min(found.limit_extra_w, cap),
        penalty_per_w=found.penalty_per_w,
    )


def dual(problem: Interval) -> Dual:
    """Returns the best prices found. Deterministic."""
    jobs = [options for options in problem.classes if options[-1].pool >= 0]
    gpu = [0.0] * len(problem.pools)
    # The hulls of the ASIC groups are the same at any price of a GPU.
    fixed = _Hulls()
    for options in problem.classes:
        if options[-1].pool < 0:
            fixed.add(options, gpu)
    watt = _watt_price(problem, fixed, jobs, gpu)
    for turn in range(ROUNDS if jobs else 0):
        before = watt, tuple(gpu)
        if turn == 0 and len(gpu) > 1:
            # One pool after the other would leave all at zero: work can always go to one that is still free.
            gpu = [_gpu_price(jobs, range(len(gpu)), sum(problem.pools), watt, gpu)] * len(gpu)
        for pool, units in enumerate(problem.pools):
            gpu[pool] = _gpu_price(jobs, (pool,), units, watt, gpu)
        if before == (watt, tuple(gpu)):
            break
        watt = _watt_price(problem, fixed, jobs, gpu)
    return priced(problem, watt, tuple(gpu))


def priced(problem: Interval, watt: float, gpu: tuple[float, ...]) -> Dual:
    """Returns these prices with the bound that they prove."""
    prices = Dual(watt, gpu, 0.0)
    bound = sum(max(map(prices.reduced, options)) for options in problem.classes) + prices.most(problem)
    return Dual(watt, gpu, bound + sum(price * units for price, units in zip(gpu, problem.pools, strict=True)))


@dataclass(slots=True)
class _Hulls:
    """Upper hulls of classes: the least load of all, W, and slope and width of each edge."""

    load_w: int = 0
    edges: list[tuple[float, int]] = field(default_factory=list)

    def add(self, options: tuple[Option, ...], gpu: list[float]) -> None:
        points = sorted([(o[0], -o[1] if o[3] < 0 else gpu[o[3]] * o[2] - o[1]) for o in options])
        hull: list[tuple[int, float]] = []
        for watts, loss in points:
            if hull and loss >= hull[-1][1]:
                continue
            while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], (watts, loss)):
                hull.pop()
            hull.append((watts, loss))
        self.load_w += hull[0][0]
        self.edges.extend([(_slope(a, b), b[0] - a[0]) for a, b in pairwise(hull)])


def _watt_price(problem: Interval, fixed: _Hulls, jobs: list[tuple[Option, ...]], gpu: list[float]) -> float:
    hulls = _Hulls(fixed.load_w, list(fixed.edges))
    for options in jobs:
        hulls.add(options, gpu)
    load = hulls.load_w
    for slope, watts in sorted(hulls.edges, reverse=True):
        room = problem.cap_w if slope > problem.penalty_per_w else problem.limit_w
        if load + watts > room:
            return slope if load <= room else float(problem.penalty_per_w)
        load += watts
    return 0.0 if load <= problem.limit_w else float(problem.penalty_per_w)


def _slope(a: tuple[int, float], b: tuple[int, float]) -> float:
    return (a[1] - b[1]) / (b[0] - a[0])


def _gpu_price(
    jobs: list[tuple[Option, ...]], pools: range | tuple[int, ...], units: int, watt: float, gpu: list[float]
) -> float:
    """Price at which the workloads that pay it fill the pools: the bid of the first that finds no room."""
    bids: list[tuple[float, int]] = []
    for options in jobs:
        here = elsewhere = 0.0
        for option in options:
            value = option.worth - watt * option.watts
            if option.pool in pools:
                here = max(here, value)
            elif option.pool >= 0:
                elsewhere = max(elsewhere, value - gpu[option.pool] * option.gpus)
        if here > elsewhere:
            bids.append(((here - elsewhere) / options[-1].gpus, options[-1].gpus))
    bids.sort(reverse=True)
    for bid, gpus in bids:
        if gpus > units:
            return bid
        units -= gpus
    return 0.0
