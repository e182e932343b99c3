"""Outside air at a facility: the season, the hour of the day and slow weather noise. A function of event time alone."""

import math

from simulators.noise import MeanReverting, Noise
from simulators.portfolio import Climate
from simulators.timeline import DAY_MS, HOUR_MS

_WARMEST_DAY = 200
_WARMEST_SOLAR_HOUR = 15.0
_YEAR_DAYS = 365.25
# Weather systems pass in about two days.
_WEATHER_MEMORY_H = 48
_WEATHER_SD_C = 3.0


class Ambient:
    """The outside air of one facility."""

    def __init__(self, climate: Climate, seed: int, facility_id: str) -> None:
        self._climate = climate
        self._weather = MeanReverting(Noise(seed, f"weather/{facility_id}"), _WEATHER_MEMORY_H, _WEATHER_SD_C)

    def temp_c(self, at_ms: int) -> float:
        """Returns the temperature at an event time, degrees Celsius."""
        step, into = divmod(at_ms, HOUR_MS)
        share = into / HOUR_MS
        weather = (1 - share) * self._weather.at(step) + share * self._weather.at(step + 1)
        return usual_temp_c(self._climate, at_ms) + weather


def usual_temp_c(climate: Climate, at_ms: int) -> float:
    """Returns the temperature of a climate at an event time without its weather, degrees Celsius."""
    day = at_ms / DAY_MS % _YEAR_DAYS
    hour = (at_ms / HOUR_MS + climate.solar_offset_h) % 24
    season = climate.seasonal_c * math.cos(2 * math.pi * (day - _WARMEST_DAY) / _YEAR_DAYS)
    daily = climate.daily_c * math.cos(2 * math.pi * (hour - _WARMEST_SOLAR_HOUR) / 24)
    return climate.mean_c + season + daily
