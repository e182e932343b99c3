"""How long a switch binds a group, and what a mode taken now leaves to earn in the intervals ahead.

A group that stops has to rest, and one that starts has to run. So its mode is worth what it brings in the interval, and
what the group can still do behind it: in each interval ahead what the plan made last has for it, or nothing, at the
expected cost of power; in those that a switch binds, it runs (or rests) in any case. The best way through them is a
dynamic program of two states, running and off (unit commitment of a single unit; Wood and Wollenberg, "Power
Generation, Operation, and Control", chapter 4).
"""

import math
from dataclasses import dataclass

from schemas.events import AllocationSnapshot, GroupInput, PowerMode

STRAY_S = 30
"""By so much the moments of decisions stray within their intervals, as those of prices do: a least time that lacks no
more at one of them is over, or it would take an interval more."""


def remaining_s(snapshot: AllocationSnapshot) -> float:
    """Time left of the decided interval, s: what a decision taken within it can still change. At least a second."""
    passed_s = (snapshot.taken_at - snapshot.interval_start).total_seconds()
    return max(snapshot.interval_s - max(passed_s, 0.0), 1.0)


def has_to_stay(group: GroupInput) -> bool:
    """Whether a group has not yet run (or rested) for as long as it has to; out of service it need not run."""
    return 0 not in group.out_of_service and _is_bound(group)


def intervals_to_stay(snapshot: AllocationSnapshot, group: GroupInput) -> int:
    """Intervals, the decided one first, in which a group has to run on (or rest), in service or not."""
    if group.current_mode is None or not _is_bound(group):
        return 0
    return 1 + _bound(snapshot, group, group.current_mode)


def least_s(group: GroupInput, mode: PowerMode) -> int:
    """Least time of a group in a mode: of its run, or of its rest where that is OFF, s."""
    return group.min_down_s if mode is PowerMode.OFF else group.min_up_s


def _is_bound(group: GroupInput) -> bool:
    mode = group.current_mode
    return mode is not None and group.held_s + STRAY_S < least_s(group, mode)


def reach(min_up_s: int, min_down_s: int, interval_s: int) -> int:
    """Intervals after the decided one that a dispatch looks at: those that a switch may bind, and one that is free."""
    return math.ceil(max(min_up_s, min_down_s) / interval_s) + 1


def losses_usd(snapshot: AllocationSnapshot, group: GroupInput) -> dict[PowerMode, float]:
    """What is lost ahead with each mode of an ASIC group against the mode that leaves most, USD; 0 without a plan."""
    if not group.planned_modes:
        return {option.mode: 0.0 for option in group.modes}
    course = _course(snapshot, group)
    worth = {o.mode: course.worth_usd(o.mode, _bound(snapshot, group, o.mode)) for o in group.modes}
    most = max(worth.values(), default=0.0)
    return {mode: most - usd for mode, usd in worth.items()}


@dataclass(frozen=True, slots=True)
class _Course:
    """What the intervals ahead bring a group, USD.

    In each of them, where it has to run or to rest; and from each on, the best, less wear, where it runs before or is
    off.
    """

    must_run: list[float]
    must_rest: list[float]
    running: list[float]
    off: list[float]

    def worth_usd(self, mode: PowerMode, bound: int) -> float:
        """What is ahead of a group that is in a mode now and is bound by it in the first intervals."""
        must, behind = (self.must_rest, self.off) if mode is PowerMode.OFF else (self.must_run, self.running)
        bound = min(bound, len(must))
        return sum(must[:bound]) + behind[bound]


def _course(snapshot: AllocationSnapshot, group: GroupInput) -> _Course:
    hours = snapshot.interval_s / 3600
    earns_usd = {o.mode: o.revenue_usd_h * hours for o in group.modes}
    takes_mwh = {o.mode: max(o.power_mw, group.idle_power_mw) * snapshot.pue_ratio * hours for o in group.modes}
    course = _Course([], [], [0.0], [0.0])
    for planned, cost in reversed(list(zip(group.planned_modes, snapshot.ahead_usd_mwh, strict=False))):
        rests = earns_usd[PowerMode.OFF] - cost * takes_mwh[PowerMode.OFF]
        if planned is PowerMode.OFF:
            runs = -math.inf
            # Where it has to run it does so in the mode that loses least.
            least = (usd - cost * takes_mwh[mode] for mode, usd in earns_usd.items() if mode is not PowerMode.OFF)
            course.must_run.insert(0, max(least, default=rests))
        else:
            runs = earns_usd[planned] - cost * takes_mwh[planned]
            course.must_run.insert(0, runs)
        course.must_rest.insert(0, rests)
        best_running, best_off = runs + course.running[0], rests + course.off[0]
        course.running.insert(0, max(best_running, best_off - group.stop_cost_usd))
        course.off.insert(0, max(best_running - group.start_cost_usd, best_off))
    return course


def _bound(snapshot: AllocationSnapshot, group: GroupInput, mode: PowerMode) -> int:
    """Intervals behind the decided one in which a group that is in a mode now has to stay as it is."""
    if group.current_mode is None:
        return 0
    held_s = group.held_s if (group.current_mode is PowerMode.OFF) is (mode is PowerMode.OFF) else 0
    missing_s = least_s(group, mode) - held_s - remaining_s(snapshot) - STRAY_S
    return max(math.ceil(missing_s / snapshot.interval_s), 0)
