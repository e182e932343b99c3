"""How far event time may go by now. The one place of the simulators that looks at the wall clock."""

import threading
import time
from dataclasses import dataclass
from typing import Protocol

from simulators.timeline import MINUTE_MS, floor

_DEFAULT_LEAD_MS = 24 * 60 * MINUTE_MS
_START_STEP_MS = 15 * MINUTE_MS
# A simulation that was held up (a broker away, a machine asleep) goes on at its speed; it does not leap.
_SLIP_S = 2.0


class Wall(Protocol):
    """The wall clock: UTC milliseconds, seconds that never jump, and a wait that `stop` ends."""

    def now_ms(self) -> int:
        """Returns the time of day, UTC."""
        ...

    def monotonic_s(self) -> float:
        """Returns seconds since some moment."""
        ...

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Waits, no longer than until `stop` is set."""
        ...


class SystemWall:
    """The wall clock of this machine."""

    def now_ms(self) -> int:
        """Returns the time of day, UTC."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Returns seconds since some moment."""
        return time.monotonic()

    def wait(self, seconds: float, stop: threading.Event) -> None:
        """Waits, no longer than until `stop` is set."""
        stop.wait(seconds)


def default_start_ms(wall_ms: int) -> int:
    """Returns where a simulation starts that is not told: 24 h before the wall clock, at a whole quarter of an hour."""
    return floor(wall_ms - _DEFAULT_LEAD_MS, _START_STEP_MS)


@dataclass(frozen=True, slots=True)
class Pace:
    """`speed` is event time over wall time, 0 for as fast as it goes; with `may_lead` it may pass the wall clock."""

    speed: float
    may_lead: bool


class Clock:
    """Event time that is due, from `start_ms` on. Never goes back."""

    def __init__(self, pace: Pace, start_ms: int, wall: Wall) -> None:
        self._pace = pace
        self._wall = wall
        self._anchor_ms = float(start_ms)
        self._anchor_s = wall.monotonic_s()

    def is_due(self, at_ms: int) -> bool:
        """Returns whether event time may be advanced to `at_ms` now."""
        return self.seconds_until(at_ms) <= 0

    def seconds_until(self, at_ms: int) -> float:
        """Returns how many seconds of wall time it takes until `at_ms` is due; zero or less where it is."""
        seconds = 0.0
        if not self._pace.may_lead:
            seconds = (at_ms - self._wall.now_ms()) / 1000
        if self._pace.speed > 0:
            paced = (at_ms - self._anchor_ms) / 1000 / self._pace.speed - (self._wall.monotonic_s() - self._anchor_s)
            seconds = max(seconds, paced)
        return seconds

    def advanced(self, at_ms: int) -> None:
        """Says that event time is at `at_ms` now; time that was lost beyond two seconds is let go."""
        behind_s = -self.seconds_until(at_ms)
        if self._pace.speed > 0 and behind_s > _SLIP_S:
            self._anchor_ms, self._anchor_s = float(at_ms), self._wall.monotonic_s()

    def wait_until(self, at_ms: int, stop: threading.Event, at_most_s: float) -> None:
        """Waits until `at_ms` is due, for `at_most_s` at most, or until `stop` is set."""
        seconds = min(self.seconds_until(at_ms), at_most_s)
        if seconds > 0:
            self._wall.wait(seconds, stop)
