"""The measured load of a facility, from the newest window of each part of its fleet."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from schemas.events import FleetWindow, InputReference

# A partition whose newest window is this far behind its group's newest has no live device any more.
SPREAD = timedelta(minutes=2)
NEVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class FleetLoad:
    """The newest window of each (facility, group, source topic, source partition).

    A device reports to one partition, so the parts add up; a part that is written again is the same part, so a
    duplicate changes nothing.
    """

    _newest: dict[tuple[str, str, str, int], FleetWindow] = field(default_factory=dict)

    def add(self, window: FleetWindow) -> FleetWindow | None:
        """Takes a window; returns the one that is needless now: the window it replaces, or itself."""
        key = (window.facility_id, window.resource_group_id, window.source_topic, window.source_partition)
        old = self._newest.get(key)
        if old is not None and old.window_end >= window.window_end:
            return window
        self._newest[key] = window
        return old

    def newest_end(self, facility_id: str) -> datetime | None:
        """End of the newest window of a facility."""
        return max((w.window_end for w in self._newest.values() if w.facility_id == facility_id), default=None)

    def it_load_w(self, facility_id: str, group: str) -> float:
        """Measured IT load of a resource group, W: mean power times devices, summed over its parts; 0 without any."""
        parts = self._parts(facility_id, group)
        newest = max((part.window_end for part in parts), default=NEVER)
        live = (part for part in parts if part.window_end >= newest - SPREAD and part.readings > 0)
        return sum((part.power_w_sum / part.readings * part.devices for part in live), 0.0)

    def reference(self, facility_id: str, group: str, at: datetime, stale_after: timedelta) -> InputReference:
        """The group's newest window as an input; one never seen is stale, without id, at the epoch."""
        name = f"fleet.windows/{group}"
        parts = self._parts(facility_id, group)
        if not parts:
            return InputReference(name=name, event_id="", observed_at=NEVER, is_stale=True)
        newest = max(parts, key=lambda part: (part.window_end, part.event_id))
        stale = at - newest.window_end > stale_after
        return InputReference(name=name, event_id=newest.event_id, observed_at=newest.window_end, is_stale=stale)

    def _parts(self, facility_id: str, group: str) -> list[FleetWindow]:
        return [self._newest[key] for key in sorted(self._newest) if key[:2] == (facility_id, group)]
