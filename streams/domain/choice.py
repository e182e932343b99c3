"""The choices of one decision with their power and worth: what the solver, the merit-order rule and the reasons share.

Power is counted in whole watts at the meter, rounded up, money in millionths of a USD an hour, so that a solution
is exact integers and the same on every machine. The load that nobody can turn off (idle devices, with cooling) is the
base; a choice draws on top of it.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.events import AllocationSnapshot, GroupInput, ModeOption, PowerMode, ResourceKind, WorkloadInput
from streams.domain.workload import ON_GPUS

MONEY_PER_USD = 1_000_000
# Load above an active call's limit costs more than any use of power can earn (an H100 at 10 USD an hour earns 12,000
# USD/MWh), so a limit is broken only by load that can't be turned off. As a penalty and not as a constraint: a decision
# always exists.
EXCESS_PENALTY_USD_MWH = 100_000.0


@dataclass(frozen=True, slots=True)
class ModeChoice:
    """A group in one mode: `extra_w` over its idle draw, `worth` in money units an hour."""

    group: str
    mode: PowerMode
    extra_w: int
    worth: int
    revenue_usd_h: float


@dataclass(frozen=True, slots=True)
class PlaceChoice:
    """A workload on one group; `worth` counts its revenue less energy, and the preemption that it avoids."""

    workload: WorkloadInput
    group: str
    extra_w: int
    worth: int


@dataclass(frozen=True, slots=True)
class Choices:
    """All choices of a snapshot: for each ASIC group exactly one mode, for each workload at most one place."""

    modes: dict[str, tuple[ModeChoice, ...]]
    places: tuple[PlaceChoice, ...]
    gpus: dict[str, int]
    cap_extra_w: int
    limit_extra_w: int | None
    base_mw: float
    constant_usd_h: float
    penalty_per_w: int


@dataclass(frozen=True, slots=True)
class Selection:
    """What was chosen: the mode of each ASIC group, and the group of each workload that runs."""

    modes: dict[str, PowerMode]
    places: dict[str, str]


def choices(snapshot: AllocationSnapshot) -> Choices:
    """Returns the choices of a snapshot."""
    pue = snapshot.pue_ratio
    # A MWh used costs its price and the payment that a call would have given for it.
    cost = snapshot.power_cost_usd_mwh + snapshot.payment_usd_mwh
    base_mw = sum(group.idle_power_mw for group in snapshot.groups) * pue
    preemptible = sum(
        preemption_usd_h(snapshot, workload) for workload in snapshot.workloads if workload.state in ON_GPUS
    )
    return Choices(
        modes={
            group.resource_group_id: tuple(_mode_choice(group, option, pue, cost) for option in group.modes)
            for group in snapshot.groups
            if group.kind is ResourceKind.ASIC
        },
        places=tuple(_places(snapshot, pue, cost)),
        gpus={g.resource_group_id: g.units for g in snapshot.groups if g.kind is ResourceKind.GPU},
        cap_extra_w=max(math.floor((snapshot.cap_mw - base_mw) * 1e6), 0),
        limit_extra_w=None if snapshot.limit_mw is None else max(math.floor((snapshot.limit_mw - base_mw) * 1e6), 0),
        base_mw=base_mw,
        constant_usd_h=snapshot.payment_usd_mwh * snapshot.cap_mw - cost * base_mw - preemptible,
        penalty_per_w=round(EXCESS_PENALTY_USD_MWH / 1e6 * MONEY_PER_USD),
    )


def preemption_usd_h(snapshot: AllocationSnapshot, workload: WorkloadInput) -> float:
    """Cost of stopping a workload, spread over the interval so that it compares with margins an hour."""
    return workload.preemption_cost_usd * 3600 / snapshot.interval_s


def worth(found: Choices, selection: Selection) -> int:
    """Worth of a selection, money units an hour, without the constant part; the penalty for a broken call included."""
    chosen = [choice for group, mode in selection.modes.items() for choice in found.modes[group] if choice.mode is mode]
    placed = [place for place in found.places if selection.places.get(place.workload.workload_id) == place.group]
    return sum(c.worth for c in chosen) + sum(p.worth for p in placed) - _excess(found, [*chosen, *placed])


def extra_w(found: Choices, selection: Selection) -> int:
    """Load of a selection over the base, W at the meter."""
    modes = (c.extra_w for group, mode in selection.modes.items() for c in found.modes[group] if c.mode is mode)
    places = (p.extra_w for p in found.places if selection.places.get(p.workload.workload_id) == p.group)
    return sum(modes) + sum(places)


def merit_order(found: Choices) -> Selection:
    """The rule that every operator knows: the worth per watt decides, best first, while power and GPUs last.

    What runs keeps running where it can. Feasible always; the floor that the solver starts from and is measured
    against.
    """
    room_w = found.cap_extra_w if found.limit_extra_w is None else min(found.cap_extra_w, found.limit_extra_w)
    free = dict(found.gpus)
    modes = {group: min(options, key=lambda c: c.extra_w).mode for group, options in found.modes.items()}
    places: dict[str, str] = {}
    used = dict.fromkeys(found.modes, 0)
    candidates: list[ModeChoice | PlaceChoice] = [c for options in found.modes.values() for c in options]
    candidates.extend(found.places)
    for choice in sorted((c for c in candidates if c.worth > 0), key=_merit, reverse=True):
        match choice:
            case ModeChoice():
                # A group takes its best mode per watt once; a mode after that is a worse use of the same devices.
                if used[choice.group] == 0 and choice.extra_w <= room_w:
                    modes[choice.group] = choice.mode
                    used[choice.group] = choice.extra_w
                    room_w -= choice.extra_w
            case PlaceChoice():
                gpus, name = choice.workload.gpus, choice.workload.workload_id
                if name not in places and gpus <= free[choice.group] and choice.extra_w <= room_w:
                    places[name] = choice.group
                    free[choice.group] -= gpus
                    room_w -= choice.extra_w
    return Selection(modes, places)


def _merit(choice: ModeChoice | PlaceChoice) -> tuple[float, int, str, str]:
    match choice:
        case ModeChoice():
            return choice.worth / max(choice.extra_w, 1), 0, choice.group, choice.mode
        case PlaceChoice():
            merit = choice.worth / max(choice.extra_w, 1)
            return merit, choice.workload.priority, choice.group, choice.workload.workload_id


def _mode_choice(group: GroupInput, option: ModeOption, pue: float, cost: float) -> ModeChoice:
    extra_mw = max(option.power_mw - group.idle_power_mw, 0.0) * pue
    margin = option.revenue_usd_h - cost * extra_mw
    return ModeChoice(group.resource_group_id, option.mode, _watts(extra_mw), _money(margin), option.revenue_usd_h)


def _places(snapshot: AllocationSnapshot, pue: float, cost: float) -> Iterable[PlaceChoice]:
    gpu_groups = [group for group in snapshot.groups if group.kind is ResourceKind.GPU]
    for workload in snapshot.workloads:
        holds = workload.state in ON_GPUS
        for group in gpu_groups:
            # What runs stays where it is: moving it would be a preemption.
            if group.units < workload.gpus or (holds and workload.resource_group_id != group.resource_group_id):
                continue
            extra_mw = workload.gpus * group.unit_power_mw * pue
            kept = preemption_usd_h(snapshot, workload) if holds else 0.0
            # The priority is a tie-break: a millionth of a USD an hour for each GPU and step.
            worth_units = _money(workload.revenue_usd_h - cost * extra_mw + kept) + workload.priority * workload.gpus
            yield PlaceChoice(workload, group.resource_group_id, _watts(extra_mw), worth_units)


def _excess(found: Choices, chosen: list[ModeChoice | PlaceChoice]) -> int:
    if found.limit_extra_w is None:
        return 0
    return max(sum(c.extra_w for c in chosen) - found.limit_extra_w, 0) * found.penalty_per_w


def _watts(power_mw: float) -> int:
    # Rounded up, so that a cap is never broken by rounding; the tolerance keeps 3.0000000000000004 W at 3.
    return math.ceil(power_mw * 1e6 - 1e-6)


def _money(usd_h: float) -> int:
    return round(usd_h * MONEY_PER_USD)
