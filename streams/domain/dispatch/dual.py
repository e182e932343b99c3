"""Prices of power, transformers and GPUs at which each choice of an interval, for itself, comes nearest to the limits.

The Lagrangian dual of the interval's problem (Kellerer, Pferschy, Pisinger, "Knapsack Problems", 2004, section 11.2).
Watts, the watts behind each transformer and GPUs get a price, the limits go, and what is left falls apart into a
maximum for each group and workload:

    bound(l, u, m) = sum over c of max over i of (worth - (l + u[transformer]) * watts - m[pool] * gpus)
                     + most(l) + sum of u[transformer] * room + sum of m[pool] * units
    most(l) = max over load of l * load - penalty(load)

Every price gives an upper bound. For power alone the best price is that of the linear relaxation: the slope of the edge
of the choices' convex hulls at which the limit is reached. Behind a transformer, edges end where its room does, and the
slope there is the least that a W behind it costs in all. With GPUs the prices are found in turn, which ends at the
relaxation's price for one pool, and near it for more. Floats steer the search only; they decide no comparison finer
than half a money unit.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from streams.domain.dispatch.problem import Floats, Ints, Problem

# Prices settle in two or three rounds; more of them would only make the bound a little tighter.
ROUNDS = 4


@dataclass(frozen=True, slots=True)
class Dual:
    """Prices in money units an hour, for a W, a GPU of each pool, a W behind each transformer, and what they prove."""

    watt: float
    gpu: tuple[float, ...]
    transformer: tuple[float, ...]
    bound: float

    def behind(self, transformers: Sequence[int]) -> "Dual":
        """Returns the prices of a problem with these transformers only, where the others have none."""
        return Dual(self.watt, self.gpu, tuple(self.transformer[t] for t in transformers), self.bound)

    def watts(self, transformer: Ints) -> Floats:
        """Price of a W behind each of these transformers, in all."""
        price: Floats = self.watt + np.array([*self.transformer, 0.0])[transformer]  # -1, none, is the last
        return price

    def reduced(self, problem: Problem) -> Floats:
        """Worth of each option after its power and GPUs are paid for, shape (classes, options)."""
        gpu = np.array([*self.gpu, 0.0])[problem.pool]
        left: Floats = problem.worth - self.watts(problem.transformer) * problem.watts - gpu * problem.gpus
        return left


class _Edges(NamedTuple):
    """Upper hulls of classes: the least load of each and its transformer; slope, width, transformer of each edge."""

    least_w: Ints
    feeder: Ints
    slope: Floats
    width: Ints
    behind: Ints


def dual(problem: Problem) -> Dual:
    """Returns the best prices found. Deterministic."""
    is_job = problem.jobs
    jobs = problem.classes(is_job)
    prices = Dual(0.0, (0.0,) * len(problem.pools), (0.0,) * len(problem.rooms), 0.0)
    # The hulls of the ASIC groups are the same at any price of a GPU.
    fixed = _edges(problem.classes(~is_job), prices)
    prices = _power(problem, fixed, jobs, prices)
    for turn in range(ROUNDS if len(jobs.watts) else 0):
        before = prices
        if turn == 0 and len(problem.pools) > 1:
            # One pool after the other would leave all at zero: work can always go to one that is still free.
            price = _gpu_price(jobs, prices, range(len(problem.pools)), sum(problem.pools))
            prices = Dual(prices.watt, (price,) * len(problem.pools), prices.transformer, 0.0)
        for pool, units in enumerate(problem.pools):
            price = _gpu_price(jobs, prices, range(pool, pool + 1), units)
            gpu = (*prices.gpu[:pool], price, *prices.gpu[pool + 1 :])
            prices = Dual(prices.watt, gpu, prices.transformer, 0.0)
        if before == prices:
            break
        prices = _power(problem, fixed, jobs, prices)
    return priced(problem, prices)


def priced(problem: Problem, prices: Dual) -> Dual:
    """Returns these prices with the bound that they prove."""
    bound = float(prices.reduced(problem).max(axis=1, initial=-np.inf).sum())
    peak = problem.peak_w(prices.watt)
    bound += prices.watt * peak - problem.penalty(peak)
    bound += sum(price * units for price, units in zip(prices.gpu, problem.pools, strict=True))
    bound += sum(price * room for price, room in zip(prices.transformer, problem.rooms, strict=True))
    return Dual(prices.watt, prices.gpu, prices.transformer, bound)


def _edges(problem: Problem, prices: Dual) -> _Edges:
    """Walks up the hull of each class, all of them at once, from the option that draws least to the best one."""
    watts, feeder = problem.watts, problem.transformer
    gpu = np.array([*prices.gpu, 0.0])[problem.pool]
    # Which place of a workload is best depends on what is behind its transformer, the worth of its power does not.
    extra = np.array([*prices.transformer, 0.0])[feeder]
    value = problem.worth - gpu * problem.gpus - extra * watts
    row = np.arange(len(watts))
    at = np.lexsort((-value, watts), axis=1)[:, 0]
    least_w, first = watts[row, at], feeder[row, at]
    slopes, widths, behind = [], [], []
    for _ in range(watts.shape[1] - 1):
        wider = watts - watts[row, at][:, None]
        rise = value - value[row, at][:, None]
        slope = np.where((wider > 0) & (rise > 0), rise / np.maximum(wider, 1), 0.0)
        steepest = slope.argmax(axis=1)
        is_up = slope[row, steepest] > 0
        if not is_up.any():
            break
        row, at = row[is_up], steepest[is_up]
        watts, feeder, value, extra = (part[is_up] for part in (watts, feeder, value, extra))
        slope, wider = slope[is_up], wider[is_up]
        row = np.arange(len(row))
        slopes.append(slope[row, at] + extra[row, at])
        widths.append(wider[row, at])
        behind.append(feeder[row, at])
    none = np.zeros(0, np.int64)
    return _Edges(
        least_w,
        first,
        np.concatenate([np.zeros(0), *slopes]),
        np.concatenate([none, *widths]),
        np.concatenate([none, *behind]),
    )


def _power(problem: Problem, fixed: _Edges, jobs: Problem, prices: Dual) -> Dual:
    """The prices of power, in all and behind each transformer, at these prices of GPUs."""
    parts = zip(fixed, _edges(jobs, prices), strict=True)
    least_w, feeder, slope, width, behind = (np.concatenate(part) for part in parts)
    order = np.argsort(-slope, kind="stable")
    slope, width, behind = slope[order], width[order], behind[order]
    ends = [0.0] * len(problem.rooms)
    for t, room_w in enumerate(problem.rooms):
        own = np.flatnonzero(behind == t)
        load = int(least_w[feeder == t].sum()) + np.cumsum(width[own])
        over = np.flatnonzero(load > room_w)
        if over.size:
            first = over[0]
            ends[t] = float(slope[own[first]])
            width[own[first]] = max(width[own[first]] - (load[first] - room_w), 0)
            width[own[first + 1 :]] = 0
    watt = _watt_price(problem, int(least_w.sum()), slope, width)
    return Dual(watt, prices.gpu, tuple(max(end - watt, 0.0) for end in ends), 0.0)


def _watt_price(problem: Problem, least_w: int, slope: Floats, width: Ints) -> float:
    load = least_w + np.cumsum(width)
    room = problem.peaks_w(slope)
    over = np.flatnonzero(load > room)
    if not over.size:
        return problem.marginal(load[-1] if load.size else least_w)
    first = over[0]
    before = load[first] - width[first]
    return float(slope[first]) if before <= room[first] else problem.marginal(before)


def _gpu_price(jobs: Problem, prices: Dual, pools: range, units: int) -> float:
    """Price at which the workloads that pay it fill the pools: the bid of the first that finds no room."""
    is_here = (jobs.pool >= pools.start) & (jobs.pool < pools.stop)
    gpu = np.array([*prices.gpu, 0.0])[jobs.pool]
    value = jobs.worth - prices.watts(jobs.transformer) * jobs.watts
    here = np.where(is_here, value, -np.inf).max(axis=1)
    elsewhere = np.where(is_here, -np.inf, value - gpu * jobs.gpus).max(axis=1)
    wanted = jobs.gpus.max(axis=1)
    bid = (here - elsewhere) / wanted
    bidding = np.flatnonzero(bid > 0)
    order = bidding[np.lexsort((-wanted[bidding], -bid[bidding]))]
    over = np.flatnonzero(np.cumsum(wanted[order]) > units)
    return float(bid[order[over[0]]]) if over.size else 0.0
