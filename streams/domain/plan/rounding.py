"""From mixed schedules to a whole plan: the jobs first, then when groups run, then their modes; and its improvement."""

import numpy as np

from streams.domain.plan.dive import dived
from streams.domain.plan.master import Master
from streams.domain.plan.neighbourhood import moves, search
from streams.domain.plan.problem import Ints
from streams.domain.plan.relaxation import Relaxation
from streams.domain.plan.response import GAIN_USD, NONE, Answer
from streams.domain.plan.running_mode import rechosen
from streams.domain.plan.site_cost import costs

MAX_ROUNDS = 40
MAX_SEARCHES = 2
ENOUGH_RATIO = 5e-4
"""Gap at which the search ends: half of what a plan may have."""


def rounded(master: Master, relaxed: Relaxation, placed: Ints) -> Answer:
    """Returns a whole plan near the relaxation, with the jobs where they are placed."""
    problem = master.problem
    site = {s.facility_id: n for n, s in enumerate(problem.sites)}
    homes = np.array([site[group.facility_id] for group in problem.asic_groups], dtype=np.int64)
    found = dived(master, placed, homes)
    answer = Answer(
        problem,
        master.fleet,
        master.options,
        costs(problem, master.weights(relaxed.duals)),
        found.modes,
        placed,
        master.power_usd(found.duals),
    )
    _rechoose(answer)
    return answer


def improve(master: Master, answer: Answer, relaxed: Relaxation) -> None:
    """Betters a whole plan until it is within `ENOUGH_RATIO` of the bound or the work is done."""
    enough_usd = ENOUGH_RATIO * abs(relaxed.bound_usd + master.constant_usd)
    found = moves(master, relaxed.duals)
    for _ in range(MAX_SEARCHES):
        before_usd = answer.worth_usd()
        search(answer, found, relaxed.bound_usd - before_usd, enough_usd)
        polish(answer)
        if answer.worth_usd() <= before_usd + GAIN_USD:
            return


def _rechoose(answer: Answer) -> bool:
    """Whether running modes were changed to better ones, at any site."""
    return sum(rechosen(answer, site) for site in range(len(answer.load))) > GAIN_USD


def polish(answer: Answer) -> None:
    """Lets groups and jobs change to better answers, and sites their running modes, until none has one."""
    jobs = np.unique(answer.options.job)
    of = [np.flatnonzero(answer.options.job == job) for job in jobs.tolist()]
    for _ in range(MAX_ROUNDS):
        changed = _better_options(answer, jobs, of)
        changed |= _better_modes(answer)
        changed |= _rechoose(answer)
        if not changed:
            return


def _better_modes(answer: Answer) -> bool:
    if not len(answer.modes):
        return False
    changed = False
    worth, modes, now = answer.best_modes()
    gain = worth - now
    for n in np.argsort(-gain, kind="stable").tolist():
        if gain[n] <= GAIN_USD:
            break
        if answer.gain_usd(n, modes[n]) > GAIN_USD:
            answer.set_modes(n, modes[n])
            changed = True
    return changed


def _better_options(answer: Answer, jobs: Ints, of: list[Ints]) -> bool:
    changed = False
    for job, mine in zip(jobs.tolist(), of, strict=True):
        old = int(answer.placed[job])
        before = answer.job_usd(job, mine)
        answer.set_option(job, NONE)
        best, _ = answer.best_option(job, mine)
        if best != old:
            answer.set_option(job, best)
            if answer.job_usd(job, mine) > before + GAIN_USD:
                changed = True
                continue
        answer.set_option(job, old)
    return changed
