"""Seeded planning problems, from a few groups to a large fleet."""

import math
from dataclasses import replace

import numpy as np

from schemas.events import PowerMode
from streams.domain.plan.problem import AsicGroup, GpuGroup, Job, Mode, PlanProblem, Site, Transformer


def fleet(
    seed: int,
    *,
    sites: int = 3,
    groups: int = 40,
    jobs: int = 60,
    intervals: int = 48,
    running_modes: int = 2,
    scenarios: int = 1,
    risk_weight: float = 0.0,
) -> PlanProblem:
    """Facilities with ASIC groups (1-4 MW), two GPU groups each, and jobs of all; prices that cross the break-evens."""
    random = np.random.default_rng(seed)
    asics: list[AsicGroup] = []
    gpus: list[GpuGroup] = []
    places: list[Site] = []
    for n in range(sites):
        name = f"Site-{n}"
        own = [_asic(random, f"{name}/asic-{k:03}", intervals, running_modes, transformer=k % 2) for k in range(groups)]
        units = 8 * max(jobs * 3 // (2 * sites), 1)
        own_gpus = [
            GpuGroup(
                group_id=f"{name}/gpu-{k}",
                facility_id=name,
                units=np.full(intervals, units // 2 // 8 * 8 + 8, dtype=np.int64),
                idle_power_mw=0.0001 * units,
                unit_power_mw=0.0009,
                transformer_id=None,
            )
            for k in range(2)
        ]
        asics += own
        gpus += own_gpus
        full = sum(group.modes[-1].power_mw for group in own) + sum(
            g.idle_power_mw + g.units[0] * g.unit_power_mw for g in own_gpus
        )
        before = sum(g.modes[g.mode_before].power_mw for g in own) + sum(g.idle_power_mw for g in own_gpus)
        places.append(_site(random, name, intervals, full, before=before, scenarios=scenarios))
    return PlanProblem(
        interval_s=300,
        intervals=intervals,
        sites=tuple(places),
        asic_groups=tuple(asics),
        gpu_groups=tuple(gpus),
        jobs=tuple(_job(random, k, gpus) for k in range(jobs)),
        risk_weight=risk_weight,
    )


def _asic(random: np.random.Generator, name: str, intervals: int, running: int, *, transformer: int) -> AsicGroup:
    site = name.split("/", maxsplit=1)[0]
    power = float(random.uniform(1.0, 4.0))
    # Break-even at full power from 35 to 75 USD/MWh; low power is more efficient.
    even = float(random.uniform(35.0, 75.0))
    names = (PowerMode.ECO, PowerMode.NORMAL, PowerMode.TURBO)[:running] if running > 1 else (PowerMode.NORMAL,)
    modes = [Mode(PowerMode.OFF, 0.01 * power, 0.0)]
    for k, mode in enumerate(names):
        share = (0.65, 1.0, 1.2)[k] if running > 1 else 1.0
        modes.append(Mode(mode, share * power, share**0.8 * even * power))
    return AsicGroup(
        group_id=name,
        facility_id=site,
        modes=tuple(modes),
        mode_before=int(random.integers(0, running + 1)),
        held=int(random.integers(0, 12)),
        start_cost_usd=4.0 * power,
        stop_cost_usd=2.0 * power,
        change_cost_usd=0.0,
        min_up=6,
        min_down=3,
        available=np.ones(intervals, dtype=np.bool_) if random.random() < 0.9 else np.arange(intervals) > 12,
        transformer_id=f"{site}/T{transformer}",
    )


def _site(
    random: np.random.Generator, name: str, intervals: int, full: float, *, before: float, scenarios: int
) -> Site:
    hour = np.arange(intervals) / 12
    price = 45 + 25 * np.sin(hour * math.pi / 2 + random.uniform(0, 6)) + random.normal(0, 6, (scenarios, intervals))
    limit = np.full(intervals, np.inf)
    start = int(random.integers(0, max(intervals - 12, 1)))
    limit[start : start + 12] = 0.5 * full
    payment = np.where(np.isfinite(limit), 20.0, 0.0)
    return Site(
        facility_id=name,
        cap_mw=np.full(intervals, 0.8 * full),
        cost_usd_mwh=price,
        probability=np.full(scenarios, 1 / scenarios),
        limit_mw=limit,
        payment_usd_mwh=payment,
        block_mw=np.full(intervals, 0.3 * full),
        sell_back_mw=0.2 * full,
        ramp_mw=0.25 * full,
        load_before_mw=before,
        min_load_mw=0.05 * full,
        transformers=tuple(Transformer(f"{name}/T{k}", np.full(intervals, 0.45 * full)) for k in range(2)),
    )


def _job(random: np.random.Generator, n: int, groups: list[GpuGroup]) -> Job:
    gpus = int(random.choice([1, 2, 4, 8, 8, 16, 32]))
    allowed = sorted(random.choice(len(groups), size=min(3, len(groups)), replace=False).tolist())
    length = int(random.integers(6, 60))
    runs = n % 5 == 0
    return Job(
        job_id=f"job-{n:04}",
        gpus=gpus,
        intervals=length,
        revenue_usd_h=gpus * float(random.uniform(1.2, 3.0)),
        priority=int(random.integers(1, 5)),
        groups=tuple(groups[k].group_id for k in allowed),
        running_on=groups[allowed[0]].group_id if runs else None,
        preemption_cost_usd=gpus * 1.5 if runs else 0.0,
        deadline=length + int(random.integers(4, 60)) if random.random() < 0.5 else None,
        sla_penalty_usd=gpus * 10.0,
    )


def enlarged(problem: PlanProblem, factor: float) -> PlanProblem:
    """The same problem with all power and money this many times as large."""
    return replace(
        problem,
        sites=tuple(_enlarged_site(site, factor) for site in problem.sites),
        asic_groups=tuple(
            replace(
                group,
                modes=tuple(Mode(m.name, m.power_mw * factor, m.revenue_usd_h * factor) for m in group.modes),
                start_cost_usd=group.start_cost_usd * factor,
                stop_cost_usd=group.stop_cost_usd * factor,
            )
            for group in problem.asic_groups
        ),
        gpu_groups=tuple(
            replace(g, idle_power_mw=g.idle_power_mw * factor, unit_power_mw=g.unit_power_mw * factor)
            for g in problem.gpu_groups
        ),
        jobs=tuple(
            replace(
                job,
                revenue_usd_h=job.revenue_usd_h * factor,
                preemption_cost_usd=job.preemption_cost_usd * factor,
                sla_penalty_usd=job.sla_penalty_usd * factor,
            )
            for job in problem.jobs
        ),
    )


def _enlarged_site(site: Site, factor: float) -> Site:
    return replace(
        site,
        cap_mw=site.cap_mw * factor,
        limit_mw=site.limit_mw * factor,
        block_mw=site.block_mw * factor,
        sell_back_mw=site.sell_back_mw * factor,
        ramp_mw=site.ramp_mw * factor,
        load_before_mw=None if site.load_before_mw is None else site.load_before_mw * factor,
        min_load_mw=site.min_load_mw * factor,
        transformers=tuple(replace(t, cap_mw=t.cap_mw * factor) for t in site.transformers),
    )
