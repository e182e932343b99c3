"""From mixed schedules to a whole plan: what is whole stays, the rest answers one by one, then all improve."""

import numpy as np

from streams.domain.plan.master import Master
from streams.domain.plan.problem import Floats, Ints, PlanProblem
from streams.domain.plan.relaxation import WHOLE, Relaxation
from streams.domain.plan.response import GAIN_USD, NONE, Answer
from streams.domain.plan.site_cost import costs

MAX_ROUNDS = 40
SEED = 1
ENOUGH_RATIO = 5e-4
"""Gap at which the search ends: half of what a plan may have."""
MAX_RECREATIONS = 150
RECREATIONS_A_GROUP = 3
"""A few groups have few schedules near their best: more tries find the same ones."""
THRESHOLD_RATIO = 3e-3
"""Share of the worth that a recreation may lose at first, falling to none (threshold accepting; Dueck and Scheuer,
1990). Of 0, 0.0003, 0.001, 0.003 and 0.008 it left the smallest gap, two thirds to half of that without."""
RECREATED = (3, 9)
"""Groups taken out at once, from and not with: 3 to 8 left a third to a half of the gap that 2 to 4 did."""
VARIATION = 0.3
LEAST_WEIGHT = 0.1
"""Weight of a group without regret, in those of the mean."""


def rounded(problem: PlanProblem, master: Master, relaxed: Relaxation) -> Answer:
    """Returns a whole plan near the relaxation. Groups that have to run or rest on come first, then the large ones."""
    groups = master.groups
    modes = np.zeros((groups, problem.intervals), dtype=np.int64)
    present, placed = np.zeros(groups, dtype=np.int64), np.full(master.jobs, NONE)
    left = np.ones(groups + master.jobs, dtype=np.bool_)
    for column in np.flatnonzero(relaxed.shares > WHOLE).tolist():
        agent, choice = master.owner[column], master.choice[column]
        left[agent] = False
        if isinstance(choice, np.ndarray):
            modes[agent], present[agent] = choice, 1
        else:
            placed[agent - groups] = choice
    answer = Answer(
        problem, master.fleet, master.options, costs(problem, master.weights(relaxed.duals)), modes, present, placed
    )
    absent = np.flatnonzero(left[:groups])
    bound = np.array(
        [g.held < (g.min_up if g.mode_before else g.min_down) for g in problem.asic_groups], dtype=np.bool_
    )
    order = np.lexsort((-master.fleet.power_mw[absent].max(axis=1, initial=0.0), ~bound[absent]))
    jobs = np.flatnonzero(left[groups:])
    priority = np.array([job.priority for job in problem.jobs], dtype=np.int64)
    jobs = jobs[np.lexsort((jobs, -priority[jobs]))]
    answer.scarce_usd = master.scarce_usd(relaxed.duals, answer.costs.price * answer.costs.hours)
    answer.power_usd, answer.best_usd = master.power_usd(relaxed.duals), master.priced(relaxed.duals).worth_usd
    fill(answer, absent[order], jobs)
    return answer


def improve(answer: Answer, bound_usd: float) -> None:
    """Betters a whole plan until it is within `ENOUGH_RATIO` of the bound or the work is done."""
    settle(answer)
    recreate(
        answer, bound_usd - ENOUGH_RATIO * abs(bound_usd), min(MAX_RECREATIONS, RECREATIONS_A_GROUP * len(answer.modes))
    )
    settle(answer)


def settle(answer: Answer) -> None:
    """Exchanges power and polishes until neither helps."""
    for _ in range(MAX_ROUNDS):
        if not answer.exchange():
            break
    polish(answer)


def fill(answer: Answer, groups: Ints, jobs: Ints) -> None:
    """Gives absent groups and jobs their best answers, in this order, jobs first."""
    for job in jobs.tolist():
        mine = np.flatnonzero(answer.options.job == job)
        if mine.size:
            answer.set_option(job, answer.best_option(job, mine)[0])
    for n in groups.tolist():
        _, modes, _ = answer.best_modes(np.array([n]), scarce=True)
        answer.set_modes(n, modes[0])


def polish(answer: Answer) -> None:
    """Lets groups and jobs change to better answers until none has one."""
    jobs = np.unique(answer.options.job)
    of = [np.flatnonzero(answer.options.job == job) for job in jobs.tolist()]
    everyone = np.arange(len(answer.modes))
    for _ in range(MAX_ROUNDS):
        changed = _better_options(answer, jobs, of)
        if everyone.size:
            worth, modes, now = answer.best_modes(everyone)
            gain = worth - now
            for n in np.lexsort((everyone, -gain)).tolist():
                if gain[n] <= GAIN_USD:
                    break
                if answer.gain_usd(n, modes[n]) > GAIN_USD:
                    answer.set_modes(n, modes[n])
                    changed = True
        if not changed:
            return


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


def recreate(answer: Answer, enough_usd: float, rounds: int) -> None:
    """Takes a few groups out at every site and puts them back, where that is better or little worse; keeps the best.

    Ruin and recreate (Schrimpf et al., "Record Breaking Optimization Results Using the Ruin and Recreate Principle",
    2000). Groups that are far from their best at the shadow prices go out most often; the shadow prices that they
    come back at are varied, as many schedules are within a little of each other.
    """
    random = np.random.default_rng(SEED)
    homes = [np.flatnonzero(answer.asic_site == n) for n in range(len(answer.load))]
    homes = [rows for rows in homes if rows.size > 1]
    scarce = answer.scarce_usd.copy()
    best_usd, best = answer.worth_usd(), answer.modes.copy()
    for n in range(rounds if homes else 0):
        if best_usd >= enough_usd:
            break
        allowed = THRESHOLD_RATIO * abs(best_usd) / len(homes) * (1 - n / rounds)
        size = int(random.integers(*RECREATED))
        regret = answer.regret_usd()
        picked = [_picked(random, rows, regret[rows], size) for rows in homes]
        before = [answer.home_usd(rows) for rows in homes]
        old = [answer.modes[rows].copy() for rows in picked]
        answer.scarce_usd = scarce * random.uniform(1 - VARIATION, 1 + VARIATION)
        _put_back(answer, picked, size)
        for rows, was, taken, kept in zip(homes, before, picked, old, strict=True):
            if answer.home_usd(rows) < was - allowed:
                _set(answer, taken, kept)
        if answer.worth_usd() > best_usd:
            best_usd, best = answer.worth_usd(), answer.modes.copy()
    answer.scarce_usd = scarce
    _set(answer, np.arange(len(best)), best)


def _set(answer: Answer, rows: Ints, modes: Ints) -> None:
    for n, chosen in zip(rows.tolist(), modes, strict=True):
        if (answer.modes[n] != chosen).any():
            answer.set_modes(n, chosen)


def _put_back(answer: Answer, picked: list[Ints], size: int) -> None:
    """Takes these groups of each site out, and puts them back in this order, of all sites at once."""
    for rows in picked:
        for n in rows.tolist():
            answer.remove(n)
    for step in range(size):
        now = np.array([rows[step] for rows in picked if step < rows.size], dtype=np.int64)
        _, modes, _ = answer.best_modes(now, scarce=step + 1 < size)
        for n, chosen in zip(now.tolist(), modes, strict=True):
            answer.set_modes(n, chosen)


def _picked(random: np.random.Generator, rows: Ints, regret: Floats, size: int) -> Ints:
    weight = np.maximum(regret, 0.0) + LEAST_WEIGHT * max(float(regret.mean()), GAIN_USD)
    return random.choice(rows, size=min(size, rows.size), replace=False, p=weight / weight.sum())
