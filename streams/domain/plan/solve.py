"""The plan of a planning problem: modes and placements over the horizon, with a proven bound on what could be better.

A small problem, such as a facility's own, is one program in whole numbers (`integral`). A large one:

1. Relax: column generation finds prices of the limits and the bound (`master`, `relaxation`).
2. Round: the jobs are packed (`packing`), a dive settles when groups run (`dive`), and each interval is filled with the
   running modes of its groups (`running_mode`).
3. Improve: best answers and other runs for a group, each priced exactly, until the gap is small (`neighbourhood`).
4. Prove: where it is still too large, the bound is tightened by branching on when groups run (`branching`).

Every step counts its work and none looks at a clock, so the same problem gives the same bytes.
"""

from dataclasses import replace
from importlib.metadata import version

import numpy as np

from streams.domain.dispatch import cp_sat
from streams.domain.plan.branching import branched
from streams.domain.plan.integral import whole
from streams.domain.plan.master import Master
from streams.domain.plan.packing import packed
from streams.domain.plan.problem import Ints, Placement, Plan, PlanProblem, ShadowPrice
from streams.domain.plan.proof import Proof
from streams.domain.plan.relaxation import relax
from streams.domain.plan.response import NONE, Answer
from streams.domain.plan.rounding import improve, rounded
from streams.domain.plan.value import outcome

OPTIMAL_RATIO = 1e-4
"""Gap up to which a plan is called optimal: the default of mixed-integer solvers (HiGHS `mip_rel_gap`)."""
ALLOWED_RATIO = 1e-3
"""Gap that a large plan may have: over it more is done for the bound."""
SHADOW_USD_H = 1e-4
"""Shadow prices under this are rounding errors of the duals."""

INTEGRAL = "integer program 2"
COLUMN_GENERATION = "column generation 7"
"""With the version of the method, as another one finds other plans of the same worth."""

Choice = tuple[dict[str, Ints], dict[str, Placement]]


def solve_plan(problem: PlanProblem, warm: Plan | None = None) -> Plan:
    """Returns the best plan found. Deterministic; always gives one, and names what could not be kept.

    `warm`: the plan of the interval before, of the same groups or some of them. Its schedules, an interval on, are
    among the first; the answer is as valid without, but may be another of the same worth.
    """
    rest = [_still(problem), _at_rest(problem)]
    found = whole(problem)
    if found is not None:
        return _plan(problem, [(found.modes, found.placements), *rest], INTEGRAL, found.proof)
    master = Master(problem)
    shifted = None if warm is None else _shifted(problem, warm)
    if shifted is not None:
        master.append([(n, shifted[0][group.group_id]) for n, group in enumerate(problem.asic_groups)])
    relaxed = relax(master)
    packing = packed(master, relaxed)
    most_usd, _ = master.losses_usd(relaxed.duals)
    jobs_usd = min(most_usd, packing.bound_usd)
    tighter_usd = master.bound_usd(relaxed.duals, jobs_usd)
    relaxed = replace(relaxed, bound_usd=min(relaxed.bound_usd, tighter_usd))
    answer = rounded(master, relaxed, packing.placed)
    improve(master, answer, relaxed)
    if relaxed.bound_usd - answer.worth_usd() > ALLOWED_RATIO * abs(relaxed.bound_usd + master.constant_usd):
        tighter_usd = branched(master, relaxed.duals) + jobs_usd
        relaxed = replace(relaxed, bound_usd=min(relaxed.bound_usd, tighter_usd))
    candidates = [_choice(problem, answer), *([] if shifted is None else [shifted]), *rest]
    bound = Proof(relaxed.bound_usd + master.constant_usd, relaxed.duals, master.frame)
    return _plan(problem, candidates, COLUMN_GENERATION, bound)


def _plan(problem: PlanProblem, candidates: list[Choice], solver: str, proof: Proof) -> Plan:
    outcomes = [outcome(problem, *candidate) for candidate in candidates]
    best = max(range(len(outcomes)), key=lambda n: (outcomes[n].worth_usd, -n))
    found, (modes, placements) = outcomes[best], candidates[best]
    bound = proof.bound_usd
    gap = (bound - found.worth_usd) / max(abs(bound), 1.0)
    return Plan(
        modes=modes,
        placements=placements,
        load_mw=found.load_mw,
        objective_usd=found.worth_usd,
        bound_usd=max(bound, found.worth_usd),
        status="OPTIMAL" if gap <= OPTIMAL_RATIO else "FEASIBLE",
        solver=f"{solver}, HiGHS {version('highspy')}, {cp_sat.name()}",
        shadow_prices=_shadow_prices(problem, proof),
        given_up=found.given_up,
    )


def _choice(problem: PlanProblem, answer: Answer) -> Choice:
    found = answer.options
    return (
        {group.group_id: answer.modes[n].copy() for n, group in enumerate(problem.asic_groups)},
        {
            problem.jobs[job].job_id: Placement(
                problem.gpu_groups[found.group[option]].group_id, int(found.start[option]), int(found.stop[option])
            )
            for job, option in enumerate(answer.placed.tolist())
            if option != NONE
        },
    )


def _at_rest(problem: PlanProblem) -> Choice:
    return {group.group_id: np.zeros(problem.intervals, dtype=np.int64) for group in problem.asic_groups}, {}


def _still(problem: PlanProblem) -> Choice:
    """All as it is: groups keep their mode while they are available."""
    modes = {
        group.group_id: np.where(np.logical_and.accumulate(group.available), group.mode_before, 0)
        for group in problem.asic_groups
    }
    return modes, {}


def _shifted(problem: PlanProblem, warm: Plan) -> Choice:
    """The modes of a plan an interval on, the last kept, for all groups of the problem; jobs are placed anew."""
    modes, count = {}, problem.intervals
    for group in problem.asic_groups:
        before = warm.modes.get(group.group_id, np.full(1, group.mode_before))
        later = before[np.minimum(np.arange(count) + 1, before.size - 1)]
        modes[group.group_id] = np.where(group.available, np.minimum(later, len(group.modes) - 1), 0)
    return modes, {}


def _shadow_prices(problem: PlanProblem, proof: Proof) -> tuple[ShadowPrice, ...]:
    hours = problem.interval_s / 3600
    found: list[ShadowPrice] = []
    for rule, (subjects, rows) in proof.frame.limits.items():
        price = np.abs(proof.duals[rows]) / hours
        found.extend(
            ShadowPrice(rule, subjects[n], int(t), float(price[n, t]))
            for n, t in np.argwhere(price > SHADOW_USD_H).tolist()
        )
    return tuple(sorted(found, key=lambda entry: (entry.interval, entry.rule, entry.subject)))
