"""What a facility draws beside its computers, as its power usage effectiveness (PUE; The Green Grid, White Paper 49).

Losses have a part that is always there, one in proportion to the load and one with its square (Rasmussen, "Electrical
Efficiency Modeling for Data Centers", Schneider Electric White Paper 113). Here the part in proportion is cooling: it
takes more the warmer the air is outside, and only circulation where it is cold. The parts' shares are assumed.
"""

import numpy as np

from simulators.ambient import usual_temp_c
from simulators.portfolio import Climate
from simulators.timeline import DAY_MS, HOUR_MS

_FIXED_SHARE, _COOLING_SHARE, _SQUARE_SHARE = 0.3, 0.6, 0.1
_COOLING_PER_DEGREE = 0.05
_LEAST_COOLING = 0.25
# A ratio to next to no load says nothing of what one MW more would take, which is what plans use it for.
_LEAST_LOAD_SHARE = 0.25


class Overhead:
    """The overhead of a facility whose PUE at full load is `pue_ratio` in the mean of its climate's year."""

    def __init__(self, pue_ratio: float, climate: Climate) -> None:
        self._overhead = pue_ratio - 1
        self._mean_c = climate.mean_c
        year = [usual_temp_c(climate, hour * HOUR_MS) for hour in range(365 * DAY_MS // HOUR_MS)]
        self._mean_cooling = float(np.mean([self._cooling(air_c) for air_c in year]))

    def pue_ratio(self, load_share: float, air_c: float) -> float:
        """Returns the PUE at a share of the full IT load (a quarter where it is less) and a temperature outside, °C.

        1 + o (F / L + C g(T) + S L), with o the overhead at full load, F, C, S its fixed, cooling and square shares.
        """
        load = max(load_share, _LEAST_LOAD_SHARE)
        cooling = self._cooling(air_c) / self._mean_cooling
        return 1 + self._overhead * (_FIXED_SHARE / load + _COOLING_SHARE * cooling + _SQUARE_SHARE * load)

    def _cooling(self, air_c: float) -> float:
        return max(1 + _COOLING_PER_DEGREE * (air_c - self._mean_c), _LEAST_COOLING)
