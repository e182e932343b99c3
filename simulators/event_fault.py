"""Faults of single events: prices, rates, blocks and requests that are late, doubled, missing or corrupt; stale feeds.

Whether an event has one is a function of its id. Calls of the grid and master data are left as they are.
"""

from dataclasses import replace
from itertools import accumulate

import polars as pl

from simulators.damage import Damage
from simulators.fault import DISORDER_SLICES, DRAWN, LATE_SLICES, EventFaultShares, Fault
from simulators.fault_ledger import LEDGER_SCHEMA
from simulators.fleet import SLICE_MS
from simulators.noise import Noise
from simulators.simulation import Entry
from simulators.timeline import MINUTE_MS

FEEDS = ("market.ticks", "grid.prices", "network.stats")
"""Topics of which each key is a feed, that can be stale."""
TOPICS = (*FEEDS, "workloads.requests")

# Longer than the ten and fifteen minutes after which ticks and prices count as stale.
_STALE_MS = 30 * MINUTE_MS
_HELD = {Fault.LATE: LATE_SLICES, Fault.DISORDER: DISORDER_SLICES}
_COPIES: dict[Fault | None, int] = {Fault.DUPLICATE: 2, Fault.MISSING: 0, Fault.STALE: 0}
_DAMAGES = tuple(Damage)


class EventFaults:
    """Faults of the events of TOPICS, and those that are held back. Slices come one after the other."""

    def __init__(self, shares: EventFaultShares, seed: int) -> None:
        self._stale = shares.stale
        self._bounds = list(accumulate(shares.by_fault()[kind] for kind in DRAWN))
        self._seed = seed
        self._held: list[tuple[int, Entry, Fault, int]] = []

    def apply(self, entries: tuple[Entry, ...], start_ms: int) -> tuple[tuple[Entry, ...], pl.DataFrame]:
        """Returns what is sent of a slice's events and of those held back, and the ledger of the faults in it."""
        sent: list[Entry] = []
        rows: list[tuple[object, ...]] = []
        for entry in entries:
            draw, length, damage = Noise(self._seed, f"fault/{entry.event.event_id}").generator(0).random(3)
            kind = self._kind(entry, draw)
            if kind in _HELD:
                low, high = _HELD[kind]
                shift_ms = (low + int(length * (high - low + 1))) * SLICE_MS
                self._held.append((start_ms + shift_ms, entry, kind, shift_ms))
                continue
            spoil = _DAMAGES[int(damage * len(_DAMAGES))] if kind is Fault.CORRUPT else None
            sent += [replace(entry, damage=spoil)] * _COPIES.get(kind, 1)
            if kind is not None:
                rows.append(_row(entry, kind, damage=spoil))
        due = sorted((h for h in self._held if h[0] <= start_ms), key=lambda h: (h[0], h[1].at_ms, h[1].event.event_id))
        self._held = [h for h in self._held if h[0] > start_ms]
        rows += [_row(entry, kind, shift_ms) for _, entry, kind, shift_ms in due]
        return (*sent, *(entry for _, entry, _, _ in due)), pl.DataFrame(rows, LEDGER_SCHEMA, orient="row")

    def lost(self) -> pl.DataFrame:
        """Returns the ledger of what is held back and is never sent, as the run ends: it is missing."""
        rows = [_row(entry, Fault.MISSING) for _, entry, _, _ in self._held]
        self._held = []
        return pl.DataFrame(rows, LEDGER_SCHEMA, orient="row")

    def _kind(self, entry: Entry, draw: float) -> Fault | None:
        if entry.topic.name not in TOPICS:
            return None
        if entry.topic.name in FEEDS and self._is_stale(entry):
            return Fault.STALE
        return next((kind for kind, bound in zip(DRAWN, self._bounds, strict=True) if draw < bound), None)

    def _is_stale(self, entry: Entry) -> bool:
        noise = Noise(self._seed, f"fault/stale/{entry.topic.name}/{entry.key}")
        return bool(noise.generator(entry.at_ms // _STALE_MS).random() < self._stale)


def _row(entry: Entry, kind: Fault, shift_ms: int | None = None, *, damage: Damage | None = None) -> tuple[object, ...]:
    return str(kind), entry.topic.name, entry.key, entry.at_ms, shift_ms, damage, entry.event.event_id
