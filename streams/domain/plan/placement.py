"""Every way to run the jobs of a planning problem: where, from when to when, and what each is worth without energy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.domain.plan.problem import Floats, Ints, Job, PlanProblem


@dataclass(frozen=True, slots=True, eq=False)
class Options:
    """All options of all jobs, sorted by job, group and time; arrays have one entry an option.

    `job` and `group` are positions in the problem. `worth_usd`: revenue less costs over that of the job's rest, without
    energy. `rest_usd` (one entry a job): worth of not running at all. `tie_usd`: what is added in the search alone, so
    that of equals the one of higher priority runs, and the earlier one. `gpus` are those taken, `power_mw` is drawn.
    """

    job: Ints
    group: Ints
    start: Ints
    stop: Ints
    worth_usd: Floats
    tie_usd: Floats
    gpus: Ints
    power_mw: Floats
    rest_usd: Floats


def gang_gpus(gpus: int, island_gpus: int) -> int:
    """GPUs that a gang takes: the next power of two up to an island, or whole islands.

    Gangs of these sizes fill islands without gaps, the largest first, where an island is a power of two.
    """
    if gpus > island_gpus:
        return -(-gpus // island_gpus) * island_gpus
    return min(1 << (gpus - 1).bit_length(), island_gpus)


def options(problem: PlanProblem) -> Options:
    """Returns every way to run every job. One that can't be on any of its groups has none."""
    position = {group.group_id: n for n, group in enumerate(problem.gpu_groups)}
    taken = _taken(problem)
    parts: list[tuple[Ints, ...]] = []
    worth: list[Floats] = []
    rest = np.zeros(len(problem.jobs))
    for n, job in enumerate(problem.jobs):
        rest[n] = _rest_usd(job, problem.intervals)
        homes = (job.running_on,) if job.running_on is not None else job.groups
        for home in sorted({position[name] for name in homes if name in position}):
            start, stop = _times(job, problem.intervals)
            fits = _fits(problem.gpu_groups[home].units, taken[n, home], start, stop)
            start, stop = start[fits], stop[fits]
            parts.append((np.full(start.size, n), np.full(start.size, home), start, stop))
            worth.append(_worth_usd(job, problem, start, stop) - rest[n])
    job_of, group_of, start, stop = (
        (np.concatenate(column).astype(np.int64) for column in zip(*parts, strict=True))
        if parts
        else (np.zeros(0, dtype=np.int64) for _ in range(4))
    )
    sizes = np.array([job.gpus for job in problem.jobs], dtype=np.int64)
    unit = np.array([group.unit_power_mw for group in problem.gpu_groups])
    priority = np.array([job.priority for job in problem.jobs], dtype=np.float64)
    revenue = np.array([job.revenue_usd_h for job in problem.jobs]) * problem.interval_s / 3600
    urgency = (1 + priority - priority.min(initial=0.0)) / (1 + np.ptp(priority) if priority.size else 1)
    return Options(
        job=job_of,
        group=group_of,
        start=start,
        stop=stop,
        worth_usd=np.concatenate(worth) if worth else np.zeros(0),
        tie_usd=TIE * (revenue * urgency)[job_of] * (stop - start + 1 - start / problem.intervals),
        gpus=taken[job_of, group_of],
        power_mw=sizes[job_of] * unit[group_of],
        rest_usd=rest,
    )


TIE = 1e-6
"""Share of a job's revenue that decides between equals: a thousandth of the gap that a plan may have."""


def _taken(problem: PlanProblem) -> Ints:
    taken = np.array(
        [[gang_gpus(job.gpus, group.island_gpus) for group in problem.gpu_groups] for job in problem.jobs],
        dtype=np.int64,
    ).reshape(len(problem.jobs), len(problem.gpu_groups))
    for n, group in enumerate(problem.gpu_groups):
        running = [k for k, job in enumerate(problem.jobs) if job.running_on == group.group_id]
        # Gangs that run where no islands were left for them are there all the same: they keep what they have.
        if taken[running, n].sum() > group.units[0]:
            taken[running, n] = [problem.jobs[k].gpus for k in running]
    return taken


def _times(job: Job, intervals: int) -> tuple[Ints, Ints]:
    if job.running_on is not None:
        stop = np.arange(1, min(job.intervals, intervals) + 1)
        return np.zeros_like(stop), stop
    start = np.arange(intervals)
    return start, np.minimum(start + job.intervals, intervals)


def _fits(units: Ints, gpus: int, start: Ints, stop: Ints) -> NDArray[np.bool_]:
    short = np.concatenate([[0], np.cumsum(units < gpus)])
    return np.asarray(short[stop] == short[start])


def _worth_usd(job: Job, problem: PlanProblem, start: Ints, stop: Ints) -> Floats:
    done = stop - start
    worth = job.revenue_usd_h * problem.interval_s / 3600 * done
    worth -= np.where((done < job.intervals) & (stop < problem.intervals), job.preemption_cost_usd, 0.0)
    if job.deadline is not None:
        worth -= np.where(complete_at(job, problem.intervals, start, stop) > job.deadline, job.sla_penalty_usd, 0.0)
    return np.asarray(worth, dtype=np.float64)


def _rest_usd(job: Job, intervals: int) -> float:
    late = job.deadline is not None and intervals + job.intervals > job.deadline
    stopped = job.running_on is not None
    return -(job.sla_penalty_usd if late else 0.0) - (job.preemption_cost_usd if stopped else 0.0)


def complete_at(job: Job, intervals: int, start: Ints, stop: Ints) -> Ints:
    """Number of the interval by whose start a job is complete that runs from `start` to `stop`; the rest of it at
    once after the horizon, at best."""
    done = stop - start
    return np.where(done < job.intervals, intervals + job.intervals - done, stop)
