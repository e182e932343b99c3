"""What a mode taken now leaves to earn: against every course that a group could take, and in decisions."""

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas import events as e
from streams.domain.allocation import modes_of, solve
from streams.domain.commitment import STRAY_S, has_to_stay, intervals_to_stay, losses_usd, reach
from streams.domain.planning import problem_of
from tests import streams_event as a
from tests.unit.streams.allocation_case import asic, snapshot

OFF, NORMAL, TURBO = e.PowerMode.OFF, e.PowerMode.NORMAL, e.PowerMode.TURBO


def running(**changes: object) -> e.GroupInput:
    """A group of 1 MW for 80 USD/h that has run for an hour and is planned to go on."""
    group = asic(options=((NORMAL, 1.0, 80.0),))
    return replace(group, current_mode=NORMAL, held_s=3600, planned_modes=[NORMAL] * 4, **changes)  # type: ignore[arg-type]


def made(group: e.GroupInput, now: float, *ahead: float) -> e.PowerMode:
    """What a dispatch at a cost now has the group do, with these costs ahead."""
    case = snapshot(group, power_cost_usd_mwh=now, ahead_usd_mwh=list(ahead))
    return modes_of(solve(case))[group.resource_group_id]


def test_group_that_would_have_to_rest_runs_through_a_short_spike() -> None:
    # It loses 20 USD/h in one interval and would miss 30 USD/h in two.
    assert made(running(min_down_s=900), 100.0, 50.0, 50.0, 50.0, 50.0) is NORMAL
    assert made(running(min_down_s=900), 150.0, 50.0, 50.0, 50.0, 50.0) is OFF
    assert made(running(min_down_s=300), 100.0, 50.0, 50.0, 50.0, 50.0) is OFF
    assert made(running(min_down_s=900), 100.0, 90.0, 90.0, 90.0, 90.0) is OFF


def test_group_does_not_start_for_a_price_that_does_not_last() -> None:
    resting = replace(running(min_up_s=900), current_mode=OFF, planned_modes=[OFF] * 4)
    assert made(resting, 50.0, 110.0, 110.0, 50.0) is OFF
    assert made(resting, 50.0, 90.0, 90.0, 50.0) is NORMAL


def test_group_that_has_to_run_may_take_any_running_mode() -> None:
    # Just started, and bound to run for two more intervals: not to the mode that it takes now.
    eco, turbo = (e.PowerMode.ECO, 1.0, 80.0), (TURBO, 1.2, 95.0)
    started = replace(asic(options=(eco, turbo)), current_mode=TURBO, held_s=30, min_up_s=900)
    for planned in (e.PowerMode.ECO, OFF):
        group = replace(started, planned_modes=[planned] * 4)
        losses = losses_usd(snapshot(group, ahead_usd_mwh=[50.0] * 4), group)
        assert losses[e.PowerMode.ECO] == losses[TURBO]


def test_without_a_plan_nothing_is_lost_ahead() -> None:
    group = replace(running(min_down_s=900, stop_cost_usd=1.0), planned_modes=[])
    assert losses_usd(snapshot(group), group) == {OFF: 0.0, NORMAL: 0.0}


@pytest.mark.parametrize(("min_up_s", "min_down_s", "intervals"), [(0, 0, 1), (300, 0, 2), (301, 0, 3), (0, 900, 4)])
def test_reach_is_one_interval_beyond_what_a_switch_binds(min_up_s: int, min_down_s: int, intervals: int) -> None:
    assert reach(min_up_s, min_down_s, 300) == intervals


@pytest.mark.parametrize(
    ("taken_s", "held_s", "intervals"),
    # Of 900 s: just switched; decided 20 s too early or late; within an interval; over; over but for the stray.
    [(0, 0, 3), (5, 295, 2), (0, 280, 2), (20, 320, 2), (200, 200, 3), (0, 900, 0), (0, 880, 0), (0, 869, 1)],
)
def test_least_time_is_the_same_in_dispatch_and_plan(taken_s: int, held_s: int, intervals: int) -> None:
    group = replace(running(min_up_s=900), held_s=held_s)
    horizon = [e.HorizonInterval(power_cost_usd_mwh=50.0, source="FORECAST")] * 6
    case = snapshot(group, horizon=horizon, taken_at=a.at(taken_s))
    (planned,) = problem_of(case).asic_groups
    assert intervals_to_stay(case, group) == intervals
    assert has_to_stay(group) is (intervals > 0)
    assert planned.min_up - planned.held == intervals


def by_trying_everything(case: e.AllocationSnapshot, group: e.GroupInput, mode: e.PowerMode) -> float:
    """The most that the intervals ahead bring behind a mode, of all courses.

    A group does what is planned or is off; bound to run, it does what is planned or, where that is off, anything else.
    """
    options = {option.mode: option for option in group.modes}
    is_new = group.current_mode is not None and (group.current_mode is OFF) is not (mode is OFF)
    least_s = 0 if group.current_mode is None else group.min_down_s if mode is OFF else group.min_up_s
    held_s = 0 if is_new else group.held_s
    best = -math.inf
    for course in itertools.product(options, repeat=len(group.planned_modes)):
        before, usd, is_allowed = mode, 0.0, True
        for n, (after, planned, cost) in enumerate(zip(course, group.planned_modes, case.ahead_usd_mwh, strict=True)):
            is_bound = held_s + (n + 1) * case.interval_s + STRAY_S < least_s
            bound = {OFF} if mode is OFF else {planned} if planned is not OFF else set(options) - {OFF}
            is_allowed &= after in (bound if is_bound else {OFF, planned})
            usd += (options[after].revenue_usd_h - cost * options[after].power_mw) / 12
            if (before is OFF) is not (after is OFF):
                usd -= group.start_cost_usd if before is OFF else group.stop_cost_usd
            before = after
        if is_allowed:
            best = max(best, usd)
    return best


@given(
    current=st.sampled_from([None, OFF, NORMAL, TURBO]),
    held_s=st.integers(0, 1200),
    least_s=st.tuples(st.integers(0, 1200), st.integers(0, 1200)),
    wear_usd=st.tuples(st.floats(0, 5), st.floats(0, 5)),
    ahead=st.lists(st.tuples(st.sampled_from([OFF, NORMAL, TURBO]), st.floats(-50, 200)), max_size=4),
)
def test_losses_are_those_of_the_best_course_behind_each_mode(
    current: e.PowerMode | None,
    held_s: int,
    least_s: tuple[int, int],
    wear_usd: tuple[float, float],
    ahead: list[tuple[e.PowerMode, float]],
) -> None:
    group = replace(
        asic(), current_mode=current, held_s=held_s, min_up_s=least_s[0], min_down_s=least_s[1],
        start_cost_usd=wear_usd[0], stop_cost_usd=wear_usd[1], planned_modes=[mode for mode, _ in ahead],
    )  # fmt: skip
    case = snapshot(group, ahead_usd_mwh=[cost for _, cost in ahead])
    worth = {option.mode: by_trying_everything(case, group, option.mode) for option in group.modes}
    expected = {mode: max(worth.values()) - usd for mode, usd in worth.items()}
    assert losses_usd(case, group) == pytest.approx(expected, abs=1e-9)


def test_reason_of_a_group_that_runs_on_names_what_a_stop_would_bind_it_to() -> None:
    case = snapshot(running(min_down_s=900), power_cost_usd_mwh=100.0, ahead_usd_mwh=[50.0] * 4)
    assert solve(case).allocations[0].reason == (
        "NORMAL: earns 80.0 $/MWh at a cost of 100.0, OFF would earn more,"
        " but not for long enough to be worth 15 min of rest"
    )
