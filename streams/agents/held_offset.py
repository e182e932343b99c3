"""Which offset may be committed while some events are still in use: that of the oldest event held.

A restarted worker reads from there and holds the same events again, so no state has to be stored beside the log.
(Faust's own acknowledgements can't be used for it: its commit steps over an unacknowledged event that stands directly
at the committed offset.)
"""

from collections import defaultdict
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A partition of a topic."""

    topic: str
    partition: int


@dataclass(slots=True)
class HeldOffsets:
    """Offsets read and offsets held, by partition. An offset is always the next one to read."""

    _next: dict[Place, int] = field(default_factory=dict)
    _held: defaultdict[Place, set[int]] = field(default_factory=lambda: defaultdict(set))
    _by_event: dict[str, tuple[Place, int]] = field(default_factory=dict)

    def begin(self, place: Place, offset: int) -> None:
        """A partition is read from an offset on: the committed one."""
        self._next[place] = offset

    def read(self, place: Place, offset: int) -> None:
        """The event at an offset has been handled."""
        self._next[place] = max(self._next.get(place, 0), offset + 1)

    def hold(self, place: Place, offset: int, event_id: str) -> None:
        """The event at an offset is in use; one that is held already stays held where it is."""
        if event_id not in self._by_event:
            self._by_event[event_id] = (place, offset)
            self._held[place].add(offset)

    def release(self, event_id: str) -> None:
        """An event is no longer in use; one that is not held is ignored."""
        found = self._by_event.pop(event_id, None)
        if found is not None:
            self._held[found[0]].discard(found[1])

    def position(self, place: Place) -> int:
        """The next offset to handle; 0 before the first event."""
        return self._next.get(place, 0)

    def committable(self) -> dict[Place, int]:
        """The offset of each partition from which a successor has to read."""
        return {place: min(self._held[place], default=position) for place, position in self._next.items()}
