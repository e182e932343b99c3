"""Placeholder while the planner is made: each interval by itself."""

import numpy as np
from streams.domain.plan.problem import Plan, PlanProblem, Placement


def solve_plan(problem: PlanProblem, warm: Plan | None = None) -> Plan:
    modes, load = {}, {s.facility_id: np.zeros(problem.intervals) for s in problem.sites}
    site = problem.sites[0]
    cost = site.probability @ site.cost_usd_mwh + site.payment_usd_mwh
    for g in problem.asic_groups:
        m = np.array([[x.revenue_usd_h - c * x.power_mw for x in g.modes] for c in cost])
        modes[g.group_id] = m.argmax(axis=1)
        load[g.facility_id] += np.array([x.power_mw for x in g.modes])[modes[g.group_id]]
    free = {g.group_id: int(g.units.min()) for g in problem.gpu_groups}
    places = {}
    for j in sorted(problem.jobs, key=lambda j: (j.running_on is None, -j.revenue_usd_h / j.gpus, j.job_id)):
        for name in j.groups:
            if free[name] >= j.gpus:
                free[name] -= j.gpus
                places[j.job_id] = Placement(name, 0, min(j.intervals, problem.intervals))
                break
    return Plan(modes, places, load, 0.0, 0.0, "FEASIBLE", "placeholder")
