"""Events of one key by event time, as much of the past as is still asked for."""

from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar


class Observed(Protocol):
    """An event with an id and an event time."""

    @property
    def event_id(self) -> str:
        """Id of the event."""

    @property
    def observed_at(self) -> datetime:
        """Its event time."""


E = TypeVar("E", bound=Observed)


@dataclass(slots=True)
class Series(Generic[E]):
    """Events sorted by (event time, event id), each once."""

    events: list[E] = field(default_factory=list)

    def add(self, event: E) -> bool:
        """Adds an event; false where it is there already."""
        at = bisect_left(self.events, _order(event), key=_order)
        if at < len(self.events) and self.events[at].event_id == event.event_id:
            return False
        insort(self.events, event, key=_order)
        return True

    def as_of(self, at: datetime) -> E | None:
        """The newest event not later than `at`."""
        index = bisect_right(self.events, at, key=_time)
        return self.events[index - 1] if index else None

    def until(self, at: datetime) -> list[E]:
        """The events not later than `at`."""
        return self.events[: bisect_right(self.events, at, key=_time)]

    def since(self, at: datetime) -> list[E]:
        """The events at `at` or later."""
        return self.events[bisect_left(self.events, at, key=_time) :]

    def after(self, at: datetime) -> E | None:
        """The first event later than `at`."""
        index = bisect_right(self.events, at, key=_time)
        return self.events[index] if index < len(self.events) else None

    @property
    def first(self) -> E | None:
        """The oldest event kept."""
        return self.events[0] if self.events else None

    @property
    def newest(self) -> E | None:
        """The newest event."""
        return self.events[-1] if self.events else None

    def forget_before(self, at: datetime) -> list[E]:
        """Drops what `as_of(t)` can't answer for any t >= at; returns it."""
        keep_from = max(bisect_right(self.events, at, key=_time) - 1, 0)
        dropped, self.events = self.events[:keep_from], self.events[keep_from:]
        return dropped


def _order(event: Observed) -> tuple[datetime, str]:
    return event.observed_at, event.event_id


def _time(event: Observed) -> datetime:
    return event.observed_at
