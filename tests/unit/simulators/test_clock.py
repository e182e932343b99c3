"""The clock, with a wall clock that the test moves."""

import math
import threading

import pytest

from simulators.clock import Clock, Pace, default_start_ms
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS

NOW = 20_000 * DAY_MS + 10 * HOUR_MS + 7 * MINUTE_MS


class HandWall:
    """A wall clock that only goes where it is put, and by waiting."""

    def __init__(self) -> None:
        self.ms = NOW
        self.waits: list[float] = []

    def now_ms(self) -> int:
        """The time of day."""
        return self.ms

    def monotonic_s(self) -> float:
        """Seconds, which here follow the time of day."""
        return self.ms / 1000

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Lets the time pass."""
        self.waits.append(seconds)
        self.ms += math.ceil(seconds * 1000)


def test_a_simulation_starts_a_day_ago_at_a_whole_quarter_of_an_hour() -> None:
    assert default_start_ms(NOW) == NOW - DAY_MS - 7 * MINUTE_MS


def test_a_minute_of_event_time_is_due_each_second_at_speed_60() -> None:
    wall = HandWall()
    clock = Clock(Pace(60, may_lead=False), NOW - DAY_MS, wall)
    assert clock.seconds_until(NOW - DAY_MS + MINUTE_MS) == pytest.approx(1.0)
    wall.ms += 1000
    assert clock.is_due(NOW - DAY_MS + MINUTE_MS)
    assert not clock.is_due(NOW - DAY_MS + MINUTE_MS + 3000)


@pytest.mark.parametrize("speed", [0, 60, 1000])
def test_event_time_never_passes_the_wall_clock(speed: float) -> None:
    wall = HandWall()
    clock = Clock(Pace(speed, may_lead=False), NOW - 30_000, wall)
    at_ms = NOW - 30_000
    for _ in range(400):
        if clock.is_due(at_ms + 3000):
            at_ms += 3000
            clock.advanced(at_ms)
        else:
            clock.wait_until(at_ms + 3000, threading.Event(), 0.25)
        assert at_ms <= wall.ms
    # Having caught up it goes on with the wall clock, second by second.
    assert wall.ms - at_ms < 3000 + 250


def test_event_time_may_lead_where_the_start_was_given() -> None:
    clock = Clock(Pace(0, may_lead=True), NOW, HandWall())
    assert clock.is_due(NOW + 365 * DAY_MS)


def test_after_a_stall_event_time_goes_on_at_its_speed_instead_of_leaping() -> None:
    wall = HandWall()
    clock = Clock(Pace(60, may_lead=False), NOW - DAY_MS, wall)
    wall.ms += 60_000
    clock.advanced(NOW - DAY_MS + 3000)
    # Without the slip a whole hour would be due at once.
    assert clock.seconds_until(NOW - DAY_MS + 3000 + MINUTE_MS) == pytest.approx(1.0)


def test_a_wait_is_no_longer_than_it_may_be() -> None:
    wall = HandWall()
    Clock(Pace(1, may_lead=True), NOW, wall).wait_until(NOW + 3000, threading.Event(), 0.25)
    assert wall.waits == [0.25]
