"""The best schedule of each ASIC group for given rewards: exact, by dynamic programming over all groups at once.

State before an interval: running in a mode for so many intervals, or at rest for so many, both counted up to the
longest minimum. What couples groups (caps, ramps, prices) is in the rewards. As the single-unit subproblem of unit
commitment (Frangioni and Gentile, "Solving Nonlinear Single-Unit Commitment Problems with Ramping Constraints", 2006).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.domain.penalty import PENALTY_USD_MWH, Rule
from streams.domain.plan.problem import Floats, Ints, PlanProblem

NEVER = -1e15
"""Reward of what can't be: far under every penalty, and finite, so that sums of it stay numbers."""


@dataclass(frozen=True, slots=True, eq=False)
class Fleet:
    """The ASIC groups as arrays. `power_mw`, `earned_usd` (of an interval) are (groups, modes), OFF first.

    Modes that a group lacks repeat its last one. `run_penalty_usd`, `rest_penalty_usd`: of switching before an interval
    after so many intervals in that state, (intervals, groups, states). `usable`: (groups, intervals).
    """

    power_mw: Floats
    earned_usd: Floats
    usable: NDArray[np.bool_]
    mode_before: Ints
    held: Ints
    start_usd: Floats
    stop_usd: Floats
    change_usd: Floats
    run_penalty_usd: Floats
    rest_penalty_usd: Floats


def fleet(problem: PlanProblem) -> Fleet:
    """Returns the ASIC groups of a problem, in its order, as arrays."""
    groups, hours = problem.asic_groups, problem.interval_s / 3600
    width = max((len(group.modes) for group in groups), default=1)
    padded = [[*group.modes, *[group.modes[-1]] * (width - len(group.modes))] for group in groups]
    power = np.array([[mode.power_mw for mode in modes] for modes in padded]).reshape(len(groups), width)
    earned = np.array([[mode.revenue_usd_h for mode in modes] for modes in padded]).reshape(len(groups), width)
    usable = np.array([g.available for g in groups], dtype=np.bool_).reshape(len(groups), problem.intervals)
    full_usd = power.max(axis=1, initial=0.0) * hours
    runs, rests = np.array([g.min_up for g in groups]), np.array([g.min_down for g in groups])
    return Fleet(
        power_mw=power,
        earned_usd=earned * hours,
        usable=usable,
        mode_before=np.array([g.mode_before for g in groups], dtype=np.int64),
        held=np.array([g.held for g in groups], dtype=np.int64),
        start_usd=np.array([g.start_cost_usd for g in groups]),
        stop_usd=np.array([g.stop_cost_usd for g in groups]),
        change_usd=np.array([g.change_cost_usd for g in groups]),
        run_penalty_usd=_short_intervals(runs, usable) * (PENALTY_USD_MWH[Rule.MINIMUM_RUN] * full_usd)[:, None],
        rest_penalty_usd=_short_intervals(rests, np.ones_like(usable))
        * (PENALTY_USD_MWH[Rule.MINIMUM_REST] * full_usd)[:, None],
    )


def best_schedules(groups: Fleet, rewards: Floats, moves: Floats | None = None) -> tuple[Floats, Ints]:
    """Returns what the best schedule of each group is worth, (groups,), USD, and its modes, (groups, intervals).

    `rewards`: USD of being in a mode for an interval, (intervals, groups, modes); `moves`: cost of coming from a mode
    to one in an interval, (intervals, groups, modes, modes), none in the first. Switching costs and penalties come on
    top. Of equals, the state before is kept.
    """
    count, n, width = rewards.shape
    if n == 0:
        return np.zeros(0), np.zeros((0, count), dtype=np.int64)
    if width == 1:
        return rewards[:, :, 0].sum(axis=0), np.zeros((n, count), dtype=np.int64)
    if moves is None and not groups.change_usd.any():
        # The mode is no state then: the best running mode of the interval is taken.
        best = rewards[:, :, 1:].argmax(axis=2)
        running = np.take_along_axis(rewards[:, :, 1:], best[:, :, None], axis=2)
        worth, chosen = _by_state(groups, rewards[:, :, 0], running, None, np.minimum(groups.mode_before, 1))
        return worth, np.where(chosen > 0, best.T + 1, 0)
    changed = np.ones((width, width)) - np.eye(width)
    changed[0], changed[:, 0] = 0.0, 0.0
    cost = groups.change_usd[None, :, None, None] * changed
    cost = np.repeat(cost, count, axis=0) if moves is None else moves + cost
    return _by_state(groups, rewards[:, :, 0], rewards[:, :, 1:], cost, groups.mode_before)


