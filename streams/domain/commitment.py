"""How long a switch binds a group, and what a mode taken now leaves to earn in the intervals ahead.

A group that stops has to rest, and one that starts has to run. So its mode is worth what it brings in the interval, and
what the group can still do behind it: in each interval ahead what the plan made last has for it, or nothing, at the
expected cost of power; in those that a switch binds, the same mode. The best way through them is a dynamic program of
two states, running and off (unit commitment of a single unit; Wood and Wollenberg, "Power Generation, Operation, and
Control", chapter 4).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from schemas.events import AllocationSnapshot, GroupInput, ModeOption, PowerMode

STRAY_S = 30
"""By so much the moments of decisions stray within their intervals, as those of prices do: a least time that lacks no
more at one of them is over, or it would take an interval more."""


def remaining_s(snapshot: AllocationSnapshot) -> float:
    """Time left of the decided interval, s: what a decision taken within it can still change. At least a second."""
    passed_s = (snapshot.taken_at - snapshot.interval_start).total_seconds()
    return max(snapshot.interval_s - max(passed_s, 0.0), 1.0)


def has_to_stay(group: GroupInput) -> bool:
    """Whether a group has not yet run (or rested) for as long as it has to; out of service it need not run."""
    if group.current_mode is None or 0 in group.out_of_service:
        return False
    return group.held_s + STRAY_S < least_s(group, group.current_mode)


def intervals_to_stay(snapshot: AllocationSnapshot, group: GroupInput) -> int:
    """Intervals, the decided one first, in which a group has to run on (or rest), in service or not."""
    mode = group.current_mode
    if mode is None or group.held_s + STRAY_S >= least_s(group, mode):
        return 0
    return 1 + _bound(snapshot, group, mode)


def least_s(group: GroupInput, mode: PowerMode) -> int:
    """Least time of a group in a mode: of its run, or of its rest where that is OFF, s."""
    return group.min_down_s if mode is PowerMode.OFF else group.min_up_s


def reach(min_up_s: int, min_down_s: int, interval_s: int) -> int:
    """Intervals after the decided one that a dispatch looks at: those that a switch may bind, and one that is free."""
    return math.ceil(max(min_up_s, min_down_s) / interval_s) + 1


def losses_usd(snapshot: AllocationSnapshot, group: GroupInput) -> dict[PowerMode, float]:
    """What is lost ahead with each mode of an ASIC group against the mode that leaves most, USD; 0 without a plan."""
    course = _course(snapshot, group)
    worth = {o.mode: _worth_usd(course, o, _bound(snapshot, group, o.mode)) for o in group.modes}
    most = max(worth.values(), default=0.0)
    return {mode: most - usd for mode, usd in worth.items()}


@dataclass(frozen=True, slots=True)
class _Course:
    """The intervals ahead of a group, from each on: its best margin less wear, USD, where it runs before or is off."""

    cost_usd_mwh: Sequence[float]
    running_usd: Sequence[float]
    off_usd: Sequence[float]
    hours: float
    mw_per_mw: float
    idle_mw: float

    def margin_usd(self, option: ModeOption, cost_usd_mwh: float) -> float:
        """Margin of an interval in a mode."""
        power_mw = max(option.power_mw, self.idle_mw) * self.mw_per_mw
        return (option.revenue_usd_h - cost_usd_mwh * power_mw) * self.hours


def _course(snapshot: AllocationSnapshot, group: GroupInput) -> _Course:
    options = {option.mode: option for option in group.modes}
    ahead = list(zip(group.planned_modes, snapshot.ahead_usd_mwh, strict=False))
    running, off = [0.0], [0.0]
    course = _Course(
        [cost for _, cost in ahead], running, off, snapshot.interval_s / 3600, snapshot.pue_ratio, group.idle_power_mw
    )
    for mode, cost in reversed(ahead):
        rests = course.margin_usd(options[PowerMode.OFF], cost) + off[0]
        runs = course.margin_usd(options[mode], cost) + running[0] if mode is not PowerMode.OFF else -math.inf
        running.insert(0, max(runs, rests - group.stop_cost_usd))
        off.insert(0, max(runs - group.start_cost_usd, rests))
    return course


def _worth_usd(course: _Course, option: ModeOption, bound: int) -> float:
    bound = min(bound, len(course.cost_usd_mwh))
    behind = course.off_usd if option.mode is PowerMode.OFF else course.running_usd
    return sum(course.margin_usd(option, cost) for cost in course.cost_usd_mwh[:bound]) + behind[bound]


def _bound(snapshot: AllocationSnapshot, group: GroupInput, mode: PowerMode) -> int:
    """Intervals behind the decided one in which a group that is in a mode now has to stay as it is."""
    if group.current_mode is None:
        return 0
    held_s = group.held_s if (group.current_mode is PowerMode.OFF) is (mode is PowerMode.OFF) else 0
    missing_s = least_s(group, mode) - held_s - remaining_s(snapshot) - STRAY_S
    return max(math.ceil(missing_s / snapshot.interval_s), 0)
