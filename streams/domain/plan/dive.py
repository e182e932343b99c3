"""From mixed schedules to whole runs: when each ASIC group runs is settled a few groups at a time.

The relaxation mixes schedules. As the modes of a running group are many and small steps, mixes of them are nearly whole
already; mixes of running and resting are not. A dive settles the runs of the groups that are nearest to one (its share
is the greatest), solves again, and lets all others answer the prices that come out of it with new schedules: "Primal
Heuristics for Branch and Price", Sadykov et al., INFORMS Journal on Computing 31 (2019). The jobs stay where they are.
"""

from dataclasses import dataclass

import numpy as np

from streams.domain.plan.master import Master
from streams.domain.plan.problem import Floats, Ints
from streams.domain.plan.relaxation import WHOLE
from streams.domain.plan.response import NONE

SETTLED_RATIO = 1 / 3
"""Of the undecided groups of a site, how many are settled at once: one at least."""
MAX_STEPS = 4
FORBIDDEN_USD = -1e9


@dataclass(frozen=True, slots=True, eq=False)
class Dived:
    """Modes that are whole, (groups, intervals), and the duals of the last mix."""

    modes: Ints
    duals: Floats


def dived(master: Master, placed: Ints, site: Ints) -> Dived:
    """Returns whole modes near the relaxation, with the jobs at these options. `site`: of each group."""
    _place(master, placed)
    _, duals, shares = master.solve()
    forced = np.zeros((master.problem.intervals, master.groups, master.fleet.power_mw.shape[1]))
    settled = np.zeros(master.groups, dtype=np.bool_)
    for _ in range(MAX_STEPS):
        runs = _runs(master, shares)
        open_groups = [(share, n) for n, (share, _) in enumerate(runs) if share < WHOLE and not settled[n]]
        if not open_groups:
            break
        for n in _nearest(open_groups, site):
            settled[n] = True
            _settle(master, forced[:, n], n, runs[n][1])
        _, duals, shares = master.solve()
        _, modes = master.schedules(duals, forced)
        if master.append([(n, modes[n]) for n in range(master.groups)]):
            _, duals, shares = master.solve()
    return Dived(_whole(master, shares), duals)


def _place(master: Master, placed: Ints) -> None:
    master.append([(master.groups + job, int(option)) for job, option in enumerate(placed.tolist()) if option != NONE])
    owner = np.array(master.owner, dtype=np.int64)
    jobs = np.flatnonzero(owner >= master.groups)
    chosen = np.array([master.choice[n] == placed[owner[n] - master.groups] for n in jobs.tolist()], dtype=np.bool_)
    master.fix(jobs[chosen], 1.0)
    master.fix(jobs[~chosen], 0.0)


def _runs(master: Master, shares: Floats) -> list[tuple[float, bytes]]:
    """The greatest share of each group's ways to run and rest, and that way."""
    found: list[dict[bytes, float]] = [{} for _ in range(master.groups)]
    for n, schedule in _mixed(master, shares):
        way = (schedule > 0).tobytes()
        found[master.owner[n]][way] = found[master.owner[n]].get(way, 0.0) + float(shares[n])
    return [max((share, way) for way, share in ways.items()) for ways in found]


def _mixed(master: Master, shares: Floats) -> list[tuple[int, Ints]]:
    """The schedules that have a share."""
    some = [(n, master.choice[n]) for n in np.flatnonzero(shares > 1 - WHOLE).tolist()]
    return [(n, choice) for n, choice in some if isinstance(choice, np.ndarray)]


def _nearest(open_groups: list[tuple[float, int]], site: Ints) -> list[int]:
    found = []
    for home in np.unique(site).tolist():
        own = sorted(((share, n) for share, n in open_groups if site[n] == home), reverse=True)
        found += [n for _, n in own[: int(np.ceil(len(own) * SETTLED_RATIO))]]
    return found


def _settle(master: Master, forced: Floats, group: int, way: bytes) -> None:
    runs = np.frombuffer(way, dtype=np.bool_)
    forced[runs, 0], forced[~runs, 1:] = FORBIDDEN_USD, FORBIDDEN_USD
    others = [
        n
        for n, (owner, choice) in enumerate(zip(master.owner, master.choice, strict=True))
        if owner == group and isinstance(choice, np.ndarray) and (choice > 0).tobytes() != way
    ]
    master.fix(np.array(others, dtype=np.int64), 0.0)


def _whole(master: Master, shares: Floats) -> Ints:
    """The likeliest runs of each group, in the modes nearest to the power that it has in its mix of them."""
    ways = [way for _, way in _runs(master, shares)]
    power = np.zeros((master.groups, master.problem.intervals))
    total = np.zeros((master.groups, 1))
    for n, schedule in _mixed(master, shares):
        group = master.owner[n]
        if (schedule > 0).tobytes() == ways[group]:
            power[group] += shares[n] * master.fleet.power_mw[group, schedule]
            total[group] += shares[n]
    runs = np.array([np.frombuffer(way, dtype=np.bool_) for way in ways]).reshape(power.shape)
    if master.fleet.power_mw.shape[1] < 2:
        return np.zeros(power.shape, dtype=np.int64)
    off = np.abs(master.fleet.power_mw[:, None, 1:] - (power / total)[:, :, None])
    return np.where(runs, 1 + off.argmin(axis=2), 0)
