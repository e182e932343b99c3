"""Master data by event time: the newest record of each id, and those before it that a question about the past needs.

What is decided late, while catching up, goes by the records of its own time, as what was decided in time did.
"""

from bisect import insort
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar


class Recorded(Protocol):
    """A record with its id and event time."""

    @property
    def event_id(self) -> str:
        """Its id."""
        ...

    @property
    def recorded_at(self) -> datetime:
        """Its event time."""
        ...


R = TypeVar("R", bound=Recorded)


@dataclass(slots=True)
class MasterData(Generic[R]):
    """Records of one kind, each once, by the id of what they are about. Free of the order in which they are added."""

    newest: dict[str, R] = field(default_factory=dict)
    _all: dict[str, list[R]] = field(default_factory=dict)

    def add(self, key: str, record: R) -> tuple[str, ...]:
        """Adds a record, which is in use from now on; it makes none needless before `forget_before` says so."""
        records = self._all.setdefault(key, [])
        if all(_order(known) != _order(record) for known in records):
            insort(records, record, key=_order)
            self.newest[key] = records[-1]
        return ()

    def as_of(self, at: datetime) -> Mapping[str, R]:
        """The record of each id that held at a moment: the newest not later, or the oldest where all are later."""
        return {key: _held(records, at) for key, records in self._all.items()}

    def forget_before(self, at: datetime) -> Iterator[str]:
        """Drops the records that no question from `at` on reaches; yields their event ids."""
        for key, records in self._all.items():
            first = records.index(_held(records, at))
            yield from (record.event_id for record in records[:first])
            self._all[key] = records[first:]


def _order(record: Recorded) -> tuple[datetime, str]:
    return record.recorded_at, record.event_id


def _held(records: list[R], at: datetime) -> R:
    return next((record for record in reversed(records) if record.recorded_at <= at), records[0])
