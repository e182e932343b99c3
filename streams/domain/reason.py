"""Why a resource group does what a decision gives it, in one line that a person can read."""

import math
from collections.abc import Sequence

from schemas.events import AllocationSnapshot, GroupInput, ModeOption, PowerMode, WorkloadInput
from streams.domain import economics
from streams.domain.choice import Choices, ModeChoice, is_switched, switching_usd
from streams.domain.commitment import has_to_stay, least_s
from streams.domain.penalty import Rule
from streams.domain.selection import Draws

_FLOORS = {
    Rule.MINIMUM_LOAD: "but the load has to stay at its minimum",
    Rule.RAMP: "but the load can't fall faster",
    Rule.CAPACITY: "but the load is held ready for a capacity award",
}


def mining_reason(
    snapshot: AllocationSnapshot, found: Choices, group: GroupInput, mode: PowerMode, draws: Draws
) -> str:
    """Reason of an ASIC group, such as "NORMAL: earns 78.2 $/MWh at a cost of 31.0, limited by the facility cap"."""
    if 0 in group.out_of_service:
        return "OFF: out of service for maintenance"
    cost = economics.grid_value_usd_mwh(snapshot.power_cost_usd_mwh, snapshot.payment_usd_mwh)
    options = found.modes[group.resource_group_id]
    best = max(options, key=lambda c: (c.margin_usd_h, -c.extra_w))
    chosen = next(c for c in options if c.mode is mode)
    if mode is best.mode:
        why = "its best margin" if mode is not PowerMode.OFF else "no mode earns its power"
    else:
        limit = _limit(snapshot, found, group, draws, best.extra_w - chosen.extra_w)
        why = f"{best.mode.value} would earn more, {limit or _patience(snapshot, group, best, mode)}"
    option = next(o for o in group.modes if o.mode is mode)
    if mode is PowerMode.OFF:
        top = max((_value(snapshot, o) for o in group.modes if o.mode is not PowerMode.OFF), default=0.0)
        return f"OFF: could earn {top:.1f} $/MWh at a cost of {cost:.1f}{_call(snapshot)}, {why}"
    value = _value(snapshot, option)
    return f"{mode.value}: earns {value:.1f} $/MWh at a cost of {cost:.1f}{_call(snapshot)}, {why}"


def gpu_reason(
    snapshot: AllocationSnapshot,
    found: Choices,
    group: GroupInput,
    *,
    runs: Sequence[WorkloadInput],
    stopped: Sequence[WorkloadInput],
    waiting: Sequence[WorkloadInput],
    draws: Draws,
) -> str:
    """Reason of a GPU group: what runs, what it earns, what was stopped, and what keeps others waiting."""
    cost = economics.grid_value_usd_mwh(snapshot.power_cost_usd_mwh, snapshot.payment_usd_mwh)
    busy = sum(w.gpus for w in runs)
    parts = [f"{busy} of {group.units} GPUs busy with {len(runs)} workloads"]
    power_mw = busy * group.unit_power_mw * snapshot.pue_ratio
    if power_mw > 0:
        earned = sum(w.revenue_usd_h for w in runs)
        parts[0] += f": earns {earned / power_mw:.1f} $/MWh at a cost of {cost:.1f}{_call(snapshot)}"
    if stopped:
        parts.append(f"{len(stopped)} stopped for a better use of the power or GPUs")
    if waiting:
        least = min(w.gpus for w in waiting)
        if least > group.units - busy:
            why = "too few GPUs free"
        else:
            extra = round(least * group.unit_power_mw * snapshot.pue_ratio * 1e6)
            why = _limit(snapshot, found, group, draws, extra) or "they would not earn their power here"
        parts.append(f"{len(waiting)} waiting, {why}")
    elif not runs:
        parts.append("no workload waits")
    return ", ".join(parts)


def _limit(snapshot: AllocationSnapshot, found: Choices, group: GroupInput, draws: Draws, more_w: int) -> str:
    wanted_w = draws.load_w + more_w
    if more_w < 0:
        kept_up = {floor.rule for floor in found.floors if wanted_w < floor.extra_w <= draws.load_w}
        for rule, why in _FLOORS.items():
            if rule in kept_up:
                return why
    if found.limit_extra_w is not None and wanted_w > found.limit_extra_w:
        return f"limited by the grid limit of call {snapshot.signal_id}, {snapshot.limit_mw:.3f} MW"
    if wanted_w > found.cap_extra_w:
        room_w = math.floor((snapshot.cap_mw - found.base_mw) * 1e6)
        return "limited by the facility cap" if wanted_w > room_w else "limited by the ramp"
    transformer = found.fed_by.get(group.resource_group_id)
    if transformer in found.transformers and draws.behind_w[transformer] + more_w > found.transformers[transformer]:
        return f"limited by transformer {transformer}"
    return ""


def _patience(snapshot: AllocationSnapshot, group: GroupInput, best: ModeChoice, mode: PowerMode) -> str:
    # Nothing limits the better mode: what it earns now is less than what going there costs, now or later.
    if is_switched(mode, best.mode) and has_to_stay(group):
        return f"but it has to stay so for {least_s(group, mode) // 60} min, {group.held_s // 60} so far"
    price = _price_of_switch(group, mode, best.mode)
    if price and not is_switched(group.current_mode, mode):
        return f"but not for long enough to be worth {price}"
    if snapshot.horizon or group.planned_modes:
        return "but not over the hours ahead"
    return "but other uses of the power earn more still"


def _price_of_switch(group: GroupInput, before: PowerMode, after: PowerMode) -> str:
    if not is_switched(before, after):
        return ""
    is_start = before is PowerMode.OFF
    verb, noun = ("start", "run") if is_start else ("stop", "rest")
    wear_usd, bound_s = switching_usd(group, before, after), least_s(group, after)
    parts = [f"{wear_usd:.2f} USD of wear to {verb}"] if wear_usd > 0 else []
    parts += [f"{bound_s // 60} min of {noun}"] if bound_s > 0 else []
    return " and ".join(parts)


def _call(snapshot: AllocationSnapshot) -> str:
    return f" (with {snapshot.payment_usd_mwh:.1f} of call payment forgone)" if snapshot.payment_usd_mwh else ""


def _value(snapshot: AllocationSnapshot, option: ModeOption) -> float:
    power_mw = option.power_mw * snapshot.pue_ratio
    return option.revenue_usd_h / power_mw if power_mw > 0 else 0.0
