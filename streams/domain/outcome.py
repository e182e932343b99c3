"""What was found best for a snapshot, by a plan or for the interval alone: a decision before its reasons are told."""

from dataclasses import dataclass

from schemas.events import BindingLimit, GivenUpRule, PlannedInterval, PowerMode
from streams.domain.selection import Selection


@dataclass(frozen=True, slots=True)
class Outcome:
    """The selection of the decided interval, and what a plan has ahead.

    Money is USD an hour: the mean over the horizon of a plan, that of the interval where it was decided alone.
    `capacity_usd_h` is what awarded capacity brings in the decided interval, what is short taken off.
    """

    selection: Selection
    objective_usd_h: float
    bound_usd_h: float
    status: str
    solver: str
    planned_modes: dict[str, list[PowerMode]]
    horizon: tuple[PlannedInterval, ...]
    binding_limits: tuple[BindingLimit, ...]
    given_up: tuple[GivenUpRule, ...]
    capacity_usd_h: float
