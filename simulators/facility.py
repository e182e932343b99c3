"""The facilities as they stand: which groups are without power, what transformers carry, and the PUE.

What the operator is told of it is master data, published anew when it changes:

- A facility's `pue_ratio`, where it has moved by 0.01, at most once an hour.
- A transformer's `cap_mw`: its self-cooled rating while its fans are out. While no power comes through it, what its
  groups draw in standby, as plans count that for groups that are off: a cap of 0 would be a rule that none can keep.
- A group's `maintenance`, while it is without power: plans never give that up. How long an outage will last is taken to
  be known once it has begun.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace

from schemas import events
from schemas.events import ResourceKind
from simulators.ambient import Ambient
from simulators.asic.fleet import REBOOT_DAYS
from simulators.fleet import SLICE_MS
from simulators.identity import event_id
from simulators.outage import FAN_FAILURE, FEEDER_TRIP, SELF_COOLED_SHARE, TRANSFORMER_TRIP, Outages, Spell
from simulators.overhead import Overhead
from simulators.site import Operator
from simulators.timeline import HOUR_MS, MINUTE_MS, to_datetime

_PUE_STEP = 0.01
_PUE_DIGITS = 3
# Until a server takes work again; miners come up within a minute of their power.
_SERVER_BOOT_MS = 5 * MINUTE_MS


class Facilities:
    """The facilities of an operator. `outages` is how often they happen, over the published rates."""

    def __init__(self, operator: Operator, ambients: Mapping[str, Ambient], seed: int, outages: float) -> None:
        self._operator = operator
        self._ambients = ambients
        names = [f.facility_id for f in operator.facilities]
        transformers = [t.transformer_id for f in operator.facilities for t in f.transformers]
        self._feeders = {name: Outages(FEEDER_TRIP, name, seed, outages) for name in names}
        self._trips = {name: Outages(TRANSFORMER_TRIP, name, seed, outages) for name in transformers}
        self._fans = {name: Outages(FAN_FAILURE, name, seed, outages) for name in transformers}
        self._overheads = {
            f.facility_id: Overhead(f.pue_ratio, operator.climates[f.facility_id]) for f in operator.facilities
        }
        self._told_pue: dict[str, float] = {}

    def unpowered(self, at_ms: int) -> frozenset[str]:
        """Returns the groups without power, servers until they have booted."""
        return frozenset(r.resource_group_id for r in self._operator.resources if self._spells(r, at_ms))

    def powered_since_ms(self, at_ms: int) -> dict[str, int]:
        """Returns when power last came back to each group; 0 where that is longer ago than any device runs on end."""
        return {
            resource.resource_group_id: max(s.last_end_ms(at_ms, REBOOT_DAYS) for s in self._sources(resource))
            for resource in self._operator.resources
        }

    def records(self, load_shares: Mapping[str, float], at_ms: int) -> Iterator[events.Facility]:
        """Yields all facilities as they stand. `load_shares`: IT load of each over its full one."""
        for facility in self._operator.facilities:
            yield self._record(facility, self._pue(facility, load_shares, at_ms), at_ms)

    def changes(self, load_shares: Mapping[str, float], at_ms: int) -> Iterator[events.Facility]:
        """Yields the facilities that are not as they were a slice before, or were told."""
        for facility in self._operator.facilities:
            pue_ratio = self._pue(facility, load_shares, at_ms)
            has_moved = abs(pue_ratio - self._told_pue.get(facility.facility_id, pue_ratio)) >= _PUE_STEP
            is_told = has_moved and at_ms % HOUR_MS == 0
            if is_told or self._shares(facility, at_ms) != self._shares(facility, at_ms - SLICE_MS):
                yield self._record(facility, pue_ratio, at_ms)

    def outages(self, resource: events.Resource, at_ms: int) -> list[events.MaintenanceWindow]:
        """Returns the outages that a group is in."""
        return [
            events.MaintenanceWindow(starts_at=to_datetime(spell.start_ms), ends_at=to_datetime(spell.end_ms))
            for spell in self._spells(resource, at_ms)
        ]

    def changed_groups(self, at_ms: int) -> set[str]:
        """Returns the groups whose outages are not those of a slice before."""
        return {
            resource.resource_group_id
            for resource in self._operator.resources
            if self._spells(resource, at_ms) != self._spells(resource, at_ms - SLICE_MS)
        }

    def _sources(self, resource: events.Resource) -> list[Outages]:
        """Returns the outages by which a group loses its power."""
        feeder = self._feeders[resource.facility_id]
        return [feeder] if resource.transformer_id is None else [feeder, self._trips[resource.transformer_id]]

    def _spells(self, resource: events.Resource, at_ms: int) -> list[Spell]:
        sources = self._sources(resource)
        boot_ms = _SERVER_BOOT_MS if resource.kind is ResourceKind.GPU else 0
        # Out still, or booting after it.
        found = {source.at(moment) for source in sources for moment in (at_ms, at_ms - boot_ms)} - {None}
        extended = [Spell(spell.start_ms, spell.end_ms + boot_ms) for spell in found if spell is not None]
        return sorted(extended, key=lambda spell: (spell.start_ms, spell.end_ms))

    def _shares(self, facility: events.Facility, at_ms: int) -> list[float]:
        """Returns what each transformer carries, of what it is made for."""
        is_dark = self._feeders[facility.facility_id].at(at_ms) is not None
        return [0.0 if is_dark else self._share(limit.transformer_id, at_ms) for limit in facility.transformers]

    def _share(self, transformer_id: str, at_ms: int) -> float:
        if self._trips[transformer_id].at(at_ms) is not None:
            return 0.0
        return 1.0 if self._fans[transformer_id].at(at_ms) is None else SELF_COOLED_SHARE

    def _pue(self, facility: events.Facility, load_shares: Mapping[str, float], at_ms: int) -> float:
        name = facility.facility_id
        air_c = self._ambients[name].temp_c(at_ms)
        return round(self._overheads[name].pue_ratio(load_shares[name], air_c), _PUE_DIGITS)

    def _record(self, facility: events.Facility, pue_ratio: float, at_ms: int) -> events.Facility:
        name = facility.facility_id
        self._told_pue[name] = pue_ratio
        shares = self._shares(facility, at_ms)
        caps = [
            replace(t, cap_mw=max(round(share * t.cap_mw, 6), self._standby_mw(t.transformer_id, pue_ratio)))
            for t, share in zip(facility.transformers, shares, strict=True)
        ]
        return replace(
            facility,
            event_id=event_id("registry.facilities", name, at_ms),
            recorded_at=to_datetime(at_ms),
            pue_ratio=pue_ratio,
            transformers=caps,
        )

    def _standby_mw(self, transformer_id: str, pue_ratio: float) -> float:
        behind = (r for r in self._operator.resources if r.transformer_id == transformer_id)
        return math.ceil(sum(r.units * r.idle_power_w for r in behind) * pue_ratio) / 1e6
