"""Event time in step with the agents: it waits, an interval at a time, for what they decide.

The plan of an interval is caused by the first price in it or by the first tick half a minute in
(`streams.domain.trigger`), and there is one a minute. So two minutes into an interval every facility has its plan,
or event time waits for it: devices obey it in the interval that it is for, however fast the simulation could go.
"""

from collections.abc import Collection

from schemas.events import AllocationDecision, DecisionMethod
from simulators.timeline import MINUTE_MS, SECOND_MS, floor, to_ms

_PLANNED_BY_MS = 2 * MINUTE_MS


class Lockstep:
    """Which facilities event time waits for; from the first whole interval after `start_ms` on.

    `is_new`: nothing was planned before, so an interval that begins at `start_ms` is waited for too.
    """

    def __init__(self, facilities: Collection[str], interval_s: int, start_ms: int, *, is_new: bool = False) -> None:
        self._interval_ms = interval_s * SECOND_MS
        before_ms = floor(start_ms - is_new, self._interval_ms)
        # The newest interval that a facility has a plan for, and the one whose commands have all been obeyed.
        self._planned_ms = dict.fromkeys(facilities, before_ms)
        self._obeyed_ms = before_ms
        self._passed_over: set[str] = set()

    def hear(self, decision: AllocationDecision) -> None:
        """Takes note of a decision."""
        facility, interval_ms = decision.facility_id, to_ms(decision.interval_start)
        if decision.method is DecisionMethod.PLAN and facility in self._planned_ms:
            self._planned_ms[facility] = max(interval_ms, self._planned_ms[facility])
            self._passed_over.discard(facility)

    def is_step(self, at_ms: int) -> bool:
        """Whether plans, and the commands of all of them, have to come before event time may be advanced to `at_ms`."""
        return self._due_ms(at_ms) > self._obeyed_ms

    def obeyed(self, at_ms: int) -> None:
        """Takes note that the plans up to `at_ms` and their commands have come, or are no longer waited for."""
        self._obeyed_ms = max(self._due_ms(at_ms), self._obeyed_ms)

    def waits_for(self, at_ms: int) -> list[str]:
        """Returns the facilities whose plan has to come before event time may be advanced to `at_ms`."""
        interval_ms = self._due_ms(at_ms)
        late = {facility for facility, planned_ms in self._planned_ms.items() if planned_ms < interval_ms}
        return sorted(late - self._passed_over)

    def pass_over(self, facilities: Collection[str]) -> None:
        """Waits no longer for facilities, until a plan of theirs comes."""
        self._passed_over.update(facilities)

    def _due_ms(self, at_ms: int) -> int:
        return floor(at_ms - _PLANNED_BY_MS, self._interval_ms)
