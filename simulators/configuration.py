"""What to simulate, checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from simulators.error import ConfigurationError
from simulators.fault import FaultShares
from simulators.replay import Replay
from simulators.timeline import to_ms


@dataclass(frozen=True, slots=True)
class SimulationConfig:
    """What to simulate and where to.

    `speed` is event time over wall time, 0 for as fast as it goes. `start` lets event time pass the wall clock; without
    it (and without a replay, which starts where its file does) the simulation begins 24 h in the past. `end` is the
    event time to stop at. `kafka` has librdkafka's names. `fault_ledger` is a file that a line is appended to for each
    fault. `outages` is how often power fails, over the published rates. `lockstep_s` is the length of the agents'
    intervals, s, where event time waits for their plans. Raises ConfigurationError.
    """

    kafka: Mapping[str, Any]
    registry_url: str
    miners: int = 2000
    gpus: int = 200
    speed: float = 60.0
    seed: int = 1
    start: datetime | None = None
    end: datetime | None = None
    replay: Replay | None = None
    faults: FaultShares | None = None
    fault_ledger: Path | None = None
    outages: float = 1.0
    lockstep_s: int | None = None

    def __post_init__(self) -> None:
        """Checks the values against each other."""
        if not (0 <= self.speed < float("inf")):
            raise ConfigurationError(f"the speed must be zero or more, got {self.speed}")
        if self.miners < 0 or self.gpus < 0 or self.miners + self.gpus == 0:
            raise ConfigurationError(f"a fleet needs a device, got {self.miners} miners and {self.gpus} GPUs")
        if not (0 <= self.outages < float("inf")):
            raise ConfigurationError(f"the factor of outages must be zero or more, got {self.outages}")
        if self.seed < 0:
            raise ConfigurationError(f"the seed must be zero or more, got {self.seed}")
        for name, at in (("start", self.start), ("end", self.end)):
            if at is not None and at.tzinfo is None:
                raise ConfigurationError(f"the {name} needs its zone, e.g. 2026-01-01T00:00:00Z, got {at}")
            if at is not None and to_ms(at) < 0:
                raise ConfigurationError(f"the {name} lies before 1970: {at}")

    @property
    def may_lead(self) -> bool:
        """Whether event time may pass the wall clock."""
        return self.start is not None or self.replay is not None

    @property
    def end_ms(self) -> int | None:
        """Event time to stop at: the given one or the replay's, whichever is first; None for no end."""
        ends = [to_ms(self.end)] if self.end is not None else []
        if self.replay is not None:
            ends.append(self.replay.end_ms)
        return min(ends, default=None)
