"""Whole sites of many groups and workloads, drawn at random."""

import random
from dataclasses import replace

from schemas import events as e
from tests.unit.streams.allocation_case import asic, award, fed, gpu, job, running, snapshot

# Watts and TH/s of ECO, NORMAL and TURBO of five generations of miners, 15 to 35 J/TH.
MINERS = (
    ((2600, 210), (3645, 270), (4600, 315)),
    ((2400, 180), (3500, 234), (4300, 270)),
    ((2200, 140), (3250, 190), (4000, 215)),
    ((2300, 95), (3400, 140), (4200, 155)),
    ((2200, 85), (3250, 110), (3900, 125)),
)


def site(
    draw: random.Random, groups: int = 40, jobs: int = 60, gpu_groups: int = 1, transformers: int = 0
) -> e.AllocationSnapshot:
    """A site as it might be: its cap from a third of its miners' load to a little over it, a call in three of ten.

    Half of the workloads run, where there is room; those that wait want a third more GPUs than there are, or more.
    Groups are behind transformers in turn, which carry from half of what is behind them to a little over it.
    """
    running_modes = (e.PowerMode.ECO, e.PowerMode.NORMAL, e.PowerMode.TURBO)
    hashprice = 0.05 * draw.uniform(0.8, 1.3)
    parts: list[e.GroupInput | e.WorkloadInput] = []
    most_mw = 0.0
    for n in range(groups):
        miner, units = draw.choice(MINERS), draw.randrange(200, 4000)
        points = zip(running_modes, miner, strict=True)
        options = tuple((mode, w * units / 1e6, ths * hashprice / 24 * units) for mode, (w, ths) in points)
        parts.append(replace(asic(f"m{n:02}", options), idle_power_mw=15 * units / 1e6))
        most_mw += miner[2][0] * units / 1e6
    free = [8 * draw.randrange(jobs // 3, jobs) // gpu_groups for _ in range(gpu_groups)]
    parts.extend(gpu(f"g{n}", units, 0.0006) for n, units in enumerate(free))
    for n in range(jobs):
        size, usd_gpu_h = draw.choice([1, 2, 4, 8, 8, 8, 16, 16, 32, 64]), draw.choice([1.9, 2.2, 2.5, 2.5, 3.1])
        home = draw.randrange(gpu_groups)
        if draw.random() < 0.5 and free[home] >= size:
            free[home] -= size
            parts.append(running(f"w{n:02}", f"g{home}", size, size * usd_gpu_h, size * usd_gpu_h / 4))
        else:
            parts.append(job(f"w{n:02}", size, size * usd_gpu_h, priority=draw.randrange(4)))
    cap_mw = round(most_mw * 1.2 * draw.uniform(0.3, 1.05), 3)
    called = draw.random() < 0.3
    feeders = [f"t{n}" for n in range(transformers)]
    if feeders:
        own = [part for part in parts if isinstance(part, e.GroupInput)]
        parts = [fed(part, f"t{own.index(part) % transformers}" if part in own else None) for part in parts]
    return snapshot(
        *parts,
        cap_mw=cap_mw,
        transformers=[
            e.TransformerLimit(transformer_id=name, cap_mw=_most_mw(parts, name) * 1.13 * draw.uniform(0.5, 1.1))
            for name in feeders
        ],
        pue_ratio=1.13,
        power_cost_usd_mwh=draw.uniform(10, 90),
        signal_id="dr-1" if called else None,
        limit_mw=cap_mw * draw.uniform(0.2, 0.9) if called else None,
        payment_usd_mwh=20.0 if called else 0.0,
    )


def within_plan(draw: random.Random, case: e.AllocationSnapshot) -> e.AllocationSnapshot:
    """A site in the middle of its day: its miners run or rest, a switch binds them for a quarter of an hour and wears
    them, and a plan has the next four intervals, at prices that stray from the one now.
    """
    ahead = 4
    return replace(
        case,
        groups=[_underway(draw, group, ahead) if group.kind is e.ResourceKind.ASIC else group for group in case.groups],
        ahead_usd_mwh=[case.power_cost_usd_mwh * draw.uniform(0.5, 1.6) for _ in range(ahead)],
    )


def _underway(draw: random.Random, group: e.GroupInput, ahead: int) -> e.GroupInput:
    modes = [option.mode for option in group.modes]
    now = draw.choice(modes)
    return replace(
        group,
        current_mode=now,
        held_s=draw.randrange(0, 7200, 60),
        min_up_s=900,
        min_down_s=900,
        start_cost_usd=group.units * 0.02,
        stop_cost_usd=group.units * 0.01,
        # A plan changes modes less often than not.
        planned_modes=[now if draw.random() < 0.8 else draw.choice(modes) for _ in range(ahead)],
    )


def held_up(draw: random.Random, case: e.AllocationSnapshot) -> e.AllocationSnapshot:
    """A site at a price at which little would run but for its ramp, a block that can't all be sold, and two awards."""
    return replace(
        case,
        power_cost_usd_mwh=draw.uniform(80, 300),
        signal_id=None,
        limit_mw=None,
        payment_usd_mwh=0.0,
        load_before_mw=case.cap_mw * draw.uniform(0.3, 1.0),
        ramp_mw_min=case.cap_mw * draw.uniform(0.02, 0.15),
        block_mw=case.cap_mw * 0.7,
        sell_back_limit_mw=case.cap_mw * draw.uniform(0.3, 0.7),
        capacity_awards=[
            award(name, capacity_mw=case.cap_mw * draw.uniform(0.05, 0.2), price_usd_mw_h=usd, penalty_usd_mwh=20.0)
            for name, usd in (("ECRS", 8.0), ("RRS", 30.0))
        ],
    )


def _most_mw(parts: list[e.GroupInput | e.WorkloadInput], transformer: str) -> float:
    """What the groups behind a transformer draw at most, without cooling."""
    behind = [part for part in parts if isinstance(part, e.GroupInput) and part.transformer_id == transformer]
    return sum(max([group.units * group.unit_power_mw, *(o.power_mw for o in group.modes)]) for group in behind)
