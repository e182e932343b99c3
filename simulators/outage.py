"""Outages of a facility's supply: when its feeder or a transformer trips, and when a transformer has lost its fans.

Functions of event time alone: each kind strikes a subject at most once a day, and is over within that day.

Rates. Feeder: loss of a utility's single circuit, 1.956 a year of 1.32 h in the mean (IEEE Std 493-1997, "Gold Book",
utility supplies of industrial plants). Transformers that break take weeks to replace, but that is once in 170 years
(0.0059 a year, same source) and left out. Trips of a transformer's protection until it is tested and energised again,
and failures of its fans, are assumed.
"""

from dataclasses import dataclass

from simulators.fleet import SLICE_MS
from simulators.noise import Noise
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS, floor

_YEAR_DAYS = 365.25
_LENGTH_MS = (6 * MINUTE_MS, 20 * HOUR_MS)


@dataclass(frozen=True, slots=True)
class Hazard:
    """A kind of outage: how often a year a subject has it, and how long it lasts in the mean (exponential), h."""

    name: str
    per_year: float
    mean_h: float


FEEDER_TRIP = Hazard("feeder", 1.956, 1.32)
TRANSFORMER_TRIP = Hazard("transformer", 0.3, 4.0)
FAN_FAILURE = Hazard("fans", 0.5, 6.0)

SELF_COOLED_SHARE = 0.6
"""What a transformer carries without its fans, of what it carries with them: ONAN of ONAN/ONAF/ONAF, e.g. 12/16/20 MVA
(IEEE Std C57.12.10)."""


@dataclass(frozen=True, slots=True)
class Spell:
    """A time in which something is out, [start, end) ms, multiples of SLICE_MS."""

    start_ms: int
    end_ms: int


class Outages:
    """Spells of one hazard of one subject. `factor` multiplies the rate, up to one a day. Not thread-safe."""

    def __init__(self, hazard: Hazard, subject: str, seed: int, factor: float) -> None:
        self._chance = factor * hazard.per_year / _YEAR_DAYS
        self._mean_ms = hazard.mean_h * HOUR_MS
        self._noise = Noise(seed, f"outage/{hazard.name}/{subject}")
        self._cached: tuple[int, Spell | None] | None = None

    def at(self, at_ms: int) -> Spell | None:
        """Returns the spell that holds a moment, None where nothing is out."""
        day = at_ms // DAY_MS
        if self._cached is None or self._cached[0] != day:
            self._cached = (day, self.of_day(day))
        spell = self._cached[1]
        return spell if spell is not None and spell.start_ms <= at_ms < spell.end_ms else None

    def last_end_ms(self, at_ms: int, days: int) -> int:
        """Returns when the newest spell that is over at a moment ended, of that day and of `days` before it; else 0."""
        today = at_ms // DAY_MS
        spells = (self.of_day(day) for day in range(today, today - days - 1, -1))
        return next((spell.end_ms for spell in spells if spell is not None and spell.end_ms <= at_ms), 0)

    def of_day(self, day: int) -> Spell | None:
        """Returns the spell of a day since the epoch, None for a day without."""
        generator = self._noise.generator(day)
        strikes, when = generator.random(2)
        if strikes >= self._chance:
            return None
        length_ms = min(max(generator.exponential(self._mean_ms), _LENGTH_MS[0]), _LENGTH_MS[1])
        start_ms = floor(int(day * DAY_MS + when * (DAY_MS - length_ms)), SLICE_MS)
        return Spell(start_ms, start_ms + floor(int(length_ms), SLICE_MS))
