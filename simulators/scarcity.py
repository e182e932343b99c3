"""How tight a market is at a moment, as a score: about standard normal over a year, and a function of event time alone.

The usual score has the hour's shape of its season and is lower on weekends. Around it runs the weather: mean-reverting
paths of different memories, some of them common to several prices, so that these move together. A price is then read
off a curve by the score's rank in the year (Barlow, "A diffusion model for electricity prices", 2002: the demand is the
diffusion, the offers turn it into spikes), which gives it the quantiles of the recorded series whatever the paths do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from simulators.noise import MeanReverting, Noise
from simulators.timeline import DAY_MS, HOUR_MS, MINUTE_MS

STEP_MS = 5 * MINUTE_MS
"""Step of the paths."""

_STEPS_AN_HOUR = HOUR_MS // STEP_MS
_WEEKDAY_SCORE = 0.06
_WEEKEND_SCORE = -0.14
_EPOCH_WEEKDAY = 3  # 1970-01-01 was a Thursday
_YEAR_D = 365.25
# Middle of January, when the first season's shape holds wholly.
_FIRST_SEASON_D = 15
# Scores for which the rank is tabulated; beyond them nothing happens in a hundred years.
_SCORES = np.linspace(-6.0, 6.0, 301)
_NORMAL_SCORES = np.linspace(-8.0, 8.0, 3201)
_NORMAL_RANKS = np.array([NormalDist().cdf(score) for score in _NORMAL_SCORES.tolist()])

Floats = NDArray[np.float64]


class Path:
    """A sum of mean-reverting paths, of variance 1 in all; `memories` are hours and shares of the variance."""

    def __init__(self, seed: int, stream: str, memories: Sequence[tuple[float, float]]) -> None:
        self._parts = [
            MeanReverting(Noise(seed, f"{stream}/{memory}"), memory * _STEPS_AN_HOUR, share**0.5)
            for memory, share in memories
        ]

    def values(self, first: int, count: int) -> Floats:
        """Returns the values at `count` steps of 5 minutes from `first`, shape (count,)."""
        return np.asarray(np.sum([part.values(first, count) for part in self._parts], axis=0))


@dataclass(frozen=True, slots=True)
class Shape:
    """What is usual. Four seasons from winter on: scores of the 24 local hours, and spread of the weather around them.

    `weights` are those of the weather's paths, by name; squared they add up to 1.
    """

    utc_offset_h: int
    hours: tuple[tuple[float, ...], ...]
    spreads: tuple[float, ...]
    weights: Mapping[str, float]


class Scarcity:
    """Scores of one price, and their ranks."""

    def __init__(self, shape: Shape, paths: Mapping[str, Path]) -> None:
        self._shape = shape
        self._hours = np.array(shape.hours)
        self._spreads = np.array(shape.spreads)
        self._paths = [(weight, paths[name]) for name, weight in shape.weights.items()]

    def scores(self, first: int, count: int) -> Floats:
        """Returns the scores at `count` steps of 5 minutes from `first`, shape (count,)."""
        weather = np.sum([weight * path.values(first, count) for weight, path in self._paths], axis=0)
        usual, spread = self._usual(np.arange(first, first + count) * STEP_MS)
        return np.asarray(usual + spread * weather)

    def at_ranks(self, ranks: Floats) -> Floats:
        """Returns the scores that so large a share of a year stays below, the same shape."""
        # Every 15th day meets each weekday as often.
        every = (np.arange(0, 360, 15)[:, np.newaxis] * DAY_MS + np.arange(24) * HOUR_MS).ravel()
        usual, spread = self._usual(every)
        normal = (_SCORES - usual[:, np.newaxis]) / spread[:, np.newaxis]
        below = np.interp(normal, _NORMAL_SCORES, _NORMAL_RANKS).mean(axis=0)
        return np.asarray(np.interp(ranks, below, _SCORES))

    def _usual(self, at_ms: NDArray[np.int64]) -> tuple[Floats, Floats]:
        local_ms = at_ms + self._shape.utc_offset_h * HOUR_MS
        hour = local_ms // HOUR_MS % 24
        weekday = (local_ms // DAY_MS + _EPOCH_WEEKDAY) % 7
        season = (local_ms / DAY_MS - _FIRST_SEASON_D) % _YEAR_D / _YEAR_D * 4
        this, share = season.astype(np.int64) % 4, season % 1
        after = (this + 1) % 4
        usual = (1 - share) * self._hours[this, hour] + share * self._hours[after, hour]
        usual += np.where(weekday >= 5, _WEEKEND_SCORE, _WEEKDAY_SCORE)
        return usual, (1 - share) * self._spreads[this] + share * self._spreads[after]


class Curve:
    """A price by the score of its scarcity: straight lines between the recorded quantiles, flat beyond their ends."""

    def __init__(self, scarcity: Scarcity, ranks: Sequence[float], prices: Sequence[float]) -> None:
        self._scarcity = scarcity
        self._scores = scarcity.at_ranks(np.array(ranks))
        self._prices = np.array(prices)

    def prices(self, first: int, count: int) -> Floats:
        """Returns the prices at `count` steps of 5 minutes from `first`, shape (count,)."""
        return np.asarray(np.interp(self._scarcity.scores(first, count), self._scores, self._prices))