def _by_state(groups: Fleet, off: Floats, running: Floats, moves: Floats | None, before: Ints) -> tuple[Floats, Ints]:
    count, n, width = running.shape
    run_states, rest_states = groups.run_penalty_usd.shape[2], groups.rest_penalty_usd.shape[2]
    running = np.where(groups.usable.T[:, :, None], running, NEVER)
    later_run = np.minimum(np.arange(run_states) + 1, run_states - 1)
    later_rest = np.minimum(np.arange(rest_states) + 1, rest_states - 1)
    # Worth of what is ahead, by the state before: running (groups, modes, states), at rest (groups, states).
    run, rest = np.zeros((n, width, run_states)), np.zeros((n, rest_states))
    stops = np.empty((count, n, width, run_states), dtype=np.bool_)
    begins = np.empty((count, n, rest_states), dtype=np.bool_)
    first = np.empty((count, n), dtype=np.int64)
    switched = np.empty((count, n, width, run_states), dtype=np.int64)
    everyone = np.arange(n)
    stop_usd = groups.stop_usd[:, None] + groups.run_penalty_usd
    start_usd = groups.start_usd[:, None] + groups.rest_penalty_usd
    for t in range(count - 1, -1, -1):
        ahead = running[t][:, :, None] + run[:, :, later_run]
        fresh = running[t] + run[:, :, 1]
        at_rest = off[t][:, None] + rest[:, later_rest]
        leave = ((off[t] + rest[:, 1])[:, None] - stop_usd[t])[:, None, :]
        if moves is None:
            stay = ahead
        else:
            cost = moves[t]
            fresh = fresh - cost[:, 0, 1:]
            at_rest = at_rest - cost[:, :1, 0]
            leave = leave - cost[:, 1:, 0, None]
            reached = ahead[:, None, :, :] - cost[:, 1:, 1:, None]
            # Its own mode is asked first, so that of equals it is kept.
            own = np.diagonal(reached, axis1=1, axis2=2).swapaxes(1, 2)
            to = reached.argmax(axis=2)
            top = np.take_along_axis(reached, to[:, :, None], axis=2)[:, :, 0]
            switched[t] = np.where(top > own, to, np.arange(width)[:, None])
            stay = np.maximum(top, own)
        first[t] = fresh.argmax(axis=1)
        enter = fresh[everyone, first[t]][:, None] - start_usd[t]
        stops[t] = leave > stay
        begins[t] = enter > at_rest
        run = np.where(stops[t], leave, stay)
        rest = np.where(begins[t], enter, at_rest)
    is_on, mode = before > 0, np.maximum(before - 1, 0)
    state = groups.held
    worth = np.where(is_on, run[everyone, mode, np.minimum(state, run_states - 1)], 0.0)
    worth = np.where(is_on, worth, rest[everyone, np.minimum(state, rest_states - 1)])
    chosen = np.zeros((n, count), dtype=np.int64)
    for t in range(count):
        on_state, off_state = np.minimum(state, run_states - 1), np.minimum(state, rest_states - 1)
        leaves = is_on & stops[t, everyone, mode, on_state]
        enters = ~is_on & begins[t, everyone, off_state]
        if moves is not None:
            mode = np.where(is_on, switched[t, everyone, mode, on_state], mode)
        mode = np.where(enters, first[t], mode)
        state = np.where(leaves | enters, 1, state + 1)
        is_on = (is_on & ~leaves) | enters
        chosen[:, t] = np.where(is_on, mode + 1, 0)
    return worth, chosen


def _short_intervals(least: Ints, active: NDArray[np.bool_]) -> Floats:
    """Intervals that a switch before interval `t` cuts off, after `k` intervals: (intervals, groups, states)."""
    count = active.shape[1]
    states = max(int(least.max(initial=1)), 1) + 1
    out = np.where(active, count, np.arange(count))
    ends = np.minimum.accumulate(out[:, ::-1], axis=1)[:, ::-1]
    left = (ends - np.arange(count)).T
    missing = least[:, None] - np.arange(states)
    short: Floats = np.maximum(np.minimum(missing[None, :, :], left[:, :, None]), 0).astype(np.float64)
    return short


def schedule_usd(groups: Fleet, n: int, modes: Ints) -> float:
    """What starts, stops, changes and runs or rests cut short cost group `n`, USD, penalties of the latter included."""
    before = np.concatenate([groups.mode_before[n : n + 1], modes[:-1]])
    switches = np.flatnonzero((before > 0) != (modes > 0))
    changes = int(((before > 0) & (modes > 0) & (before != modes)).sum())
    cost, since = changes * float(groups.change_usd[n]), -int(groups.held[n])
    for t in switches.tolist():
        is_stop = modes[t] == 0
        penalty = (groups.run_penalty_usd if is_stop else groups.rest_penalty_usd)[t, n]
        cost += float((groups.stop_usd if is_stop else groups.start_usd)[n] + penalty[min(t - since, penalty.size - 1)])
        since = t
    return cost
