"""The running modes of a site's groups, interval by interval: exact over the groups that are nearest to another mode.

When groups run is given, so intervals are apart but for ramps. In each one the groups whose second mode loses least at
the shadow price of power are tried in all combinations of their two modes, at the true cost of the site's load: this
fills what is left of a limit, or keeps it. Even intervals first, then odd ones, so that a ramp has a still neighbour.
"""

import numpy as np

from streams.domain.plan.problem import Floats, Ints
from streams.domain.plan.response import GAIN_USD, Answer

CORE_GROUPS = 8
"""Tried together, in 256 combinations: 10 and 12 groups, 4 and 16 times the work, left hardly smaller gaps."""


def rechosen(answer: Answer, site: int) -> float:
    """Changes running modes of a site's groups to better ones; returns what is gained, USD."""
    rows = np.flatnonzero((answer.asic_site == site) & (answer.fleet.change_usd == 0))
    if not rows.size or answer.fleet.power_mw.shape[1] <= 2:
        return 0.0
    return sum(_rechosen_at(answer, site, rows, np.arange(n, answer.problem.intervals, 2)) for n in (0, 1))


def _rechosen_at(answer: Answer, site: int, rows: Ints, at: Ints) -> float:
    groups, now, other = _core(answer, rows, at)
    power, earned = answer.fleet.power_mw, answer.fleet.earned_usd
    change = power[groups, other] - power[groups, now]
    combined = _COMBINATIONS[: 1 << len(groups), : len(groups)]
    worth = combined @ (earned[groups, other] - earned[groups, now])
    worth -= answer.level_usd(site, at, answer.load[site, at] + combined @ change)
    through = answer.asic_transformer[groups]
    behind = [k for k in np.unique(through).tolist() if k < len(answer.through) - 1]
    for k in behind:
        own = combined @ np.where(through == k, change, 0.0)
        worth -= answer.through_usd((k, at), answer.through[k, at] + own)
    best = worth.argmax(axis=0)
    gain = worth[best, np.arange(at.size)] - worth[0]
    taken = (combined[best].T > 0) & (gain > GAIN_USD)
    if not taken.any():
        return 0.0
    answer.modes[groups, at] = np.where(taken, other, now)
    change = np.where(taken, change, 0.0)
    answer.load[site, at] += change.sum(axis=0)
    for k in behind:
        answer.through[k, at] += np.where(through == k, change, 0.0).sum(axis=0)
    return float(gain[gain > GAIN_USD].sum())


def _core(answer: Answer, rows: Ints, at: Ints) -> tuple[Ints, Ints, Ints]:
    """The groups that may change in each interval, (groups, intervals), their modes and the next best ones."""
    fleet, now = answer.fleet, answer.modes[rows][:, at]
    price = answer.power_usd[rows][:, at, None]
    worth = fleet.earned_usd[rows][:, None, :] - price * fleet.power_mw[rows][:, None, :]
    mine = np.take_along_axis(worth, now[:, :, None], axis=2)[:, :, 0]
    same = fleet.power_mw[rows][:, None, :] == np.take_along_axis(fleet.power_mw[rows], now, axis=1)[:, :, None]
    worth[:, :, 0] = -np.inf
    worth[same] = -np.inf
    other = worth.argmax(axis=2)
    loss = np.abs(mine - np.take_along_axis(worth, other[:, :, None], axis=2)[:, :, 0])
    loss[now == 0] = np.inf
    core = np.argsort(loss, axis=0, kind="stable")[:CORE_GROUPS]
    now, other, loss = (np.take_along_axis(part, core, axis=0) for part in (now, other, loss))
    return rows[core], now, np.where(np.isfinite(loss), other, now)


def _combinations(groups: int) -> Floats:
    """Every way to change some of the groups, none first, (combinations, groups)."""
    return ((np.arange(1 << groups)[:, None] >> np.arange(groups)) & 1).astype(np.float64)


_COMBINATIONS = _combinations(CORE_GROUPS)
