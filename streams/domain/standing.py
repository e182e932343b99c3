"""What holds at a facility before a decision: what was decided last, and what the newest plan has ahead."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from schemas.events import AllocationDecision, DecisionMethod, GroupAllocation, PowerMode


@dataclass(frozen=True, slots=True)
class Standing:
    """A facility's newest decision and plan, and the load decided last before the newest decision's interval, MW."""

    newest: AllocationDecision
    plan: AllocationDecision | None = None
    earlier_load_mw: float | None = None

    @classmethod
    def after(cls, before: Self | None, decision: AllocationDecision) -> Self:
        """Returns what holds after a decision."""
        return cls(
            newest=decision,
            plan=decision if decision.method is DecisionMethod.PLAN else None if before is None else before.plan,
            earlier_load_mw=None if before is None else before.load_before_mw(decision.interval_start),
        )

    @classmethod
    def of(cls, decisions: Iterable[AllocationDecision]) -> Self | None:
        """Returns what holds after decisions, in log order; None without any."""
        found: Self | None = None
        for decision in decisions:
            found = cls.after(found, decision)
        return found

    def load_before_mw(self, start: datetime) -> float | None:
        """Load decided last before an interval, MW; None where it is not known."""
        return self.newest.load_mw if self.newest.interval_start < start else self.earlier_load_mw

    def allocations(self) -> dict[str, GroupAllocation]:
        """What each group does, by its id."""
        return {group.resource_group_id: group for group in self.newest.allocations}

    def planned_modes(self, start: datetime) -> dict[str, list[PowerMode]]:
        """What the newest plan has for the ASIC groups in the intervals after one, by group, as far as it says."""
        if self.plan is None:
            return {}
        passed = (start - self.plan.interval_start).total_seconds() // self.plan.interval_s
        return {
            group.resource_group_id: group.planned_modes[int(passed) :]
            for group in self.plan.allocations
            if passed >= 0
        }
