"""Injects faults into what is simulated: a slice in, a slice and an account of what was done to it out.

Pure: the same seed, shares and slices give the same faults.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from schemas.catalog import Topic
from simulators.event_fault import EventFaults
from simulators.fault import FaultShares
from simulators.reading_fault import ReadingFaults
from simulators.simulation import Slice


@dataclass(frozen=True, slots=True)
class Faulted:
    """A slice as it is to be sent, and the ledger of its faults (LEDGER_SCHEMA)."""

    slice: Slice
    ledger: pl.DataFrame


class Faults:
    """Faults of all data. `devices` has the device ids of each telemetry topic; slices come one after the other."""

    def __init__(self, shares: FaultShares, devices: Mapping[Topic, pl.Series], seed: int) -> None:
        self._topics = {topic: ReadingFaults(topic, shares, ids, seed) for topic, ids in devices.items()}
        self._events = EventFaults(shares.events, seed)

    def apply(self, found: Slice) -> Faulted:
        """Returns the slice with its faults, and with what was held back of earlier ones and whose time has come."""
        readings: list[tuple[Topic, pl.DataFrame]] = []
        entries, ledger = self._events.apply(found.entries, found.start_ms)
        ledgers = [ledger]
        for topic, frame in found.readings:
            sent, ledger = self._topics[topic].apply(frame, found.start_ms)
            readings.append((topic, sent))
            ledgers.append(ledger)
        return Faulted(replace(found, readings=tuple(readings), entries=entries), pl.concat(ledgers))

    def lost(self) -> pl.DataFrame:
        """Returns the ledger of what is held back and is never sent, as the run ends: it is missing."""
        return pl.concat([self._events.lost(), *(topic.lost() for topic in self._topics.values())])
