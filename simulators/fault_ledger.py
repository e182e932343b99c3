"""The ledger of injected faults: a file with a line of JSON for each, and how many there are of each kind."""

from collections import Counter
from pathlib import Path
from typing import BinaryIO

import polars as pl

from schemas import metric
from simulators.error import ConfigurationError

LEDGER_SCHEMA = {
    "kind": pl.String,
    "topic": pl.String,
    "key": pl.String,
    "event_time_ms": pl.Int64,
    "shift_ms": pl.Int64,
    "damage": pl.String,
    "event_id": pl.String,
}
"""Columns of a ledger: one row a faulty event. `event_time_ms` is the one that the event carries; `shift_ms` is how
long a late one was held back, or how far a wrong clock is ahead; a reading has no `event_id`."""


class FaultLedger:
    """Counts faults, and appends them to a file where one is given. Raises ConfigurationError where it can't be."""

    def __init__(self, file: Path | None) -> None:
        self.counts: Counter[str] = Counter()
        """Faults by kind."""
        self._out: BinaryIO | None = None
        if file is not None:
            try:
                self._out = file.open("ab")
            except OSError as error:
                raise ConfigurationError(f"the fault ledger {file} cannot be written: {error}") from error

    def enter(self, ledger: pl.DataFrame) -> None:
        """Takes the faults of a slice, as in LEDGER_SCHEMA; the lines are with the system afterwards."""
        if ledger.is_empty():
            return
        for topic, kind, number in ledger.group_by("topic", "kind").len().iter_rows():
            self.counts[kind] += number
            metric.INJECTED_FAULTS.labels(topic, kind).inc(number)
        if self._out is not None:
            time = pl.from_epoch("event_time_ms", "ms").dt.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").alias("event_time")
            ledger.select("kind", "topic", "key", time, "shift_ms", "damage", "event_id").write_ndjson(self._out)
            self._out.flush()

    def close(self) -> None:
        """Closes the file."""
        if self._out is not None:
            self._out.close()
