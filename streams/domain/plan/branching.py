"""A tighter bound: branch and bound over when ASIC groups run, site by site.

The relaxation mixes running and resting where a ramp or a cap leaves room for a part of a group. What a mix gains is
taken back by trying both: the group runs in that interval, or it rests (Land and Doig, "An Automatic Method of Solving
Discrete Programming Problems", 1960). Sites share jobs only. These have the prices of the relaxation here, so each site
has a tree of its own, and what its tree proves adds up with the others' (Lagrange).
"""

from dataclasses import dataclass, replace
from typing import Any, cast

import highspy
import numpy as np

from streams.domain.plan.highs import of_sheet
from streams.domain.plan.master import Master
from streams.domain.plan.problem import Floats, Ints, PlanProblem
from streams.domain.plan.program import asic_rules
from streams.domain.plan.site_rule import frame

MAX_NODES = 9
"""Of a site: these settle half or more of what sixty do."""
WHOLE = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class _Node:
    """A part of the plans: what none of them is worth more than, the runs that are settled (group, interval, 0 or 1).

    `runs`: shares of running, (groups, intervals).
    """

    bound_usd: float
    settled: tuple[tuple[int, int, float], ...]
    runs: Floats
    basis: highspy.HighsBasis


def branched(master: Master, duals: Floats) -> float:
    """Returns what all sites and their ASIC groups are worth at most where jobs pay these prices for power.

    What jobs are worth after it comes on top. Infinite where price scenarios of the tail tie the sites together.
    """
    if master.frame.tail_row.size:
        return np.inf
    problem, plus = master.problem, np.append(duals, 0.0)
    pays = plus[master.frame.gpu_transformer] - plus[master.frame.gpu_load]
    return sum(_Site(*_alone(problem, site.facility_id, pays)).bound_usd() for site in problem.sites)


def _alone(problem: PlanProblem, name: str, pays_usd: Floats) -> tuple[PlanProblem, Floats]:
    """A site without jobs, and what its GPU groups pay for a MW, (groups, intervals)."""
    mine = [n for n, group in enumerate(problem.gpu_groups) if group.facility_id == name]
    alone = replace(
        problem,
        sites=tuple(site for site in problem.sites if site.facility_id == name),
        asic_groups=tuple(group for group in problem.asic_groups if group.facility_id == name),
        gpu_groups=tuple(problem.gpu_groups[n] for n in mine),
        jobs=(),
    )
    return alone, pays_usd[mine]


class _Site:
    """The linear program of a site, and its tree."""

    def __init__(self, problem: PlanProblem, pays_usd: Floats) -> None:
        rules = frame(problem)
        sheet, groups = rules.sheet, problem.asic_groups
        most_mw = np.array([g.units * g.unit_power_mw for g in problem.gpu_groups]).reshape(pays_usd.shape)
        drawn = sheet.columns(pays_usd.shape, high=most_mw, worth=pays_usd)
        sheet.add(rules.gpu_load, drawn, -1.0)
        has = rules.gpu_transformer >= 0
        sheet.add(rules.gpu_transformer[has], drawn[has], 1.0)
        modes = asic_rules(rules, problem)
        owner = np.repeat(np.arange(len(groups)), [len(group.modes) - 1 for group in groups])
        first = np.flatnonzero(np.diff(owner, prepend=-1))
        others = np.setdiff1d(np.arange(owner.size), first)
        self._rows = sheet.rows(modes[first], 1.0, 0.0, 1.0)
        sheet.add(self._rows[owner[others]], modes[others], 1.0)
        self._power_mw = np.array([[group.modes[-1].power_mw] for group in groups])
        settings = highspy.HighsOptions()
        settings.output_flag, settings.threads, settings.presolve = False, 1, "off"
        self._engine = of_sheet(sheet, settings)

    def bound_usd(self) -> float:
        """Returns what the tree proves: the greatest bound of its leaves, the best one branched on first."""
        leaves, count = [self._node((), np.inf)], 1
        while leaves and count < MAX_NODES:
            best = max(range(len(leaves)), key=lambda n: leaves[n].bound_usd)
            split = (np.minimum(leaves[best].runs, 1 - leaves[best].runs) * self._power_mw).ravel()
            if not split.size or split.max() < WHOLE:
                break
            parent = leaves.pop(best)
            group, interval = (int(n) for n in np.unravel_index(split.argmax(), parent.runs.shape))
            for runs in (1.0, 0.0):
                self._engine.setBasis(parent.basis)
                leaves.append(self._node((*parent.settled, (group, interval, runs)), parent.bound_usd))
            count += 2
        return max(leaf.bound_usd for leaf in leaves)

    def _node(self, settled: tuple[tuple[int, int, float], ...], parent_usd: float) -> _Node:
        low, high = np.zeros(self._rows.shape), np.ones(self._rows.shape)
        for group, interval, runs in settled:
            low[group, interval] = high[group, interval] = runs
        rows: Ints = self._rows.ravel().astype(np.int32)
        # The stubs lack it.
        cast("Any", self._engine).changeRowsBounds(rows.size, rows, low.ravel(), high.ravel())
        self._engine.run()
        status = self._engine.getModelStatus()
        bound_usd = parent_usd
        if status == highspy.HighsModelStatus.kOptimal:
            bound_usd = min(parent_usd, float(self._engine.getInfo().objective_function_value))
        elif status == highspy.HighsModelStatus.kInfeasible:
            bound_usd = -np.inf
        shares = np.array(self._engine.getSolution().row_value)[self._rows]
        return _Node(bound_usd, settled, shares, self._engine.getBasis())
