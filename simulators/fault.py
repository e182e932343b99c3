"""Faults of the data itself: which there are, and how much of the data has them.

Readings have theirs by `late=0.01`, single events by `events.late=0.01`; see `simulators.reading_fault` and
`simulators.event_fault` for what is done. An event has one fault at most, so that each line of the ledger explains one.
"""

from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Self

from simulators.error import ConfigurationError
from simulators.fleet import SLICE_MS

LATE_SLICES = (60_000 // SLICE_MS, 180_000 // SLICE_MS)
"""How long what is late is held back. A window of 15 s with the default grace of 15 s is closed 30 s after its start,
wherever in it the reading lies."""
DISORDER_SLICES = (1, 2)
"""The same of what is only out of order. At most 6 s: with the slice in which it is sent and the fastest clock (see
`misreading`) still within a grace of 15 s."""

_PREFIX = "events."


class Fault(StrEnum):
    """What is wrong with a reading or event."""

    LATE = "late"
    DUPLICATE = "duplicate"
    DISORDER = "disorder"
    MISSING = "missing"
    SKEW = "skew"
    CORRUPT = "corrupt"
    STUCK = "stuck"
    STALE = "stale"


DRAWN = (Fault.LATE, Fault.DUPLICATE, Fault.DISORDER, Fault.MISSING, Fault.CORRUPT)
"""Those that are drawn for each reading or event; the others are of devices and feeds."""


@dataclass(frozen=True, slots=True)
class EventFaultShares:
    """How much of the single events is faulty, each from 0 to 1.

    `stale` is a share of the half hours of each price, rate or chain, in which nothing of it comes; the others are of
    the events: `late` come one to three minutes after their time, `disorder` up to 6 s. Raises ConfigurationError.
    """

    late: float = 0.0
    duplicate: float = 0.0
    disorder: float = 0.0
    missing: float = 0.0
    corrupt: float = 0.0
    stale: float = 0.0

    def __post_init__(self) -> None:
        """Checks the shares."""
        _check(_shares(self), apart=(Fault.STALE,))

    def by_fault(self) -> dict[Fault, float]:
        """Returns the share of each fault that events have."""
        return _shares(self)

    def __bool__(self) -> bool:
        return any(self.by_fault().values())


@dataclass(frozen=True, slots=True)
class FaultShares:
    """How much of the data is faulty, each share from 0 to 1.

    Of the telemetry `skew` and `stuck` are shares of the devices (`stuck`: anew every ten minutes), the others of the
    readings: `late` come one to three minutes after their time, `disorder` up to 6 s. `events` are shares of the rest.
    Raises ConfigurationError.
    """

    late: float = 0.0
    duplicate: float = 0.0
    disorder: float = 0.0
    missing: float = 0.0
    skew: float = 0.0
    corrupt: float = 0.0
    stuck: float = 0.0
    events: EventFaultShares = field(default_factory=EventFaultShares)

    def __post_init__(self) -> None:
        """Checks the shares."""
        _check(_shares(self), apart=(Fault.SKEW, Fault.STUCK))

    @classmethod
    def parse(cls, text: str) -> Self:
        """Returns the shares that a text such as `late=0.01,events.stale=0.1` names. Raises ConfigurationError."""
        shares: dict[str, float] = {}
        known = [*_names(cls), *(_PREFIX + name for name in _names(EventFaultShares))]
        for part in filter(None, (part.strip() for part in text.split(","))):
            name, _, number = (piece.strip() for piece in part.partition("="))
            if name not in known:
                raise ConfigurationError(f"unknown fault {name!r}; the faults are {', '.join(known)}")
            if name in shares:
                raise ConfigurationError(f"the fault {name} is given twice")
            try:
                shares[name] = float(number)
            except ValueError:
                raise ConfigurationError(f"a fault is given as {name}=0.01, got {part!r}") from None
        of_events = {name.removeprefix(_PREFIX): n for name, n in shares.items() if name.startswith(_PREFIX)}
        of_readings = {name: n for name, n in shares.items() if not name.startswith(_PREFIX)}
        return cls(**of_readings, events=EventFaultShares(**of_events))

    def by_fault(self) -> dict[Fault, float]:
        """Returns the share of each fault that readings have."""
        return _shares(self)

    def __bool__(self) -> bool:
        return any(self.by_fault().values()) or bool(self.events)


def _names(shares: type[FaultShares | EventFaultShares]) -> list[str]:
    return [entry.name for entry in fields(shares) if entry.name in set(Fault)]


def _shares(shares: FaultShares | EventFaultShares) -> dict[Fault, float]:
    return {Fault(name): float(getattr(shares, name)) for name in _names(type(shares))}


def _check(shares: dict[Fault, float], apart: tuple[Fault, ...]) -> None:
    for name, share in shares.items():
        if not 0 <= share <= 1:
            raise ConfigurationError(f"the share of the fault {name} must lie between 0 and 1, got {share}")
    together = [name for name in shares if name not in apart]
    if sum(shares[name] for name in together) > 1:
        raise ConfigurationError(f"the shares of {', '.join(together)} add up to more than 1")
