"""What given modes and placements are worth, and what they give up: from the definitions, without a solver's model."""

from dataclasses import dataclass

import numpy as np

from streams.domain.penalty import PENALTY_USD_MWH, Rule
from streams.domain.plan.placement import complete_at
from streams.domain.plan.problem import AsicGroup, Floats, GivenUp, Ints, Job, Placement, PlanProblem, Site

TOLERANCE_MW = 1e-6
"""A watt: what sums of floating-point numbers may be over a limit."""


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """Load of each site, MW an interval; worth over the horizon, penalties taken off; what was given up, sorted."""

    load_mw: dict[str, Floats]
    worth_usd: float
    given_up: tuple[GivenUp, ...]


def outcome(problem: PlanProblem, modes: dict[str, Ints], placements: dict[str, Placement]) -> Outcome:
    """Returns the outcome of a mode for each ASIC group and interval and a place for each job that runs.

    Physical rules (availability, units in service) are taken to be kept.
    """
    hours = problem.interval_s / 3600
    load = {site.facility_id: np.full(problem.intervals, site.base_mw) for site in problem.sites}
    through = {t.transformer_id: np.zeros(problem.intervals) for site in problem.sites for t in site.transformers}
    worth = 0.0
    given_up: list[GivenUp] = []
    for asic in problem.asic_groups:
        chosen = modes[asic.group_id]
        power = np.array([mode.power_mw for mode in asic.modes])[chosen]
        load[asic.facility_id] += power
        if asic.transformer_id is not None:
            through[asic.transformer_id] += power
        worth += float(np.array([mode.revenue_usd_h for mode in asic.modes])[chosen].sum()) * hours
        worth -= _switching_usd(asic, chosen)
        given_up.extend(_cut_short(asic, chosen, hours))
    homes = {group.group_id: group for group in problem.gpu_groups}
    for gpu in problem.gpu_groups:
        load[gpu.facility_id] += gpu.idle_power_mw
        if gpu.transformer_id is not None:
            through[gpu.transformer_id] += gpu.idle_power_mw
    for job in problem.jobs:
        place = placements.get(job.job_id)
        if place is not None:
            home, power_mw = homes[place.group_id], job.gpus * homes[place.group_id].unit_power_mw
            load[home.facility_id][place.start : place.stop] += power_mw
            if home.transformer_id is not None:
                through[home.transformer_id][place.start : place.stop] += power_mw
            worth += job.revenue_usd_h * (place.stop - place.start) * hours
        worth -= _stopping_usd(job, place, problem.intervals)
        given_up.extend(_missed(job, place, problem.intervals))
    for site in problem.sites:
        given_up.extend(broken(site, load[site.facility_id], through, hours))
        worth += float(site.payment_usd_mwh @ (site.cap_mw - load[site.facility_id])) * hours
    worth -= _energy_usd(problem, load) + sum(found.penalty_usd for found in given_up)
    given_up.sort(key=lambda found: (found.interval, found.rule, found.subject))
    return Outcome(load, worth, tuple(given_up))


def _energy_usd(problem: PlanProblem, load: dict[str, Floats]) -> float:
    """(1 - risk) * mean + risk * CVaR of the cost of energy over the scenarios.

    Energy of the block that is used costs its price, as it could be sold; what can't be sold is lost at its price.
    At a negative price what is not used is settled at it all the same, so no limit counts.
    """
    hours = problem.interval_s / 3600
    if not problem.sites:
        return 0.0
    probability = problem.sites[0].probability
    cost = np.zeros(probability.size)
    for site in problem.sites:
        drawn = load[site.facility_id]
        lost = np.maximum(site.block_mw - site.sell_back_mw - drawn, 0.0)
        cost += (site.cost_usd_mwh @ drawn + np.maximum(site.cost_usd_mwh, 0.0) @ lost) * hours
    mean = float(probability @ cost)
    if problem.risk_weight <= 0:
        return mean
    return (1 - problem.risk_weight) * mean + problem.risk_weight * _tail_mean(cost, probability, problem.risk_tail)


def _tail_mean(cost: Floats, probability: Floats, tail: float) -> float:
    """Mean of the costliest `tail` of the probability (CVaR; Rockafellar and Uryasev, 2000)."""
    order = np.argsort(-cost, kind="stable")
    left = np.minimum(probability[order], np.maximum(tail - np.cumsum(probability[order]) + probability[order], 0.0))
    return float(left @ cost[order]) / tail


def _switching_usd(group: AsicGroup, modes: Ints) -> float:
    before = np.concatenate([[group.mode_before], modes[:-1]])
    starts = int(((before == 0) & (modes > 0)).sum())
    stops = int(((before > 0) & (modes == 0)).sum())
    changes = int(((before > 0) & (modes > 0) & (before != modes)).sum())
    return starts * group.start_cost_usd + stops * group.stop_cost_usd + changes * group.change_cost_usd


def _cut_short(group: AsicGroup, modes: Ints, hours: float) -> list[GivenUp]:
    """Runs and rests that were too short: at the switch, the intervals that were missing within the horizon."""
    found = []
    is_on, since = group.mode_before > 0, -group.held
    for t, now in enumerate((modes > 0).tolist()):
        if now == is_on:
            continue
        rule = Rule.MINIMUM_RUN if is_on else Rule.MINIMUM_REST
        ends = max(min(since + (group.min_up if is_on else group.min_down), modes.size), t)
        if is_on:
            out = np.flatnonzero(~group.available[t:ends])
            ends = t + int(out[0]) if out.size else ends
        if ends > t:
            full_mw = max(mode.power_mw for mode in group.modes)
            penalty = (ends - t) * PENALTY_USD_MWH[rule] * full_mw * hours
            found.append(GivenUp(rule, group.group_id, t, float(ends - t), "intervals", penalty))
        is_on, since = now, t
    return found


def _stopping_usd(job: Job, place: Placement | None, intervals: int) -> float:
    if job.running_on is None:
        return 0.0
    done, stop = (0, 0) if place is None else (place.stop - place.start, place.stop)
    return job.preemption_cost_usd if done < job.intervals and stop < intervals else 0.0


def _missed(job: Job, place: Placement | None, intervals: int) -> list[GivenUp]:
    if job.deadline is None:
        return []
    start, stop = (0, 0) if place is None else (place.start, place.stop)
    late = int(complete_at(job, intervals, np.array(start), np.array(stop))) - job.deadline
    if late <= 0:
        return []
    return [
        GivenUp(
            Rule.DEADLINE, job.job_id, min(job.deadline, intervals - 1), float(late), "intervals", job.sla_penalty_usd
        )
    ]


def broken(site: Site, load: Floats, through: dict[str, Floats], hours: float) -> list[GivenUp]:
    """Returns what of a site's rules a load does not keep, `through` its transformers, MW an interval each."""
    before = np.concatenate([[load[0] if site.load_before_mw is None else site.load_before_mw], load[:-1]])
    excess = [
        (Rule.FACILITY_CAP, site.facility_id, load - site.cap_mw),
        (Rule.GRID_LIMIT, site.facility_id, load - site.limit_mw),
        (Rule.RAMP, site.facility_id, np.abs(load - before) - site.ramp_mw),
        (Rule.MINIMUM_LOAD, site.facility_id, site.min_load_mw - load if site.min_load_mw > 0 else np.zeros_like(load)),
        *(
            (Rule.TRANSFORMER_CAP, transformer.transformer_id, through[transformer.transformer_id] - transformer.cap_mw)
            for transformer in site.transformers
        ),
    ]
    over_mw = [(rule, subject, over, PENALTY_USD_MWH[rule]) for rule, subject, over in excess]
    over_mw += [(Rule.CAPACITY, r.product, r.short_mw(load), r.short_usd_mwh) for r in site.reserves]
    return [
        GivenUp(rule, subject, int(t), float(over[t]), "MW", float(over[t]) * usd_mwh * hours)
        for rule, subject, over, usd_mwh in over_mw
        for t in np.flatnonzero(over > TOLERANCE_MW)
    ]
